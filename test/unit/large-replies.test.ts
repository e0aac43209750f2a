import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { bodyOf, formOf } from '../../ipc/body.ts'
import { BodyForm, EncodeError, FrameKind, PART, PART_HEADER_BYTES, SPILLED } from '../../ipc/frame.ts'
import { messageOf, type Frame } from '../support/frames.ts'
import { ENGINE, EPOCH, GivenCaller, MESSAGE, failure } from '../support/given-caller.ts'
import { MemoryPayloads } from '../support/memory-payloads.ts'
import { turns } from '../support/queue-tools.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const MOST = 100_000
const SENDER = 9
const bytes = (length = 5000): Buffer => new SeededRandom(length + 1).bytes(length)

function given(context: TestContext) {
  const payloads = new MemoryPayloads(MOST)
  const caller = new GivenCaller(context, { payloads })
  return { payloads, caller }
}

const replyTo = (call: Frame): Frame => ({ ...call, kind: FrameKind.Reply, name: '', sender: SENDER, large: 0, runMicros: 5 })

/** The frame in which a worker would send a spilled reply. */
function spilled(payloads: MemoryPayloads, call: Frame, value: unknown): Frame {
  const body = bodyOf(value)
  if (body instanceof EncodeError) assert.fail(body.reason)
  return { ...replyTo(call), form: formOf(value), large: SPILLED, body: Buffer.from(payloads.put(body)) }
}

/** The frames in which a worker would send a reply in parts of so many bytes. */
function partsOf(call: Frame, value: unknown, length: number): Frame[] {
  const body = bodyOf(value)
  if (body instanceof EncodeError) assert.fail(body.reason)
  const frames: Frame[] = []
  for (let start = 0; start < body.byteLength; start += length) {
    const part = body.subarray(start, start + length)
    frames.push({ ...replyTo(call), form: formOf(value), large: PART, body: partBody(body.byteLength, start, part) })
  }
  return frames
}

function partBody(total: number, start: number, part: Uint8Array): Buffer {
  const head = Buffer.alloc(PART_HEADER_BYTES)
  head.writeUInt32LE(total)
  head.writeUInt32LE(start, 4)
  return Buffer.concat([head, part])
}

function push(caller: GivenCaller, ...frames: readonly Frame[]): void {
  for (const frame of frames) caller.push(messageOf([frame], MESSAGE))
}

/** Turns, until what is in the reply queue has been taken. */
async function delivered(caller: GivenCaller): Promise<void> {
  while (caller.replies.count() > 0) await turns(1)
  await turns(2)
}

const VALUES = [
  ['a Buffer', bytes()],
  ['a Uint8Array', new Uint8Array(bytes())],
  ['an object', { text: 'é'.repeat(2000), bytes: bytes(), none: undefined }],
] as const

describe('a spilled reply', () => {
  for (const [what, value] of VALUES) {
    it(`of ${what} is what the service replied, and is gone from its place`, async (context) => {
      const { payloads, caller } = given(context)
      const call = caller.call('a')
      push(caller, spilled(payloads, caller.take(), value))
      const result = await call.promise
      assert.deepEqual(result, value)
      if (result instanceof Uint8Array) assert.equal(Buffer.isBuffer(result), Buffer.isBuffer(value))
      assert.deepEqual([payloads.count, caller.caller.pending, caller.log.lines], [0, 0, []])
    })
  }

  it('that comes too late is removed', async (context) => {
    const { payloads, caller } = given(context)
    const call = caller.call('a', 1, { timeoutMs: 50 })
    const frame = caller.take()
    caller.pass(100)
    await failure(call)
    push(caller, spilled(payloads, frame, bytes()))
    await delivered(caller)
    assert.deepEqual([payloads.count, caller.caller.lateReplies], [0, 1])
  })

  it('for another engine is removed, with those that come in its message', async (context) => {
    const { payloads, caller } = given(context)
    const call = caller.call('a')
    const frame = caller.take()
    const others = { engine: ENGINE, epoch: EPOCH + 1 }
    const replies = [1, 2, 3].map(() => ({ ...spilled(payloads, frame, bytes()), ...others }))
    caller.push(messageOf(replies, MESSAGE))
    await delivered(caller)
    assert.deepEqual([payloads.count, call.settled, caller.caller.strayMessages], [0, false, 1])
  })

  it('over maxCallBytes fails its call, and is removed', async (context) => {
    const { payloads, caller } = given(context)
    const call = caller.call('a')
    push(caller, spilled(payloads, caller.take(), bytes(MOST + 1)))
    const error = await failure(call)
    assert.deepEqual([error.code, error.status], ['NPP_REPLY_TOO_LARGE', 500])
    assert.match(error.message, /the result of a has 100001 bytes; maxCallBytes allows 100000/)
    assert.deepEqual([payloads.count, caller.log.messages('warn')], [0, ['a reply is too large']])
  })

  for (const [what, change] of [
    ['a reference to nothing', (body: Buffer) => body.fill(1, 4)],
    ['a length that is not its', (body: Buffer) => body.writeUInt32LE(7)],
  ] as const) {
    it(`with ${what} fails its own call, and no other`, async (context) => {
      const { payloads, caller } = given(context)
      const [call, other] = [caller.call('a'), caller.call('b')]
      const frames = [caller.take(), caller.take()]
      const [mine, its] = frames.map((frame) => spilled(payloads, frame, bytes()))
      change(mine!.body)
      push(caller, mine!, its!)
      const error = await failure(call)
      assert.deepEqual([error.code, error.status], ['NPP_SERVICE_FAILED', 500])
      assert.deepEqual(await other.promise, bytes())
      assert.deepEqual(caller.log.messages('warn'), ['the body of a reply is malformed'])
    })
  }

  it('that comes once more finds nobody', async (context) => {
    const { payloads, caller } = given(context)
    const call = caller.call('a')
    const reply = spilled(payloads, caller.take(), bytes())
    push(caller, reply, reply)
    assert.deepEqual(await call.promise, bytes())
    await delivered(caller)
    assert.equal(caller.caller.lateReplies, 1)
  })
})

describe('a reply in parts', () => {
  for (const [what, value] of VALUES) {
    it(`of ${what} is what the service replied, once its last part is there`, async (context) => {
      const { caller } = given(context)
      const call = caller.call('a')
      const parts = partsOf(caller.take(), value, 400)
      push(caller, ...parts.slice(0, -1))
      await delivered(caller)
      assert.equal(call.settled, false)
      push(caller, ...parts.slice(-1))
      const result = await call.promise
      assert.deepEqual(result, value)
      if (result instanceof Uint8Array) assert.equal(Buffer.isBuffer(result), Buffer.isBuffer(value))
      assert.deepEqual([caller.caller.pending, caller.log.lines], [0, []])
    })
  }

  it('comes between those of others', async (context) => {
    const { caller } = given(context)
    const values = [bytes(3000), bytes(3001), bytes(3002)]
    const calls = values.map(() => caller.call('a'))
    const parts = values.map((value) => partsOf(caller.take(), value, 100))
    for (let index = 0; index < 31; index++) {
      const frames = parts.flatMap((frames) => frames.slice(index, index + 1))
      // They share messages, from one process.
      if (frames.length > 0) caller.push(messageOf(frames, MESSAGE))
    }
    assert.deepEqual(await Promise.all(calls.map((call) => call.promise)), values)
  })

  it('of a call that was given up is dropped, and does not get into the next one of its slot', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a', 1, { timeoutMs: 50 })
    const frame = caller.take()
    const parts = partsOf(frame, bytes(), 400)
    push(caller, ...parts.slice(0, 5))
    await delivered(caller)
    caller.pass(100)
    assert.equal((await failure(call)).code, 'NPP_CALL_TIMEOUT')
    const next = caller.call('b')
    const its = caller.take()
    assert.equal(its.call, frame.call)
    push(caller, ...parts.slice(5))
    await delivered(caller)
    assert.deepEqual([caller.caller.lateReplies, next.settled], [1, false])
    push(caller, ...partsOf(its, 'x'.repeat(1000), 400))
    assert.equal(await next.promise, 'x'.repeat(1000))
  })

  it('over maxCallBytes fails its call with the first part, before memory is taken', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a')
    const frame = caller.take()
    push(caller, { ...replyTo(frame), form: BodyForm.Buffer, large: PART, body: partBody(2 ** 32 - 1, 0, bytes(10)) })
    assert.equal((await failure(call)).code, 'NPP_REPLY_TOO_LARGE')
  })

  it('that ends as a failure is one', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a')
    const frame = caller.take()
    push(caller, ...partsOf(frame, bytes(), 400).slice(0, 3))
    caller.reply(frame, { code: 'E', message: 'm' }, { kind: FrameKind.Failure })
    assert.equal((await failure(call)).code, 'NPP_SERVICE_FAILED')
  })

  it('that is no MessagePack fails its own call', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a')
    const parts = partsOf(caller.take(), 'x'.repeat(1000), 400).map((part) => {
      part.body.fill(0xc1, PART_HEADER_BYTES)
      return part
    })
    push(caller, ...parts)
    assert.match((await failure(call)).message, /is malformed/)
  })

  it('of a service that dies is forgotten: the call is made again, and gets the reply of the next', async (context) => {
    const { caller } = given(context)
    caller.announce({ name: 'a', idempotent: true })
    await turns(3)
    const call = caller.call('a')
    const frame = caller.take()
    push(caller, ...partsOf(frame, bytes(), 400).slice(0, 5))
    await delivered(caller)
    caller.caller.died(frame.call, frame.generation)
    // The process may have the pid of the one before.
    push(caller, ...partsOf(caller.take(), bytes(4000), 400))
    assert.deepEqual(await call.promise, bytes(4000))
    assert.deepEqual(caller.log.messages('warn'), [])
  })
})

/** [rule, what comes between the first two parts of a reply and the others, whether it is logged]. */
const STRAYS: readonly (readonly [string, (call: Frame, parts: readonly Frame[]) => readonly Frame[]])[] = [
  ['a part once more', (_call, parts) => [parts[1]!]],
  ['its beginning once more', (_call, parts) => [parts[0]!]],
  ['a part too early', (_call, parts) => [parts[3]!]],
  ['a part of another process', (_call, parts) => [{ ...parts[2]!, sender: SENDER + 1, body: partBody(5000, 800, Buffer.alloc(400)) }]],
  ['a part of another length', (call) => [{ ...replyTo(call), form: BodyForm.Buffer, large: PART, body: partBody(5001, 800, bytes(100)) }]],
  ['a part of another type', (_call, parts) => [{ ...parts[2]!, form: BodyForm.Bytes, body: partBody(5000, 800, Buffer.alloc(400)) }]],
]

describe('what is no part of a reply is dropped and logged, and the reply comes together:', () => {
  for (const [rule, strays] of STRAYS) {
    it(rule, async (context) => {
      const { caller } = given(context)
      const [call, other] = [caller.call('a'), caller.call('b')]
      const frame = caller.take()
      const its = caller.take()
      const parts = partsOf(frame, bytes(), 400)
      push(caller, ...parts.slice(0, 2), ...strays(frame, parts), ...parts.slice(2), ...partsOf(its, bytes(1000), 400))
      assert.deepEqual(await call.promise, bytes())
      assert.deepEqual(await other.promise, bytes(1000))
      assert.deepEqual(caller.log.messages('warn'), ['a part of a reply does not belong there'])
      assert.equal(caller.caller.strayMessages, 1)
    })
  }

  it('a part without the beginning of one', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a')
    const parts = partsOf(caller.take(), bytes(), 400)
    push(caller, parts[4]!, ...parts)
    assert.deepEqual(await call.promise, bytes())
    assert.deepEqual(caller.log.messages('warn'), ['a part of a reply does not belong there'])
  })

  it('the beginning of one that another process sends for a call that is not its', async (context) => {
    const { caller } = given(context)
    const call = caller.call('a')
    const frame = caller.take()
    const forged = partsOf(frame, bytes(900), 400).map((part) => ({ ...part, sender: SENDER + 1 }))
    push(caller, forged[0]!, ...partsOf(frame, bytes(), 400).slice(0, 3), forged[1]!, ...partsOf(frame, bytes(), 400).slice(3))
    assert.deepEqual(await call.promise, bytes())
  })
})
