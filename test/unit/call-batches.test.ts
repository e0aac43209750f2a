import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { BATCH_HEADER_BYTES, FrameKind, callBytes } from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import type { Frame } from '../support/frames.ts'
import { BASE, messageOf, valueOf } from '../support/frames.ts'
import { GivenCaller, MESSAGE, failure } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'

const QUICK = 10
const SLOW = Limits.callBatchMs * 1000 + 1

const namesOf = (frames: readonly Frame[]): string => frames.map((frame) => frame.name).join('')

/** The names in each message that is in the queue. */
function messages(given: GivenCaller): string[] {
  const all: string[] = []
  for (let count = given.inQueue; count > 0; count--) all.push(namesOf(given.takeMessage()))
  return all
}

function callEach(given: GivenCaller, names: string): void {
  for (const name of names) given.call(name)
}

/** The queue is full with messages of a service that nobody answers; gives back how to make room for one. */
async function full(context: TestContext, setup: { readonly maxPerService?: number; readonly maxBacklog?: number } = {}) {
  const given = new GivenCaller(context, { depth: 1, maxBacklog: 1000, ...setup })
  await given.know(QUICK, 'a', 'b', 'c')
  await given.know(SLOW, 's', 't')
  given.call('x')
  given.caller.flush()
  return given
}

describe('calls of one turn', () => {
  it('travel in one message when their services are known to be quick', async (context) => {
    const given = new GivenCaller(context)
    await given.know(QUICK, 'a', 'b')
    callEach(given, 'aabba')
    assert.equal(given.requests.count(), 0, 'they wait for the end of the turn')
    await turns(1)
    assert.equal(given.requests.count(), 1)
    assert.equal(namesOf(given.takeMessage()).split('').toSorted().join(''), 'aaabb')
  })

  it('travel alone to services that were never answered', (context) => {
    const given = new GivenCaller(context)
    callEach(given, 'aab')
    assert.deepEqual(messages(given).toSorted(), ['a', 'a', 'b'])
  })

  it('travel alone to a service that is slow, and the others without it', async (context) => {
    const given = new GivenCaller(context)
    await given.know(QUICK, 'a')
    await given.know(SLOW, 's')
    callEach(given, 'asasa')
    assert.deepEqual(messages(given).toSorted(), ['aaa', 's', 's'])
  })

  it('are expected to be done within the bound, all of a message together', async (context) => {
    const given = new GivenCaller(context)
    await given.know((Limits.callBatchMs * 1000) / 4, 'q')
    callEach(given, 'qqqqqqqqqq')
    assert.deepEqual(messages(given), ['qqqq', 'qqqq', 'qq'])
  })

  it('leave at once when a message is full', async (context) => {
    const given = new GivenCaller(context)
    await given.know(QUICK, 'a')
    const most = Math.floor((MESSAGE - BATCH_HEADER_BYTES) / (callBytes(1, 0) - BATCH_HEADER_BYTES))
    for (let count = 0; count < most * 3; count++) given.call('a')
    assert.ok(given.requests.count() >= 2)
    await turns(1)
    assert.equal(messages(given).join('').length, most * 3)
  })

  it('keep the order of their service', async (context) => {
    const given = new GivenCaller(context)
    await given.know(QUICK, 'a')
    for (let count = 0; count < 40; count++) given.call('a', count)
    const inputs: unknown[] = []
    while (given.inQueue > 0) inputs.push(...given.takeMessage().map(valueOf))
    assert.deepEqual(
      inputs,
      Array.from({ length: 40 }, (_, index) => index),
    )
  })
})

describe('the expected run time', () => {
  it('rises at once with a slow reply, and falls with many quick ones', async (context) => {
    const given = new GivenCaller(context)
    await given.know(QUICK, 'a')
    await given.know(SLOW * 4, 'a')
    callEach(given, 'aa')
    assert.deepEqual(messages(given), ['a', 'a'])
    await given.know(QUICK, 'a')
    callEach(given, 'aa')
    assert.deepEqual(messages(given), ['a', 'a'], 'one quick reply is not believed')
    for (let count = 0; count < 40; count++) await given.know(QUICK, 'a')
    callEach(given, 'aa')
    assert.deepEqual(messages(given), ['aa'])
  })

  it('is told by failures too', async (context) => {
    const given = new GivenCaller(context)
    const call = given.call('a')
    given.reply(given.take(), { code: 'E', message: 'm' }, { kind: FrameKind.Failure, runMicros: QUICK })
    await failure(call)
    callEach(given, 'aa')
    assert.deepEqual(messages(given), ['aa'])
  })
})

describe('calls that wait for room', () => {
  it('travel several to a message when there is some', async (context) => {
    const given = await full(context)
    callEach(given, 'ab')
    await turns(1)
    callEach(given, 'ab')
    assert.equal(given.caller.waiting, 4)
    assert.equal(given.take().name, 'x')
    await turns(3)
    assert.deepEqual(messages(given), ['abab'])
    assert.deepEqual([given.caller.waiting, given.caller.waitingBytes], [0, 0])
  })

  it('let a call pass that comes back from a service that ended, at once or when there is room', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    const back = messageOf([{ ...BASE, kind: FrameKind.Call, name: 'back' }], MESSAGE)
    given.caller.takeBack(back)
    assert.equal(given.take().name, 'back')
    given.call('x')
    given.caller.flush()
    given.call('a', 'waits', { priority: 31 })
    given.caller.takeBack(back)
    assert.equal(given.inQueue, 1)
    assert.equal(given.take().name, 'x')
    const order: string[] = []
    for (let count = 0; count < 2; count++) {
      await turns(3)
      order.push(given.take().name)
    }
    assert.deepEqual([order, given.caller.waiting], [['back', 'a'], 0])
  })

  it('take turns by service: one that is flooded holds up no other', async (context) => {
    const given = await full(context)
    callEach(given, `${'s'.repeat(20)}tt`)
    given.take()
    const order: string[] = []
    while (given.caller.waiting > 0) {
      await turns(3)
      order.push(namesOf(given.takeMessage()))
    }
    assert.equal(order.slice(0, 4).join('').replaceAll('s', '').length, 2, order.join(' '))
  })

  it('take turns within a message too', async (context) => {
    const given = await full(context)
    callEach(given, `${'a'.repeat(50)}bc`)
    // The message that found no room was made when there was nobody else.
    for (let count = 0; count < 2; count++) {
      given.takeMessage()
      await turns(3)
    }
    const message = namesOf(given.takeMessage())
    assert.ok(message.includes('b') && message.includes('c'), message)
  })

  it('of a higher priority leave first, in messages of that priority, even if a message found no room before', async (context) => {
    const given = await full(context)
    given.call('a', 'low')
    given.caller.flush()
    given.call('a', 'high', { priority: 31 })
    given.call('b', 'middle', { priority: 7 })
    given.call('b', 'high', { priority: 31 })
    given.take()
    const seen: unknown[] = []
    for (let count = 0; count < 3; count++) {
      await turns(3)
      const frames = given.takeMessage()
      seen.push([frames.map(valueOf), frames.map((frame) => frame.priority)])
    }
    assert.deepEqual(seen, [
      [
        ['high', 'high'],
        [31, 31],
      ],
      [['middle'], [7]],
      [['low'], [0]],
    ])
  })

  it('come out of the queue by their priority', (context) => {
    const given = new GivenCaller(context)
    given.call('a', 0)
    given.caller.flush()
    given.call('b', 0, { priority: 1 })
    assert.equal(given.take().name, 'b')
    assert.equal(given.take().name, 'a')
  })

  it('are not sent once given up, and their message is made anew', async (context) => {
    const given = await full(context)
    const gone = given.call('a', 'gone', { timeoutMs: 50 })
    given.call('a', 'stays')
    given.pass(100)
    assert.equal((await failure(gone)).code, 'NPP_CALL_TIMEOUT')
    given.take()
    await turns(3)
    assert.deepEqual(given.takeMessage().map(valueOf), ['stays'])
    assert.deepEqual([given.caller.waiting, given.caller.waitingBytes], [0, 0])
  })

  it('are bounded for each service, and others still get in', async (context) => {
    const given = await full(context, { maxBacklog: 10, maxPerService: 50 })
    callEach(given, 'aaaaa')
    const refused = await failure(given.call('a'))
    assert.deepEqual([refused.code, refused.status], ['NPP_BACKLOG_FULL', 503])
    assert.match(refused.message, /maxPerService/)
    callEach(given, 'bbbbb')
    assert.match((await failure(given.call('c'))).message, /maxBacklog allows/)
    assert.deepEqual([given.caller.waiting, given.caller.pending], [10, 11])
  })

  it('are bounded by their bytes, and by those of each service', async (context) => {
    const given = new GivenCaller(context, { depth: 1, maxBacklog: 1000, maxBacklogBytes: 900, maxPerService: 60 })
    const input = Buffer.alloc(200)
    given.call('x')
    given.caller.flush()
    given.call('a', input)
    given.call('a', input)
    assert.match((await failure(given.call('a', input))).message, /maxPerService/)
    given.call('b', input)
    assert.match((await failure(given.call('c', input))).message, /maxBacklogBytes/)
    assert.deepEqual([given.caller.waiting, given.caller.waitingBytes], [3, 3 * (callBytes(1, 200) - BATCH_HEADER_BYTES)])
  })

  it('have a place for one of each service, however small its share', async (context) => {
    const given = await full(context, { maxBacklog: 10, maxPerService: 1 })
    callEach(given, 'ab')
    assert.equal(given.caller.waiting, 2)
    assert.equal((await failure(given.call('a'))).code, 'NPP_BACKLOG_FULL')
  })
})

describe('the input of a call', () => {
  for (const [rule, input] of [
    ['a Buffer', Buffer.from('bytes')],
    ['a Uint8Array', Uint8Array.from(Buffer.from('bytes'))],
  ] as const) {
    it(`that is ${rule} travels as it is, and as it was when the call was made`, (context) => {
      const given = new GivenCaller(context)
      given.call('a', input)
      input[0] = 0
      const frame = given.take()
      assert.deepEqual(frame.body, Buffer.from('bytes'))
      const value = valueOf(frame)
      assert.ok(value instanceof Uint8Array)
      assert.equal(Buffer.isBuffer(value), Buffer.isBuffer(input))
    })
  }
})

describe('a call with a signal', () => {
  it('that is aborted is not made', async (context) => {
    const given = new GivenCaller(context)
    const error = await failure(given.call('a', 1, { signal: AbortSignal.abort() }))
    assert.deepEqual([error.code, error.status], ['NPP_CALL_CANCELLED', 503])
    assert.match(error.message, /its signal is aborted/)
    assert.deepEqual([given.caller.pending, given.caller.waiting, given.wheel.armed], [0, 0, 0])
  })

  it('is not sent when it is aborted before', async (context) => {
    const given = await full(context)
    const aborter = new AbortController()
    const call = given.call('a', 1, { signal: aborter.signal })
    await turns(1)
    aborter.abort()
    assert.equal((await failure(call)).code, 'NPP_CALL_CANCELLED')
    assert.deepEqual([given.caller.waiting, given.caller.waitingBytes], [0, 0])
    given.take()
    await turns(3)
    assert.equal(given.inQueue, 0)
  })

  it('is given up at once when it is aborted later, noted for the services, and its reply is dropped', async (context) => {
    const given = new GivenCaller(context)
    const aborter = new AbortController()
    const call = given.call('a', 1, { signal: aborter.signal })
    const frame = given.take()
    assert.equal(given.cancels.isCancelled(frame.call, frame.generation), false)
    aborter.abort()
    assert.equal((await failure(call)).code, 'NPP_CALL_CANCELLED')
    assert.equal(given.cancels.isCancelled(frame.call, frame.generation), true)
    given.reply(frame, 'late')
    await turns(3)
    assert.deepEqual([given.caller.lateReplies, given.caller.pending], [1, 0])
    const next = given.call('a')
    const second = given.take()
    assert.deepEqual([second.call, given.cancels.isCancelled(second.call, second.generation)], [frame.call, false])
    given.reply(second, 'own')
    assert.equal(await next.promise, 'own')
  })

  it('leaves nothing with the signal when it is over', async (context) => {
    const given = new GivenCaller(context)
    const listeners = new Set<unknown>()
    const { signal } = new AbortController()
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (type: string, listener: () => void) => {
      listeners.add(listener)
      add(type, listener)
    }
    signal.removeEventListener = (type: string, listener: () => void) => {
      listeners.delete(listener)
      remove(type, listener)
    }
    const [answered, late] = [given.call('a', 1, { signal }), given.call('a', 1, { signal, timeoutMs: 50 })]
    assert.equal(listeners.size, 2)
    given.reply(given.take(), 1)
    assert.equal(await answered.promise, 1)
    given.pass(100)
    await failure(late)
    assert.equal(listeners.size, 0)
  })
})

describe('a priority', () => {
  for (const priority of [-1, 32, 0.5, Number.NaN])
    it(`of ${priority} is refused`, async (context) => {
      const given = new GivenCaller(context)
      const error = await failure(given.call('a', 1, { priority }))
      assert.deepEqual([error.code, given.caller.pending], ['NPP_CALL_INPUT', 0])
      assert.match(error.message, /priority/)
    })
})

describe('a call that wants no reply', () => {
  it('is over when it is in the queue', async (context) => {
    const given = new GivenCaller(context)
    const call = given.callNoReply('a', 1)
    await turns(1)
    assert.equal(await call.promise, undefined)
    const frame = given.take()
    assert.deepEqual([frame.kind, frame.wantsReply, valueOf(frame)], [FrameKind.Call, false, 1])
    assert.equal(given.caller.pending, 0)
  })

  it('waits for room, and for no longer than its deadline', async (context) => {
    const given = await full(context)
    const [call, late] = [given.callNoReply('a', 1), given.callNoReply('a', 2, { timeoutMs: 50 })]
    await turns(2)
    assert.deepEqual([call.settled, given.caller.waiting], [false, 2])
    given.pass(100)
    assert.equal((await failure(late)).code, 'NPP_CALL_TIMEOUT')
    given.take()
    await turns(3)
    assert.equal(await call.promise, undefined)
    assert.deepEqual([given.take().name, given.inQueue], ['a', 0])
    given.pass(1000)
    assert.equal(given.caller.pending, 1, 'only the one that fills the queue')
  })

  it('is rejected when it cannot be made', async (context) => {
    const given = new GivenCaller(context)
    given.hasService = false
    assert.equal((await failure(given.callNoReply('a'))).code, 'NPP_NO_SERVICE')
  })
})
