import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ServiceError } from '../../app/call/service-error.ts'
import { BodyForm, FrameKind } from '../../ipc/frame.ts'
import type { NppCode } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { isCode } from '../support/codes.ts'
import { valueOf, type Frame } from '../support/frames.ts'
import { DEFAULT_TIMEOUT, ENGINE, EPOCH, GivenCaller, MESSAGE, failure } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'

describe('a call', () => {
  it('is a frame with all that the service and the reply need', (context) => {
    const given = new GivenCaller(context)
    given.call('sum', { n: 1 }, { timeoutMs: 1500 })
    const frame = given.take()
    assert.deepEqual(
      [frame.kind, frame.engine, frame.epoch, frame.sender, frame.name, frame.deadline],
      [FrameKind.Call, ENGINE, EPOCH, process.pid, 'sum', given.clock.monotonic() + 1500],
    )
    assert.deepEqual(valueOf(frame), { n: 1 })
    assert.deepEqual([frame.calledAt, frame.priority, frame.wantsReply], [given.clock.monotonic(), 0, true])
  })

  it('without a timeout has the default, without an input no body', (context) => {
    const given = new GivenCaller(context)
    given.call('sum')
    const frame = given.take()
    assert.equal(frame.deadline, given.clock.monotonic() + DEFAULT_TIMEOUT)
    assert.equal(frame.body.byteLength, 0)
  })

  for (const value of [{ sum: 5 }, 'text', 0, false, null, [1], Buffer.from('bytes'), undefined]) {
    it(`resolves with the reply ${JSON.stringify(value)}`, async (context) => {
      const given = new GivenCaller(context)
      const call = given.call('sum')
      given.reply(given.take(), value)
      assert.deepEqual(await call.promise, value)
      assert.equal(given.caller.pending, 0)
    })
  }

  it('gets its own reply, in whatever order replies come', async (context) => {
    const given = new GivenCaller(context)
    const calls = ['a', 'b', 'c', 'd'].map((name) => given.call(name))
    const frames = calls.map(() => given.take())
    for (const index of [2, 0, 3, 1]) {
      const frame = frames[index]
      if (frame !== undefined) given.reply(frame, `reply to ${frame.name}`)
    }
    assert.deepEqual(await Promise.all(calls.map((call) => call.promise)), ['reply to a', 'reply to b', 'reply to c', 'reply to d'])
  })

  it('gets bytes that the next reply does not overwrite', async (context) => {
    const given = new GivenCaller(context)
    const calls = [given.call('a'), given.call('b')]
    for (const text of ['first', 'other']) given.reply(given.take(), { bytes: Buffer.from(text) })
    assert.deepEqual(await Promise.all(calls.map((call) => call.promise)), [
      { bytes: Buffer.from('first') },
      { bytes: Buffer.from('other') },
    ])
  })
})

const self: unknown[] = []
self.push(self)
const IMPOSSIBLE: readonly (readonly [string, NppCode, string, unknown, number | undefined])[] = [
  ['an input that cannot be sent', 'NPP_CALL_INPUT', 'sum', { f: () => 1 }, undefined],
  ['an input that refers to itself', 'NPP_CALL_INPUT', 'sum', self, undefined],
  ['an input over the size of a message', 'NPP_CALL_TOO_LARGE', 'sum', 'x'.repeat(MESSAGE), undefined],
  ['a name over the limit', 'NPP_CALL_INPUT', 'n'.repeat(Limits.serviceNameBytes + 1), 1, undefined],
  ['a timeout of 0', 'NPP_CALL_INPUT', 'sum', 1, 0],
  ['a negative timeout', 'NPP_CALL_INPUT', 'sum', 1, -1],
  ['a timeout that is no number', 'NPP_CALL_INPUT', 'sum', 1, Number.NaN],
  ['an endless timeout', 'NPP_CALL_INPUT', 'sum', 1, Infinity],
]

describe('a call fails at once for', () => {
  for (const [rule, code, name, input, timeout] of IMPOSSIBLE) {
    it(`${rule}: ${code}`, async (context) => {
      const given = new GivenCaller(context)
      assert.equal((await failure(given.call(name, input, timeout === undefined ? undefined : { timeoutMs: timeout }))).code, code)
      assert.deepEqual([given.caller.pending, given.caller.waiting, given.requests.count(), given.wheel.armed], [0, 0, 0, 0])
    })
  }

  it('no service: NPP_NO_SERVICE', async (context) => {
    const given = new GivenCaller(context)
    given.hasService = false
    assert.equal((await failure(given.call('sum'))).code, 'NPP_NO_SERVICE')
    assert.equal(given.requests.count(), 0)
  })
})

describe('the deadline of a call', () => {
  it('fails it, and a reply that comes then is dropped', async (context) => {
    const given = new GivenCaller(context)
    const call = given.call('sum', 1, { timeoutMs: 300 })
    const frame = given.take()
    given.pass(299)
    await turns(2)
    assert.equal(call.settled, false)
    given.pass(20)
    const error = await failure(call)
    assert.deepEqual([error.code, error.status], ['NPP_CALL_TIMEOUT', 504])
    given.reply(frame, 'late')
    await turns(5)
    assert.deepEqual([given.caller.lateReplies, given.caller.pending, given.log.messages('warn')], [1, 0, []])
  })

  it('is its own, whatever other calls have', async (context) => {
    const given = new GivenCaller(context)
    const calls = [given.call('a', 1, { timeoutMs: 300 }), given.call('b', 1, { timeoutMs: 100 }), given.call('c', 1, { timeoutMs: 200 })]
    const settled = async (): Promise<boolean[]> => {
      await turns(2)
      return calls.map((call) => call.settled)
    }
    given.pass(110)
    assert.deepEqual(await settled(), [false, true, false])
    given.pass(100)
    assert.deepEqual(await settled(), [false, true, true])
    given.pass(100)
    assert.deepEqual(await settled(), [true, true, true])
  })

  it('is gone with the reply', async (context) => {
    const given = new GivenCaller(context)
    const call = given.call('sum', 1, { timeoutMs: 300 })
    given.reply(given.take(), 'in time')
    assert.equal(await call.promise, 'in time')
    given.pass(1000)
    assert.equal(given.wheel.armed, 0)
  })

  it('passes for a call that waits for room too, which then is not sent', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    given.call('a', 1, { timeoutMs: 1000 })
    const waiting = given.call('b', 1, { timeoutMs: 100 })
    given.call('c', 1, { timeoutMs: 1000 })
    given.pass(150)
    assert.equal((await failure(waiting)).code, 'NPP_CALL_TIMEOUT')
    assert.equal(given.take().name, 'a')
    await turns(3)
    assert.equal(given.take().name, 'c')
  })
})

/** [rule, what of a good reply is changed, whether it counts as late]. */
const STRAY: readonly (readonly [string, Partial<Frame>, boolean])[] = [
  ['of another engine process', { engine: ENGINE + 1 }, false],
  ['to the engine before this one', { epoch: EPOCH - 1 }, false],
  ['that is a call', { kind: FrameKind.Call, name: 'sum' }, false],
  ['that is a call of a page', { kind: FrameKind.PageCall }, false],
  ['of an old generation', { generation: 0 }, true],
  ['of a generation to come', { generation: 2 }, true],
  ['to a slot that was never used', { call: 1000 }, true],
  ['to the highest slot', { call: 2 ** 32 - 1, generation: 2 ** 32 - 1 }, true],
]

describe('a reply', () => {
  for (const [rule, changes, late] of STRAY) {
    it(`${rule} is dropped, and the call goes on waiting`, async (context) => {
      const given = new GivenCaller(context)
      const call = given.call('sum')
      const frame = given.take()
      given.reply(frame, 'stray', changes)
      await turns(5)
      assert.equal(call.settled, false)
      assert.deepEqual([given.caller.lateReplies, given.caller.strayMessages], late ? [1, 0] : [0, 1])
      assert.equal(given.log.messages('warn').length, late ? 0 : 1)
      given.reply(frame, 'right')
      assert.equal(await call.promise, 'right')
    })
  }

  it('that is replayed is delivered once, and never to the call that has the slot now', async (context) => {
    const given = new GivenCaller(context)
    const first = given.call('sum')
    const frame = given.take()
    given.reply(frame, 'first')
    given.reply(frame, 'first again')
    assert.equal(await first.promise, 'first')
    const second = given.call('sum')
    const next = given.take()
    assert.equal(next.call, frame.call, 'the slot is used again')
    given.reply(frame, 'first once more')
    await turns(5)
    assert.equal(second.settled, false)
    given.reply(next, 'second')
    assert.equal(await second.promise, 'second')
    assert.equal(given.caller.lateReplies, 2)
  })

  it('that comes late never reaches another call, over many calls that share slots', async (context) => {
    const given = new GivenCaller(context)
    const late: Frame[] = []
    for (let round = 0; round < 300; round++) {
      const abandoned = given.call('slow', round, { timeoutMs: 10 })
      late.push(given.take())
      given.pass(20)
      assert.equal((await failure(abandoned)).code, 'NPP_CALL_TIMEOUT')
      const call = given.call('fast', round)
      const frame = given.take()
      for (const old of late.slice(-3)) given.reply(old, 'of another client')
      given.reply(frame, `own ${round}`)
      assert.equal(await call.promise, `own ${round}`)
    }
    assert.equal(given.caller.pending, 0)
  })

  const garbage: readonly (readonly [string, Buffer])[] = [
    ['no bytes', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(MESSAGE)],
    ['text', Buffer.from('hello')],
    ['a cut frame', Buffer.from('4e50506602000200', 'hex')],
  ]
  for (const [rule, bytes] of garbage) {
    it(`that is ${rule} is dropped and logged`, async (context) => {
      const given = new GivenCaller(context)
      const call = given.call('sum')
      given.push(bytes)
      given.reply(given.take(), 'right')
      assert.equal(await call.promise, 'right')
      assert.equal(given.caller.strayMessages, 1)
      assert.deepEqual(given.log.messages('warn'), ['a message on the reply queue is not one of npp'])
    })
  }

  it('with a malformed body fails its call: NPP_SERVICE_FAILED', async (context) => {
    const given = new GivenCaller(context)
    const call = given.call('sum')
    given.reply(given.take(), undefined, { form: BodyForm.Packed, body: Buffer.from([0xc1]) })
    assert.equal((await failure(call)).code, 'NPP_SERVICE_FAILED')
  })

  it('is taken among many in turns that leave time for others', async (context) => {
    const given = new GivenCaller(context, { depth: 1000, maxBacklog: 1000 })
    const calls = Array.from({ length: 500 }, (_, index) => given.call('n', index))
    for (const [index] of calls.entries()) given.reply(given.take(), index)
    await turns(1)
    assert.ok(calls.filter((call) => call.settled).length <= 2 * Limits.repliesPerTurn)
    assert.deepEqual(
      await Promise.all(calls.map((call) => call.promise)),
      calls.map((_, index) => index),
    )
  })
})

/** [body of the failure, code of the error, code of the service, part of the message]. */
const FAILURES: readonly (readonly [unknown, NppCode, string, string])[] = [
  [{ code: 'NPP_NO_SUCH_SERVICE', message: 'no sum' }, 'NPP_NO_SUCH_SERVICE', '', 'no sum'],
  [{ code: 'NPP_REPLY_TOO_LARGE', message: 'm' }, 'NPP_REPLY_TOO_LARGE', '', 'm'],
  [{ code: 'NPP_CALL_INPUT', message: 'm' }, 'NPP_CALL_INPUT', '', 'm'],
  [{ code: 'NPP_CALL_TIMEOUT', message: 'm' }, 'NPP_CALL_TIMEOUT', '', 'm'],
  [{ code: 'E_SITE', message: 'm' }, 'NPP_SERVICE_FAILED', 'E_SITE', 'service sum failed: m'],
  [{ code: 'NPP_SERVICE_FAILED', message: 'm' }, 'NPP_SERVICE_FAILED', 'NPP_SERVICE_FAILED', 'm'],
  // Codes that are the engine's own to give: a service that throws them fails like any other.
  [{ code: 'NPP_NOT_FOUND', message: 'm' }, 'NPP_SERVICE_FAILED', 'NPP_NOT_FOUND', 'm'],
  [{ code: 'toString', message: 'm' }, 'NPP_SERVICE_FAILED', 'toString', 'm'],
  [{ code: 5, message: 6 }, 'NPP_SERVICE_FAILED', '', 'service sum failed'],
  [{}, 'NPP_SERVICE_FAILED', '', 'service sum failed'],
  [null, 'NPP_SERVICE_FAILED', '', 'service sum failed'],
  ['text', 'NPP_SERVICE_FAILED', '', 'service sum failed'],
  [[1], 'NPP_SERVICE_FAILED', '', 'service sum failed'],
]

describe('a failure', () => {
  it('that says nothing at all is one all the same', async (context) => {
    const given = new GivenCaller(context)
    const call = given.call('sum')
    given.reply(given.take(), undefined, { kind: FrameKind.Failure })
    assert.equal((await failure(call)).code, 'NPP_SERVICE_FAILED')
  })

  for (const [value, code, serviceCode, message] of FAILURES) {
    it(`of ${JSON.stringify(value)} is ${code}`, async (context) => {
      const given = new GivenCaller(context)
      const call = given.call('sum')
      given.reply(given.take(), value, { kind: FrameKind.Failure })
      const error = await failure(call)
      assert.equal(error.code, code)
      assert.ok(error.message.includes(message), error.message)
      if (code === 'NPP_SERVICE_FAILED') {
        assert.ok(error instanceof ServiceError)
        assert.deepEqual([error.service, error.serviceCode], ['sum', serviceCode])
      }
    })
  }
})

describe('the backlog', () => {
  it('keeps calls while the queue is full, and sends them in order as it empties', async (context) => {
    const given = new GivenCaller(context, { depth: 3 })
    for (let number = 0; number < 50; number++) given.call(`${number}`)
    assert.deepEqual([given.inQueue, given.caller.waiting, given.caller.pending], [3, 47, 50])
    const names: string[] = []
    while (names.length < 50) {
      while (given.requests.count() > 0) names.push(given.take().name)
      await turns(2)
    }
    assert.deepEqual(
      names,
      Array.from({ length: 50 }, (_, number) => `${number}`),
    )
    assert.equal(given.caller.waiting, 0)
  })

  it('lets no call overtake those that wait', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    given.call('first')
    given.call('waits')
    assert.equal(given.take().name, 'first')
    // There is room again, but the one that waits comes before this one.
    given.call('last')
    assert.equal(given.requests.count(), 0)
    await turns(3)
    assert.equal(given.take().name, 'waits')
    await turns(3)
    assert.equal(given.take().name, 'last')
  })

  it('has a bound, above which calls fail with NPP_BACKLOG_FULL and leave nothing', async (context) => {
    const given = new GivenCaller(context, { depth: 2, maxBacklog: 3 })
    const calls = Array.from({ length: 5 }, (_, number) => given.call(`${number}`))
    const error = await failure(given.call('too many'))
    assert.deepEqual([error.code, error.status], ['NPP_BACKLOG_FULL', 503])
    assert.deepEqual([given.caller.waiting, given.caller.pending], [3, 5])
    for (let number = 0; number < 5; number++) {
      given.reply(given.take(), number)
      await turns(3)
    }
    assert.deepEqual(await Promise.all(calls.map((call) => call.promise)), [0, 1, 2, 3, 4])
    assert.equal(given.requests.count(), 0, 'the call that was refused was never sent')
  })

  it('may be forbidden: maxBacklog 0', async (context) => {
    const given = new GivenCaller(context, { depth: 1, maxBacklog: 0 })
    given.call('sent')
    assert.equal((await failure(given.call('refused'))).code, 'NPP_BACKLOG_FULL')
    assert.deepEqual([given.caller.waiting, given.caller.pending], [0, 1])
    given.take()
    await turns(3)
    given.call('sent too')
    assert.equal(given.take().name, 'sent too')
  })

  it('holds and gives back many calls', async (context) => {
    const given = new GivenCaller(context, { depth: 10, maxBacklog: 10_000 })
    for (let number = 0; number < 5000; number++) given.call(`${number}`)
    let next = 0
    while (next < 5000) {
      while (given.requests.count() > 0) assert.equal(given.take().name, `${next++}`)
      if (next % 700 < 10 && next < 5000) assert.equal(given.caller.waiting, 5000 - next)
      await turns(2)
    }
  })
})

describe('a caller that is stopped', () => {
  it('fails all calls under way, and those to come: NPP_CALL_CANCELLED', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    const calls = [given.call('sent'), given.call('waits')]
    given.caller.flush()
    given.caller.stop()
    for (const call of [...calls, given.call('later')]) {
      const error = await failure(call)
      assert.deepEqual([error.code, error.status], ['NPP_CALL_CANCELLED', 503])
    }
    assert.deepEqual([given.caller.pending, given.caller.waiting], [0, 0])
    given.reply(given.take(), 'late')
    await turns(3)
    assert.equal(given.requests.count(), 0)
  })
})

describe('calls whose services have gone', () => {
  it('fail once nobody is left to answer, and are not run by a service that comes later', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    const calls = [given.call('sent'), given.call('waits')]
    given.pass(Limits.serviceWatchMs + 20)
    await turns(2)
    assert.deepEqual(
      calls.map((call) => call.settled),
      [false, false],
    )
    given.hasService = false
    given.pass(Limits.serviceWatchMs + 20)
    for (const call of calls) await assert.rejects(call.promise, isCode('NPP_NO_SERVICE'))
    await turns(3)
    assert.deepEqual([given.requests.count(), given.caller.waiting, given.caller.pending], [0, 0, 0])
  })
})
