import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { BATCH_HEADER_BYTES, BodyForm, DecodeError, SPILLED, callBytes } from '../../ipc/frame.ts'
import type { Frame } from '../support/frames.ts'
import { GivenCaller, MESSAGE, failure } from '../support/given-caller.ts'
import { MemoryPayloads } from '../support/memory-payloads.ts'
import { turns } from '../support/queue-tools.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const MOST = 100_000
const BYTES = 5000
const bytes = (length = BYTES): Buffer => new SeededRandom(length + 1).bytes(length)

function given(context: TestContext, setup: { readonly depth?: number; readonly maxBacklogBytes?: number } = {}) {
  const payloads = new MemoryPayloads(MOST)
  const caller = new GivenCaller(context, { payloads, ...setup })
  return { payloads, caller }
}

/** What a service would make of the spilled input. */
function inputOf(payloads: MemoryPayloads, frame: Frame): unknown {
  assert.equal(frame.large, SPILLED)
  const input = payloads.take(frame.form, frame.body, 0)
  if (input === undefined || input instanceof DecodeError) assert.fail('the input is not there')
  return input.value
}

describe('an input that no message holds', () => {
  for (const [what, input, form] of [
    ['a Buffer', bytes(), BodyForm.Buffer],
    ['a Uint8Array', new Uint8Array(bytes()), BodyForm.Bytes],
    ['a text', 'é'.repeat(BYTES), BodyForm.Packed],
    ['an object', { a: [bytes(), 'x'.repeat(BYTES), 1.5], none: undefined }, BodyForm.Packed],
  ] as const) {
    it(`${what}: its frame says where it is, and it is replied to as any other`, async (context) => {
      const { payloads, caller } = given(context)
      const call = caller.call('sum', input)
      assert.equal(payloads.count, 1, 'it is there before the call has left')
      const frame = caller.take()
      assert.deepEqual([frame.form, frame.name], [form, 'sum'])
      assert.deepEqual(inputOf(payloads, frame), input)
      caller.reply(frame, 'summed')
      assert.equal(await call.promise, 'summed')
      assert.deepEqual([payloads.count, caller.caller.pending, caller.wheel.armed], [0, 0, 1])
    })
  }

  it('is what it was when the call was made', (context) => {
    const { payloads, caller } = given(context)
    const input = bytes()
    caller.call('sum', input)
    input.fill(0)
    assert.deepEqual(inputOf(payloads, caller.take()), bytes())
  })

  it('begins one byte above a message', (context) => {
    const { payloads, caller } = given(context)
    const most = MESSAGE - callBytes(3, 0)
    caller.call('sum', Buffer.alloc(most))
    assert.deepEqual([caller.take().large, payloads.puts], [0, 0])
    caller.call('sum', Buffer.alloc(most + 1))
    assert.deepEqual([caller.take().large, payloads.puts], [SPILLED, 1])
  })

  it('ends at maxCallBytes: one byte more is NPP_CALL_TOO_LARGE, and nothing is left of it', async (context) => {
    const { payloads, caller } = given(context)
    caller.call('sum', Buffer.alloc(MOST))
    assert.equal(payloads.count, 1)
    const error = await failure(caller.call('sum', Buffer.alloc(MOST + 1)))
    assert.deepEqual([error.code, error.status], ['NPP_CALL_TOO_LARGE', 413])
    assert.match(error.message, /has 100001 bytes; maxCallBytes allows 100000/)
    assert.deepEqual([payloads.puts, caller.caller.pending], [1, 1])
  })

  it('ends there too where a message would hold it', async (context) => {
    const caller = new GivenCaller(context, { payloads: new MemoryPayloads(10) })
    caller.call('sum', Buffer.alloc(10))
    assert.equal((await failure(caller.call('sum', Buffer.alloc(11)))).code, 'NPP_CALL_TOO_LARGE')
  })

  it('fails at once with NPP_CALL_NO_MEMORY where there is no room, and small calls go on', async (context) => {
    const { payloads, caller } = given(context)
    payloads.isFull = true
    const error = await failure(caller.call('sum', bytes()))
    assert.deepEqual([error.code, error.status], ['NPP_CALL_NO_MEMORY', 503])
    assert.match(error.message, /the input of sum cannot be sent: no room/)
    assert.deepEqual([caller.caller.pending, caller.caller.waiting, caller.caller.waitingBytes, caller.wheel.armed], [0, 0, 0, 0])
    const small = caller.call('sum', 1)
    caller.reply(caller.take(), 'small')
    assert.equal(await small.promise, 'small')
  })

  it('fails with what the system says where that is something else, and leaves nothing', async (context) => {
    const { payloads, caller } = given(context)
    payloads.put = () => {
      throw new TypeError('a fault')
    }
    const error = await failure(caller.call('sum', bytes()))
    assert.deepEqual([error.code, error.message], ['NPP_SHM_FAILED', 'the input of sum cannot be sent: a fault'])
    assert.deepEqual([caller.caller.pending, caller.caller.waiting], [0, 0])
  })
})

describe('a large input that waits', () => {
  it('is counted with all its bytes, and not written where it may not wait', async (context) => {
    const { payloads, caller } = given(context, { depth: 1, maxBacklogBytes: 12_000 })
    caller.call('x')
    caller.caller.flush()
    caller.call('a', bytes())
    await turns(1)
    assert.equal(caller.caller.waitingBytes, callBytes(1, BYTES) - BATCH_HEADER_BYTES)
    caller.call('b', bytes())
    const refused = await failure(caller.call('c', bytes()))
    assert.equal(refused.code, 'NPP_BACKLOG_FULL')
    assert.deepEqual([payloads.puts, payloads.count], [2, 2])
    for (const name of ['x', 'a', 'b']) {
      const frame = caller.take()
      assert.equal(frame.name, name)
      if (name !== 'x') assert.deepEqual(inputOf(payloads, frame), bytes())
      await turns(3)
    }
    assert.equal(caller.caller.waitingBytes, 0)
  })

  it('is removed when the flush that it causes finds no room for it', async (context) => {
    const { payloads, caller } = given(context, { depth: 1, maxBacklogBytes: 4000 })
    caller.call('x')
    assert.equal((await failure(caller.call('a', bytes()))).code, 'NPP_BACKLOG_FULL')
    assert.deepEqual([payloads.puts, payloads.count], [1, 0])
  })
})

describe('a large input is removed', () => {
  for (const hasLeft of [false, true]) {
    const when = hasLeft ? 'after it has left' : 'before it has left'
    it(`at the deadline of its call, ${when}`, async (context) => {
      const { payloads, caller } = given(context, { depth: 1 })
      if (!hasLeft) caller.call('x')
      caller.caller.flush()
      const call = caller.call('a', bytes(), { timeoutMs: 50 })
      await turns(1)
      assert.deepEqual([payloads.count, caller.caller.waiting], [1, hasLeft ? 0 : 1])
      caller.pass(100)
      assert.equal((await failure(call)).code, 'NPP_CALL_TIMEOUT')
      assert.equal(payloads.count, 0)
    })

    it(`when its call is cancelled, ${when}`, async (context) => {
      const { payloads, caller } = given(context, { depth: 1 })
      if (!hasLeft) caller.call('x')
      caller.caller.flush()
      const aborter = new AbortController()
      const call = caller.call('a', bytes(), { signal: aborter.signal })
      await turns(1)
      aborter.abort()
      assert.equal((await failure(call)).code, 'NPP_CALL_CANCELLED')
      assert.equal(payloads.count, 0)
    })
  }

  it('when the engine stops', async (context) => {
    const { payloads, caller } = given(context, { depth: 1 })
    const calls = [caller.call('a', bytes()), caller.call('b', bytes())]
    await turns(1)
    caller.caller.stop()
    for (const call of calls) assert.equal((await failure(call)).code, 'NPP_CALL_CANCELLED')
    assert.equal(payloads.count, 0)
  })

  it('when no service is left, that of a call without a reply too', async (context) => {
    const { payloads, caller } = given(context)
    const call = caller.call('a', bytes())
    caller.callNoReply('b', bytes())
    await turns(1)
    assert.equal(payloads.count, 2, 'a call that has left for good leaves its input')
    caller.hasService = false
    caller.pass(1000)
    assert.equal((await failure(call)).code, 'NPP_NO_SERVICE')
    assert.deepEqual([payloads.count, caller.inQueue], [0, 0])
  })
})

async function taken(context: TestContext, idempotent: boolean) {
  const { payloads, caller } = given(context)
  caller.announce({ name: 'a', idempotent })
  await turns(3)
  const input = bytes()
  const call = caller.call('a', input)
  input.fill(0)
  const frame = caller.take()
  return { payloads, caller, call, frame }
}

describe('a call with a large input whose service dies', () => {
  for (const wasTaken of [true, false]) {
    it(`is made again with its input, when the service ${wasTaken ? 'had' : 'had not'} taken it`, async (context) => {
      const { payloads, caller, call, frame } = await taken(context, true)
      if (wasTaken) inputOf(payloads, frame)
      caller.caller.died(frame.call, frame.generation)
      const again = caller.take()
      assert.deepEqual([again.call, again.generation, payloads.count], [frame.call, frame.generation, 1])
      assert.deepEqual(inputOf(payloads, again), bytes())
      caller.reply(again, 'second')
      assert.equal(await call.promise, 'second')
    })
  }

  it('fails when it dies again, and leaves nothing', async (context) => {
    const { payloads, caller, call, frame } = await taken(context, true)
    caller.caller.died(frame.call, frame.generation)
    caller.take()
    caller.caller.died(frame.call, frame.generation)
    assert.equal((await failure(call)).code, 'NPP_SERVICE_DIED')
    assert.equal(payloads.count, 0)
  })

  it('fails with NPP_CALL_NO_MEMORY when there is no room for its input any more', async (context) => {
    const { payloads, caller, call, frame } = await taken(context, true)
    payloads.isFull = true
    caller.caller.died(frame.call, frame.generation)
    assert.equal((await failure(call)).code, 'NPP_CALL_NO_MEMORY')
    assert.deepEqual([payloads.count, caller.caller.pending], [0, 0])
  })

  it('fails and leaves nothing when its service is not idempotent', async (context) => {
    const { payloads, caller, call, frame } = await taken(context, false)
    caller.caller.died(frame.call, frame.generation)
    assert.equal((await failure(call)).code, 'NPP_SERVICE_DIED')
    assert.equal(payloads.count, 0)
  })

  it('fails when its service turns out to be idempotent once the input is kept no more', async (context) => {
    const { payloads, caller } = given(context, { depth: 1 })
    caller.announce({ name: 'a', idempotent: false })
    await turns(3)
    caller.call('x')
    caller.caller.flush()
    const call = caller.call('a', bytes())
    caller.announce({ name: 'a', idempotent: true })
    await turns(3)
    caller.take()
    await turns(3)
    const frame = caller.take()
    assert.equal(frame.name, 'a')
    caller.caller.died(frame.call, frame.generation)
    assert.equal((await failure(call)).code, 'NPP_SERVICE_DIED')
    assert.equal(payloads.count, 0)
  })

  it('has what the process wrote removed', (context) => {
    const { payloads, caller } = given(context)
    caller.caller.ended(99)
    assert.deepEqual(payloads.gone, [99])
  })
})
