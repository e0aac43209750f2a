import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { CallOptions } from '../../app/api.ts'
import type { InputSchemas } from '../../app/call/call-async.ts'
import type { CallFigures } from '../../app/call/call-figures.ts'
import { Caller } from '../../app/call/caller.ts'
import type { ServiceWatch } from '../../app/call/service-watch.ts'
import { bodyOf, formOf } from '../../ipc/body.ts'
import { CancelTable } from '../../ipc/cancel-board.ts'
import { EncodeError, FrameKind } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import type { PayloadStore } from '../../ipc/payload-store.ts'
import { NppError } from '../../shared/errors.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from './fake-clock.ts'
import { BASE, messageOf, mustFrames, type Frame } from './frames.ts'
import { RecordedLog } from './recorded-log.ts'

export const ENGINE = 2
export const EPOCH = 77
export const DEFAULT_TIMEOUT = 5000
export const MESSAGE = 512

interface Setup {
  readonly depth?: number
  readonly maxBacklog?: number
  readonly maxBacklogBytes?: number
  readonly maxPerService?: number
  readonly schemas?: InputSchemas
  readonly payloads?: PayloadStore
  readonly services?: ServiceWatch
  readonly figures?: CallFigures
}

/** A caller with queues in memory, the test at their other ends in place of the services. */
export class GivenCaller {
  readonly clock = new FakeClock()
  readonly wheel = new TimerWheel(this.clock)
  readonly log = new RecordedLog()
  readonly cancels = new CancelTable(new Int32Array(100))
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  readonly caller: Caller
  hasService = true
  readonly #into = Buffer.alloc(MESSAGE)
  /** Calls of messages that have been taken. */
  readonly #taken: Frame[] = []

  constructor(context: TestContext, { depth = 10, maxBacklog = 100, ...bounds }: Setup = {}) {
    const requests = createMemoryQueue({ name: 'requests', maxMessages: depth, messageSize: MESSAGE })
    const replies = createMemoryQueue({ name: 'replies', maxMessages: 1000, messageSize: MESSAGE })
    this.requests = requests.open()
    this.replies = replies.open()
    const [callerRequests, callerReplies] = [requests.open(), replies.open()]
    this.caller = new Caller({
      requests: callerRequests,
      replies: callerReplies,
      engine: ENGINE,
      epoch: EPOCH,
      defaultTimeoutMs: DEFAULT_TIMEOUT,
      maxBacklog,
      ...bounds,
      cancels: this.cancels,
      hasService: () => this.hasService,
      clock: this.clock,
      wheel: this.wheel,
      log: this.log,
    })
    context.after(() => {
      this.caller.stop()
      this.wheel.stop()
      for (const queue of [this.requests, this.replies, callerRequests, callerReplies]) queue.close()
    })
  }

  /** Calls; what comes of it is kept, so that no rejection is unheard of. */
  call(name: string, input?: unknown, settings?: CallOptions): Call {
    return new Call(this.caller.call(name, input, settings))
  }

  /** As `call`, and wants no reply. */
  callNoReply(name: string, input?: unknown, settings?: CallOptions): Call {
    return new Call(this.caller.callNoReply(name, input, settings))
  }

  /** As a handler calls, through the schemas. */
  callChecked(name: string, input: unknown, isSilent = false): Call {
    return new Call((isSilent ? this.caller.callAsync.noReply : this.caller.callAsync)(name, input))
  }

  /** Says of a service what its process would. */
  announce(value: unknown, changes: Partial<Frame> = {}): void {
    this.reply({ ...BASE, engine: 0, epoch: 0 }, value, { kind: FrameKind.Announcement, ...changes })
  }

  /** Has services answered once, each after so many microseconds. */
  async know(runMicros: number, ...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const call = this.call(name)
      this.reply(this.take(), 'known', { runMicros })
      await call.promise
    }
  }

  /** The next call in the request queue. */
  take(): Frame {
    if (this.#taken.length === 0) this.#taken.push(...this.takeMessage())
    return this.#taken.shift() ?? assert.fail('a message has no call')
  }

  /** The calls of the next message in the request queue. */
  takeMessage(): Frame[] {
    this.caller.flush()
    const length = this.requests.shift(this.#into)
    assert.notEqual(length, -1, 'no call is in the queue')
    return mustFrames(Buffer.from(this.#into.subarray(0, length)))
  }

  /** Messages that can be taken. */
  get inQueue(): number {
    this.caller.flush()
    return this.requests.count()
  }

  push(bytes: Uint8Array): void {
    assert.ok(this.replies.push(bytes))
  }

  /** Replies to a call, with what `changes` says differently. */
  reply(frame: Frame, value: unknown, changes: Partial<Frame> = {}): void {
    const body = bodyOf(value)
    if (body instanceof EncodeError) assert.fail(body.reason)
    const reply = {
      ...frame,
      kind: FrameKind.Reply,
      name: '',
      sender: 9,
      form: formOf(value),
      large: 0,
      body: Buffer.from(body),
      ...changes,
    }
    this.push(messageOf([reply], MESSAGE))
  }

  /** Time goes on, and the wheel with it. */
  pass(milliseconds: number): void {
    this.clock.pass(milliseconds)
    this.wheel.advance()
  }
}

export class Call {
  readonly promise: Promise<unknown>
  settled = false

  constructor(promise: Promise<unknown>) {
    this.promise = promise
    const settle = (): void => {
      this.settled = true
    }
    promise.then(settle, settle)
  }
}

export async function failure(call: Call): Promise<NppError> {
  const error = await call.promise.then(
    () => 'the call did not fail',
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof NppError, String(error))
  return error
}
