import type { BatchReader } from '../ipc/batch-reader.ts'
import type { FrameKind } from '../ipc/frame.ts'
import type { Clock } from '../shared/clock.ts'
import { NppError } from '../shared/errors.ts'
import type { ServiceContext } from '../shared/services.ts'

/** setTimeout takes what is longer for 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
/** 36 minutes: whoever waits longer has met his deadline. V8 keeps such a number without allocating. */
const MOST_MICROS = 2 ** 31 - 1

/** A call that a service runs, and what the service is told of it. The signal, and its timer, are made when it asks for them: most never do. */
export class RunningCall implements ServiceContext {
  readonly name: string
  readonly kind: FrameKind
  readonly engine: number
  readonly epoch: number
  readonly call: number
  readonly generation: number
  readonly wantsReply: boolean
  /** When it was begun, in milliseconds on CLOCK_MONOTONIC. */
  readonly begunAt: number
  /** Microseconds from when it was made to when it was begun. */
  readonly waitMicros: number
  readonly bytesIn: number
  /** Of its service among the figures. */
  row = 0
  /** It waits far beyond its deadline, and has no place any more. */
  isOverdue = false
  readonly #clock: Clock
  readonly deadline: number
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined

  /** The call of the frame that the reader has come to. */
  constructor(name: string, reader: BatchReader, clock: Clock, begunAt: number) {
    this.name = name
    this.kind = reader.kind
    this.engine = reader.engine
    this.epoch = reader.epoch
    this.call = reader.call
    this.generation = reader.generation
    this.wantsReply = reader.wantsReply
    this.begunAt = begunAt
    this.waitMicros = Math.min(Math.max((begunAt - reader.calledAt) * 1000, 0), MOST_MICROS) | 0
    this.bytesIn = reader.bodyEnd - reader.bodyStart
    this.#clock = clock
    this.deadline = reader.deadline
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const left = Math.min(Math.max(this.deadline - this.#clock.monotonic(), 0), LONGEST_TIMER_MS)
      this.#timer = setTimeout(() => this.abort(new NppError('NPP_CALL_TIMEOUT', 'the deadline of the call has passed')), left)
      this.#timer.unref()
    }
    return this.#controller.signal
  }

  /** Also a service that asks for its signal later finds it aborted. */
  abort(reason: NppError): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }

  /** The call is over. */
  end(): void {
    clearTimeout(this.#timer)
  }
}
