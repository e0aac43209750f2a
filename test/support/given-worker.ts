import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { bodyOf, formOf } from '../../ipc/body.ts'
import { CancelTable } from '../../ipc/cancel-board.ts'
import { EncodeError, FrameKind } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import type { PayloadStore } from '../../ipc/payload-store.ts'
import type { ServiceTable } from '../../shared/services.ts'
import { defineServices, page } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import type { Figures } from '../../svc/figures.ts'
import { Worker, type HandSlot } from '../../svc/worker.ts'
import { FakeClock } from './fake-clock.ts'
import { BASE, messageOf, mustFrames, valueOf, type Frame } from './frames.ts'
import { turns } from './queue-tools.ts'
import { RecordedLog } from './recorded-log.ts'

export const MESSAGE = 4096

/** Something that a service waits for. */
class Gate {
  open: () => void = () => undefined
  fail: (error: unknown) => void = () => undefined
  readonly passed = new Promise<void>((resolve, reject) => {
    this.open = resolve
    this.fail = reject
  })
}

export interface Reply {
  readonly frame: Frame
  readonly value: unknown
}

interface Setup {
  readonly repliesDepth?: number
  readonly concurrency?: number
  /** Services of another definition. */
  readonly declared?: ServiceTable
  readonly payloads?: PayloadStore
  /** Where it shows what it has in hand, and what it counts. */
  readonly slot?: HandSlot
  readonly figures?: Figures
  readonly graceMs?: number
}

/** A worker with queues in memory, the test at their other ends in place of the engine. */
export class GivenWorker {
  readonly clock = new FakeClock()
  readonly log = new RecordedLog()
  readonly cancels = new CancelTable(new Int32Array(100))
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  readonly worker: Worker
  /** Inputs in the order they were run. */
  readonly run: unknown[] = []
  readonly gates = new Map<string, Gate>()
  signal: AbortSignal | undefined
  /** Told when `takes` is run. */
  onRun: () => void = () => undefined
  readonly closeWorkersQueues: () => void
  #sent = 0

  constructor(context: TestContext, { repliesDepth = 10, concurrency = 1, declared, ...shown }: Setup = {}) {
    const requests = createMemoryQueue({ name: 'requests', maxMessages: 10, messageSize: MESSAGE })
    const replies = createMemoryQueue({ name: 'replies', maxMessages: repliesDepth, messageSize: MESSAGE })
    this.requests = requests.open()
    this.replies = replies.open()
    const [workerRequests, workerReplies] = [requests.open(), replies.open()]
    this.closeWorkersQueues = () => {
      workerRequests.close()
      workerReplies.close()
    }
    const definition = defineServices({
      query: () => ({
        // Query builders are thenables and no promises.
        // oxlint-disable-next-line unicorn/no-thenable
        then: (fulfilled: (rows: number) => void) => fulfilled(3),
      }),
      echo: (input: unknown) => {
        this.run.push(input)
        return input
      },
      nothing: () => undefined,
      takes: (milliseconds: number) => {
        this.run.push(milliseconds)
        this.clock.pass(milliseconds)
        this.onRun()
      },
      gated: async (input: string, { signal }) => {
        this.run.push(input)
        this.signal = signal
        const gate = new Gate()
        this.gates.set(input, gate)
        await gate.passed
        return `through ${input}`
      },
      throws: (input: unknown) => {
        throw input
      },
      fails: () => {
        throw Object.assign(new Error('the service fails'), { code: 'E_SITE' })
      },
      rejects: async () => {
        await Promise.resolve()
        throw new Error('the service rejects')
      },
      large: (bytes: number) => 'x'.repeat(bytes),
      unsendable: () => ({ f: () => 1 }),
      getter: () => ({
        get broken(): never {
          throw new Error('the getter fails')
        },
      }),
      show: page((req, res) => {
        res
          .status(201)
          .header('X', req.header('x') ?? '')
          .html(`${req.method} ${req.path} ${req.params['id']} ${req.query.get('q')} ${req.body.toString()}`)
      }),
      late: page(async (_req, res) => {
        await Promise.resolve()
        res.json({ late: true })
      }),
      brokenPage: page(() => {
        throw new Error('the page fails')
      }),
    })
    const registry = new Registry(declared === undefined ? definition : defineServices(declared), 'svc.ts')
    this.worker = new Worker({
      requests: workerRequests,
      replies: workerReplies,
      registry,
      concurrency,
      ...shown,
      cancels: { isCancelled: (_, slot, generation) => this.cancels.isCancelled(slot, generation) },
      clock: this.clock,
      log: this.log,
    })
    this.worker.start()
    if (registry.declarations.length === 0) this.#takeAnnouncement()
    context.after(() => {
      for (const queue of [this.requests, this.replies, workerRequests, workerReplies]) queue.close()
    })
  }

  /** A process that has nothing to say of its services says that it is there. */
  #takeAnnouncement(): void {
    const into = Buffer.alloc(MESSAGE)
    const [frame, ...others] = mustFrames(into.subarray(0, this.replies.shift(into)))
    assert.deepEqual([frame?.kind, frame?.body.byteLength, others.length], [FrameKind.Announcement, 0, 0])
  }

  /** Puts a call into the request queue. */
  call(name: string, input?: unknown, changes: Partial<Frame> = {}): void {
    this.push([this.frame(name, input, changes)])
  }

  frame(name: string, input?: unknown, changes: Partial<Frame> = {}): Frame {
    const body = bodyOf(input)
    if (body instanceof EncodeError) assert.fail(body.reason)
    const deadline = this.clock.monotonic() + 1000
    const head = { call: ++this.#sent, generation: 5, epoch: 6, sender: 7 }
    return { ...BASE, ...head, deadline, name, form: formOf(input), body: Buffer.from(body), ...changes }
  }

  /** Puts a message of these calls into the request queue. */
  push(frames: readonly Frame[]): void {
    assert.ok(this.requests.push(messageOf(frames, MESSAGE)))
  }

  /** The replies in the queue. */
  async takeReplies(): Promise<Reply[]> {
    return (await this.takeReplyMessages()).flat()
  }

  /** The replies in the queue, message by message. */
  async takeReplyMessages(): Promise<Reply[][]> {
    await turns(4)
    const messages: Reply[][] = []
    const into = Buffer.alloc(MESSAGE)
    for (let length = this.replies.shift(into); length >= 0; length = this.replies.shift(into)) {
      const frames = mustFrames(Buffer.from(into.subarray(0, length)))
      messages.push(frames.map((frame) => ({ frame, value: valueOf(frame) })))
    }
    return messages
  }

  /** The calls in the request queue. */
  takeCalls(): Frame[] {
    const into = Buffer.alloc(MESSAGE)
    const frames: Frame[] = []
    for (let length = this.requests.shift(into); length >= 0; length = this.requests.shift(into))
      frames.push(...mustFrames(Buffer.from(into.subarray(0, length))))
    return frames
  }

  async takeReply(): Promise<Reply> {
    const [reply, ...others] = await this.takeReplies()
    assert.equal(others.length, 0)
    if (reply === undefined) assert.fail('no reply came')
    return reply
  }

  gate(input: string): Gate {
    return this.gates.get(input) ?? assert.fail(`${input} does not run`)
  }
}
