import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FrameKind } from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import { isCode } from '../support/codes.ts'
import { eventually } from '../support/eventually.ts'
import { valueOf, type Frame } from '../support/frames.ts'
import { GivenWorker } from '../support/given-worker.ts'
import { turns } from '../support/queue-tools.ts'

const BOUND = Limits.callBatchMs

/** Has the event loop wait for something, which the timers of a worker do not do by themselves. */
function keepUp(context: { after(cleanUp: () => void): void }): void {
  const up = setInterval(() => undefined, 5)
  context.after(() => clearInterval(up))
}

const essence = (frames: readonly Frame[]): unknown[] =>
  frames.map((frame) => [
    frame.call,
    frame.engine,
    frame.epoch,
    frame.generation,
    frame.returns,
    frame.deadline,
    frame.name,
    valueOf(frame),
  ])

describe('the calls of a message', () => {
  it('are run in their order, and replied to in one message', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('echo', 'a'), given.frame('fails'), given.frame('echo', 'b'), given.frame('none')])
    const messages = await given.takeReplyMessages()
    assert.equal(messages.length, 1)
    assert.deepEqual(
      messages[0]?.map(({ frame }) => [frame.call, frame.kind]),
      [
        [1, FrameKind.Reply],
        [2, FrameKind.Failure],
        [3, FrameKind.Reply],
        [4, FrameKind.Failure],
      ],
    )
    assert.deepEqual(given.run, ['a', 'b'])
  })

  it('are replied to in more messages where one is full', async (context) => {
    const given = new GivenWorker(context)
    given.push(Array.from({ length: 10 }, () => given.frame('large', 1000)))
    const messages = await given.takeReplyMessages()
    assert.deepEqual(
      messages.map((replies) => replies.length),
      [3, 3, 3, 1],
    )
  })

  it('are replied to with the time that each has run, in microseconds', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('takes', 1.5), given.frame('takes', 0.25), given.frame('none')])
    assert.deepEqual(
      (await given.takeReplies()).map(({ frame }) => frame.runMicros),
      [1500, 250, 0],
    )
  })

  it('of two engines are replied to apart', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('echo', 1, { engine: 0, epoch: 9 })])
    given.push([given.frame('echo', 2, { engine: 3, epoch: 8 })])
    assert.deepEqual(
      (await given.takeReplies()).map(({ frame, value }) => [frame.engine, frame.epoch, value]),
      [
        [0, 9, 1],
        [3, 8, 2],
      ],
    )
  })
})

describe('calls that cannot be begun in time', () => {
  it('go back to the queue one by one, as they were but for the count', async (context) => {
    keepUp(context)
    const given = new GivenWorker(context)
    const late = [given.frame('gated', 'x'), given.frame('echo', 'b', { returns: 1, priority: 9, wantsReply: false })]
    // The first of them keeps the worker from taking the other again.
    given.push([given.frame('takes', BOUND), given.frame('gated', 'a', { returns: Limits.callReturns }), ...late])
    await eventually('they are in the queue', () => given.requests.count() === 2)
    assert.deepEqual(given.run, [BOUND, 'a'])
    assert.deepEqual(
      essence(given.takeCalls()),
      essence([
        { ...late[1]!, returns: 2 },
        { ...late[0]!, returns: 1 },
      ]),
    )
    given.gate('a').open()
    await turns(3)
  })

  it('are all answered, in messages of their own', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('takes', BOUND), given.frame('echo', 'a'), given.frame('takes', BOUND), given.frame('echo', 'b')])
    const messages = await given.takeReplyMessages()
    assert.deepEqual(
      messages.map((replies) => replies.map(({ frame }) => frame.call)),
      [[1], [2], [3], [4]],
    )
  })

  it('are run where they are when they came back too often', async (context) => {
    const given = new GivenWorker(context)
    const often = { returns: Limits.callReturns }
    given.push([given.frame('takes', BOUND), given.frame('echo', 'a', often), given.frame('echo', 'b')])
    const messages = await given.takeReplyMessages()
    assert.deepEqual(
      messages.map((replies) => replies.map(({ frame }) => frame.call)),
      [[1, 2], [3]],
    )
  })

  it('are run where they are when the queue is full', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('takes', BOUND), given.frame('echo', 'a'), given.frame('echo', 'b')])
    for (let count = 0; count < 9; count++) given.call('nothing')
    // The message has left the queue by the time its calls would go back: one more fills it again.
    given.onRun = () => given.call('nothing')
    assert.deepEqual(
      (await given.takeReplyMessages())[0]?.map(({ frame }) => frame.call),
      [1, 2, 3],
    )
  })

  it('do not hold up the replies to those that are done', async (context) => {
    const given = new GivenWorker(context)
    const often = { returns: Limits.callReturns }
    given.push(Array.from({ length: 6 }, () => given.frame('takes', BOUND / 2, often)))
    assert.deepEqual(
      (await given.takeReplyMessages()).map((replies) => replies.length),
      [3, 3],
    )
  })

  it('go back while a call that waits for something is in their way', async (context) => {
    keepUp(context)
    const given = new GivenWorker(context)
    given.push([given.frame('echo', 'first'), given.frame('gated', 'a'), given.frame('echo', 'b'), given.frame('echo', 'c')])
    assert.equal((await given.takeReply()).value, 'first', 'its reply does not wait for the others')
    await eventually('they are in the queue', () => given.requests.count() === 2)
    assert.deepEqual(
      given.takeCalls().map((frame) => [frame.call, frame.returns]),
      [
        [3, 1],
        [4, 1],
      ],
    )
    given.gate('a').open()
    assert.equal((await given.takeReply()).value, 'through a')
    assert.deepEqual(given.run, ['first', 'a'])
  })

  it('are begun as soon as the one in their way is over', async (context) => {
    const given = new GivenWorker(context)
    const often = { returns: Limits.callReturns }
    given.push([given.frame('gated', 'a'), given.frame('echo', 'b', often), given.frame('echo', 'c', often)])
    await turns(3)
    given.gate('a').open()
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      ['through a', 'b', 'c'],
    )
  })
})

describe('a worker of concurrency 3', () => {
  it('runs three calls that wait for something, and takes no message meanwhile', async (context) => {
    const given = new GivenWorker(context, { concurrency: 3 })
    for (const input of 'abcd') given.call('gated', input)
    await turns(6)
    assert.deepEqual([given.run, given.requests.count()], [['a', 'b', 'c'], 1])
    given.gate('b').open()
    assert.equal((await given.takeReply()).value, 'through b')
    assert.deepEqual([given.run, given.requests.count()], [['a', 'b', 'c', 'd'], 0])
    for (const input of 'acd') given.gate(input).open()
    assert.equal((await given.takeReplies()).length, 3)
  })

  it('runs those of one message together, and replies to those together that end together', async (context) => {
    const given = new GivenWorker(context, { concurrency: 3 })
    given.push(['a', 'b', 'c'].map((input) => given.frame('gated', input)))
    await turns(3)
    for (const input of 'abc') given.gate(input).open()
    assert.deepEqual(
      (await given.takeReplyMessages()).map((replies) => replies.length),
      [3],
    )
  })
})

describe('calls that want no reply', () => {
  it('are run, and get none, whatever comes of them', async (context) => {
    const given = new GivenWorker(context)
    const silent = { wantsReply: false }
    given.push([
      given.frame('echo', 'a', silent),
      given.frame('fails', 1, silent),
      given.frame('none', 1, silent),
      given.frame('echo', 'b'),
    ])
    assert.deepEqual(
      (await given.takeReplies()).map(({ frame }) => frame.call),
      [4],
    )
    assert.deepEqual(given.run, ['a', 'b'])
    assert.equal(given.log.messages('error').length, 2)
  })

  it('say in the log that their result cannot be sent, as others do', async (context) => {
    const given = new GivenWorker(context)
    given.call('unsendable', 1, { wantsReply: false })
    assert.deepEqual(await given.takeReplies(), [])
    assert.equal(given.log.messages('error').length, 1)
  })
})

describe('a call that was cancelled', () => {
  it('is not run', async (context) => {
    const given = new GivenWorker(context)
    const frames = [given.frame('echo', 'a'), given.frame('echo', 'b'), given.frame('echo', 'c')]
    given.cancels.cancel(2, 5)
    given.cancels.cancel(3, 4)
    given.push(frames)
    assert.deepEqual(
      (await given.takeReplies()).map(({ frame }) => frame.call),
      [1, 3],
    )
    assert.deepEqual(given.run, ['a', 'c'], 'a note for another generation is for nobody')
  })

  it('while it runs aborts its signal', async (context) => {
    keepUp(context)
    const given = new GivenWorker(context)
    given.call('gated', 'a', { deadline: given.clock.monotonic() + 1e6 })
    await turns(3)
    assert.equal(given.signal?.aborted, false)
    given.cancels.cancel(1, 5)
    await eventually('the signal is aborted', () => given.signal?.aborted === true)
    assert.ok(isCode('NPP_CALL_CANCELLED')(given.signal?.reason))
    given.gate('a').open()
    await given.takeReply()
  })
})

describe('a worker that is told to stop', () => {
  it('gives back the calls of its message that it has not begun', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('gated', 'a'), given.frame('echo', 'b'), given.frame('echo', 'c')])
    await turns(3)
    const stop = given.worker.stop()
    assert.deepEqual(
      given.takeCalls().map((frame) => frame.call),
      [2, 3],
    )
    given.gate('a').open()
    await stop
    assert.equal((await given.takeReply()).value, 'through a')
    assert.deepEqual(given.run, ['a'])
  })

  it('gives back those that the queue had no room for, once it has', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('gated', 'a'), given.frame('echo', 'b'), given.frame('echo', 'c')])
    await turns(3)
    for (let count = 0; count < 10; count++) given.call('echo', 'never')
    const stop = given.worker.stop()
    given.takeCalls()
    given.gate('a').open()
    await stop
    assert.deepEqual(
      given.takeCalls().map((frame) => frame.call),
      [2, 3],
    )
    assert.deepEqual(given.run, ['a'])
  })

  it('runs those that the queue has no room for, and no other', async (context) => {
    const given = new GivenWorker(context)
    given.push([given.frame('gated', 'a'), given.frame('echo', 'b'), given.frame('echo', 'c')])
    await turns(3)
    for (let count = 0; count < 10; count++) given.call('echo', 'never')
    const stop = given.worker.stop()
    await turns(3)
    given.gate('a').open()
    await stop
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      ['through a', 'b', 'c'],
    )
    assert.deepEqual([given.run, given.requests.count()], [['a', 'b', 'c'], 10])
  })
})
