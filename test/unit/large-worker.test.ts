import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bodyOf, formOf } from '../../ipc/body.ts'
import { BodyForm, DecodeError, EncodeError, FrameKind, PART, PART_HEADER_BYTES, SPILLED, replyBytes } from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import type { ServiceTable } from '../../shared/services.ts'
import { eventually } from '../support/eventually.ts'
import { messageOf, mustFrames, valueOf, type Frame } from '../support/frames.ts'
import { GivenWorker, MESSAGE } from '../support/given-worker.ts'
import { MemoryPayloads } from '../support/memory-payloads.ts'
import { turns } from '../support/queue-tools.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const MOST = 300_000
const SPILL = Limits.spillBytes
const bytes = (length = 20_000): Buffer => new SeededRandom(length + 1).bytes(length)

function given(
  context: TestContext,
  setup: { readonly repliesDepth?: number; readonly concurrency?: number; declared?: ServiceTable } = {},
) {
  const payloads = new MemoryPayloads(MOST)
  const worker = new GivenWorker(context, { payloads, ...setup })
  return { payloads, worker }
}

/** A call of the worker's whose input is spilled. */
function spilled(payloads: MemoryPayloads, worker: GivenWorker, name: string, input: unknown, changes: Partial<Frame> = {}): Frame {
  const body = bodyOf(input)
  if (body instanceof EncodeError) assert.fail(body.reason)
  const large = { form: formOf(input), large: SPILLED, body: Buffer.from(payloads.put(body)) }
  return worker.frame(name, 0, { ...large, ...changes })
}

/** Takes the replies as an engine does, parts put together; ends when none comes for a while. */
class Engine {
  /** Bytes of the parts in hand, by call. */
  readonly #parts = new Map<number, Buffer[]>()
  readonly results = new Map<number, unknown>()
  /** The calls of the frames, message by message. */
  readonly messages: number[][] = []
  readonly frames: Frame[] = []

  readonly #worker: GivenWorker
  readonly #payloads: MemoryPayloads

  constructor(worker: GivenWorker, payloads: MemoryPayloads) {
    this.#worker = worker
    this.#payloads = payloads
  }

  async takeAll(): Promise<this> {
    for (let idle = 0; idle < 5; idle++) {
      await turns(3)
      while (this.takeOne()) idle = 0
    }
    return this
  }

  takeOne(): boolean {
    const into = Buffer.alloc(MESSAGE)
    const length = this.#worker.replies.shift(into)
    if (length === -1) return false
    const frames = mustFrames(into.subarray(0, length))
    this.messages.push(frames.map(({ call }) => call))
    for (const frame of frames) this.#add(frame)
    return true
  }

  #add(frame: Frame): void {
    this.frames.push(frame)
    assert.equal(this.results.has(frame.call), false, 'a call has one reply')
    if (frame.large === 0) this.results.set(frame.call, valueOf(frame))
    else if (frame.large === SPILLED) {
      const taken = this.#payloads.take(frame.form, frame.body, 0)
      if (taken === undefined || taken instanceof DecodeError) assert.fail('the payload is not there')
      this.results.set(frame.call, taken.value)
    } else this.#addPart(frame)
  }

  #addPart(frame: Frame): void {
    const parts = this.#parts.get(frame.call) ?? []
    const there = parts.reduce((sum, part) => sum + part.byteLength, 0)
    assert.equal(frame.body.readUInt32LE(4), there, 'in their order')
    parts.push(frame.body.subarray(PART_HEADER_BYTES))
    this.#parts.set(frame.call, parts)
    if (there + frame.body.byteLength - PART_HEADER_BYTES < frame.body.readUInt32LE(0)) return
    this.results.set(frame.call, valueOf({ ...frame, large: 0, body: Buffer.concat(parts) }))
  }
}

describe('a spilled input', () => {
  for (const [what, input] of [
    ['a Buffer', bytes()],
    ['a Uint8Array', new Uint8Array(bytes())],
    ['an object', { text: 'é'.repeat(9000), none: undefined }],
  ] as const) {
    it(`${what} is taken when the call is run, and is what was sent`, async (context) => {
      const { payloads, worker } = given(context)
      worker.push([spilled(payloads, worker, 'echo', input)])
      const { results } = await new Engine(worker, payloads).takeAll()
      assert.deepEqual(worker.run, [input])
      assert.equal(Buffer.isBuffer(worker.run[0]), Buffer.isBuffer(input))
      assert.deepEqual([...results], [[1, input]])
      assert.deepEqual([payloads.count, worker.log.lines], [0, []])
    })
  }

  it('of a page is its request', async (context) => {
    const { payloads, worker } = given(context)
    const head = { method: 'POST', target: '/p?q=1', path: '/p', params: { id: '1' }, headers: [], ip: '::1', protocol: 'http', host: 'h' }
    worker.push([spilled(payloads, worker, 'show', { ...head, body: Buffer.alloc(20_000, 'x') }, { kind: FrameKind.PageCall })])
    const engine = await new Engine(worker, payloads).takeAll()
    assert.ok(engine.frames.every(({ kind, large }) => kind === FrameKind.PageReply && large === PART))
    const [page] = engine.results.values()
    assert.match(JSON.stringify(page), /POST \/p 1 1 x{20000}/)
  })

  it('that is gone: its call is not run, no failure is sent, as who took the input replies, and it is logged', async (context) => {
    const { payloads, worker } = given(context)
    const call = spilled(payloads, worker, 'echo', bytes(5000))
    worker.push([call, call, worker.frame('echo', 'other')])
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual([...results.values()], [bytes(5000), 'other'])
    assert.deepEqual(worker.log.messages('warn'), ['the large input of a call is gone; not run'])
  })

  it('of another length than its frame says fails its own call', async (context) => {
    const { payloads, worker } = given(context)
    const call = spilled(payloads, worker, 'echo', bytes())
    call.body.writeUInt32LE(19_999)
    worker.push([call, worker.frame('echo', 'other')])
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual(results.get(2), 'other')
    assert.deepEqual(results.get(1), { code: 'NPP_CALL_INPUT', message: 'the input of echo is malformed: another size' })
    assert.deepEqual(worker.log.messages('warn'), ['the input of a call is malformed'])
  })

  it('over maxCallBytes fails its call, and is removed', async (context) => {
    const { payloads, worker } = given(context)
    worker.push([spilled(payloads, worker, 'echo', bytes(MOST + 1))])
    const { results } = await new Engine(worker, payloads).takeAll()
    const message = 'the input of echo has 300001 bytes; maxCallBytes allows 300000'
    assert.deepEqual([...results.values()], [{ code: 'NPP_CALL_TOO_LARGE', message }])
    assert.deepEqual([payloads.count, worker.run, worker.log.messages('warn')], [0, [], [message]])
  })

  it('fails its call where the process takes none', async (context) => {
    const worker = new GivenWorker(context)
    worker.push([spilled(new MemoryPayloads(), worker, 'echo', bytes())])
    assert.match(JSON.stringify((await worker.takeReply()).value), /takes no large inputs/)
  })

  it('is removed when its call is dropped: late, cancelled, or of no service', async (context) => {
    const { payloads, worker } = given(context)
    worker.cancels.cancel(2, 5)
    worker.push([
      spilled(payloads, worker, 'echo', bytes(), { deadline: 0 }),
      spilled(payloads, worker, 'echo', bytes()),
      spilled(payloads, worker, 'none', bytes()),
    ])
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual([[...results.keys()], worker.run, payloads.count], [[3], [], 0])
  })

  it('stays where it is while its call goes back to the queue', async (context) => {
    const { payloads, worker } = given(context)
    const up = setInterval(() => undefined, 5)
    context.after(() => clearInterval(up))
    worker.push([worker.frame('gated', 'a'), spilled(payloads, worker, 'echo', bytes())])
    await eventually('it is in the queue again', () => worker.gates.has('a') && worker.requests.count() === 1)
    const [back] = worker.takeCalls()
    assert.deepEqual([back?.large, back?.returns, payloads.count], [SPILLED, 1, 1])
    worker.gate('a').open()
    worker.push([back!])
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual(results.get(2), bytes())
  })
})

const WHOLE = MESSAGE - replyBytes(0)

describe('a large result', () => {
  for (const [length, large] of [
    [WHOLE, 0],
    [WHOLE + 1, PART],
    [SPILL - 1, PART],
    [SPILL, PART],
    [SPILL + 1, SPILLED],
    [MOST, SPILLED],
  ] as const) {
    it(`of ${length} bytes travels ${large === 0 ? 'whole' : large === PART ? 'in parts' : 'spilled'}`, async (context) => {
      const { payloads, worker } = given(context, {
        declared: { make: (length: number) => bytes(length), make8: (length: number) => new Uint8Array(bytes(length)) },
      })
      worker.push([worker.frame('make', length), worker.frame('make8', length)])
      const engine = await new Engine(worker, payloads).takeAll()
      assert.ok(engine.frames.every((frame) => frame.large === large))
      assert.deepEqual([...engine.results.values()], [bytes(length), new Uint8Array(bytes(length))])
      assert.deepEqual([payloads.count, worker.log.lines], [0, []])
    })
  }

  it('over maxCallBytes is a failure, whatever room there is', async (context) => {
    const { payloads, worker } = given(context, { declared: { make: (length: number) => bytes(length) } })
    worker.call('make', MOST + 1)
    const { results } = await new Engine(worker, payloads).takeAll()
    const message = 'the result of make has 300001 bytes; maxCallBytes allows 300000'
    assert.deepEqual([...results.values()], [{ code: 'NPP_REPLY_TOO_LARGE', message }])
    assert.deepEqual([payloads.puts, worker.log.messages('error')], [0, [message]])
  })

  it('that nobody waits for goes nowhere', async (context) => {
    const { payloads, worker } = given(context)
    worker.call('large', MOST, { wantsReply: false })
    const { frames } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual([frames, payloads.puts], [[], 0])
  })

  it('comes in parts, however large, where there is no room for its file, and that is logged once', async (context) => {
    const { payloads, worker } = given(context)
    payloads.isFull = true
    for (const length of [SPILL + 1, 200_000]) worker.call('large', length)
    const engine = await new Engine(worker, payloads).takeAll()
    assert.deepEqual(
      [...engine.results.values()].map((text) => String(text).length),
      [SPILL + 1, 200_000],
    )
    assert.ok(engine.frames.every((frame) => frame.large === PART))
    assert.deepEqual(worker.log.messages('warn'), ['large replies travel in messages: they cannot be spilled'])
    payloads.isFull = false
    worker.call('large', SPILL + 1)
    assert.equal((await new Engine(worker, payloads).takeAll()).frames[0]?.large, SPILLED)
    payloads.isFull = true
    worker.call('large', SPILL + 1)
    await new Engine(worker, payloads).takeAll()
    assert.equal(worker.log.messages('warn').length, 2)
  })

  it('shares its messages with other replies of the batch', async (context) => {
    const { payloads, worker } = given(context)
    worker.push([worker.frame('echo', 'a'), worker.frame('large', WHOLE + 100), worker.frame('echo', 'b'), worker.frame('echo', 'c')])
    const engine = await new Engine(worker, payloads).takeAll()
    assert.deepEqual(engine.messages, [[1, 2], [2], [3, 4]])
    assert.equal(engine.results.size, 4)
  })

  it('of two engines leaves in messages of theirs', async (context) => {
    const { payloads, worker } = given(context, { repliesDepth: 1 })
    worker.push([worker.frame('large', 9000, { engine: 0, epoch: 9 })])
    worker.push([worker.frame('large', 9000, { engine: 3, epoch: 8 })])
    const { frames, results } = await new Engine(worker, payloads).takeAll()
    assert.equal(results.size, 2)
    assert.ok(frames.every(({ call, engine, epoch }) => (call === 1 ? engine === 0 && epoch === 9 : engine === 3 && epoch === 8)))
  })
})

describe('while parts wait for room', () => {
  it('the worker takes no message and is not done, and goes on when there is room', async (context) => {
    const { payloads, worker } = given(context, { repliesDepth: 2 })
    worker.call('large', 40_000)
    worker.call('echo', 'next')
    await turns(4)
    assert.deepEqual([worker.replies.count(), worker.requests.count(), worker.run], [2, 1, []])
    let isStopped = false
    const engine = new Engine(worker, payloads)
    engine.takeOne()
    await turns(4)
    assert.deepEqual([worker.replies.count(), worker.run], [2, []])
    await engine.takeAll()
    assert.deepEqual([String(engine.results.get(1)).length, engine.results.get(2)], [40_000, 'next'])
    worker.call('large', 40_000)
    await turns(4)
    void worker.worker.stop().then(() => (isStopped = true))
    await turns(4)
    assert.equal(isStopped, false)
    await engine.takeAll()
    assert.deepEqual([isStopped, engine.results.size], [true, 3])
  })

  it('what the service does to its bytes is not seen', async (context) => {
    for (const shared of [bytes(40_000), new Uint8Array(bytes(40_000))]) {
      const { payloads, worker } = given(context, { repliesDepth: 1, declared: { give: () => shared } })
      worker.call('give')
      await turns(4)
      shared.fill(0)
      const { results } = await new Engine(worker, payloads).takeAll()
      const [result] = results.values()
      assert.ok(result instanceof Uint8Array && bytes(40_000).equals(result))
    }
  })

  it('other calls that end are replied to between them, in whole and in parts', async (context) => {
    const gates: (() => void)[] = []
    const gated = async (length: number): Promise<Buffer> => {
      await new Promise<void>((resolve) => gates.push(resolve))
      return bytes(length)
    }
    const { payloads, worker } = given(context, { repliesDepth: 1, concurrency: 8, declared: { gated } })
    const lengths = [40_000, 10, 30_000, 20, 3000, 3001, 9000]
    for (const length of lengths) worker.call('gated', length)
    await eventually('they run', () => gates.length === lengths.length)
    for (const open of gates) {
      open()
      await turns(2)
    }
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual(
      lengths.map((_, index) => results.get(index + 1)),
      lengths.map((length) => bytes(length)),
    )
  })
})

describe('a worker that is abandoned', () => {
  it('removes what it has put away, and puts no more there', async (context) => {
    const gates: (() => void)[] = []
    const late = async (): Promise<Buffer> => {
      await new Promise<void>((resolve) => gates.push(resolve))
      return bytes(SPILL + 1)
    }
    const { payloads, worker } = given(context, { declared: { late } })
    worker.call('late')
    await turns(4)
    worker.worker.abandon()
    assert.deepEqual([payloads.gone, gates.length], [[process.pid], 1])
    gates[0]?.()
    await sleep(5)
    assert.deepEqual([payloads.puts, worker.replies.count()], [0, 0])
  })
})

describe('a frame on the request queue', () => {
  it('that is a spilled reply is dropped and logged', async (context) => {
    const { payloads, worker } = given(context)
    const reply = {
      ...worker.frame('', 0),
      kind: FrameKind.Reply,
      form: BodyForm.Buffer,
      large: SPILLED,
      body: Buffer.from(payloads.put(bytes())),
    }
    worker.requests.push(messageOf([reply]))
    worker.call('echo', 'next')
    const { results } = await new Engine(worker, payloads).takeAll()
    assert.deepEqual([...results.values()], ['next'])
    assert.deepEqual(worker.log.messages('warn'), ['a frame on the request queue is not a call; dropped'])
  })
})
