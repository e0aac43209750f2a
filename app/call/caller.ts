import { decodeBody, encodeBody } from '../../ipc/body.ts'
import { DecodeError, EncodeError, FrameKind, decodeFrame, encodeFrame, frameBytes, type Frame } from '../../ipc/frame.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import type { Clock } from '../../shared/clock.ts'
import { NppError, isNppCode, type NppCode } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import type { Log } from '../../shared/log.ts'
import type { TimerWheel } from '../../shared/timer-wheel.ts'
import { PendingCalls, type Waiter } from './pending-calls.ts'
import { ServiceError } from './service-error.ts'

/** What a caller needs. */
export interface CallerOptions {
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  /** Number of this engine process in its instance. */
  readonly engine: number
  /** Drawn when the engine started. */
  readonly epoch: number
  readonly defaultTimeoutMs: number
  readonly maxBacklog: number
  /** Asks whether a service process is there, or about to be. */
  readonly hasService: () => boolean
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly log: Log
}

interface Waiting {
  readonly slot: number
  readonly generation: number
  readonly bytes: Buffer
}

const NO_BODY = new Uint8Array(0)

/** Failure codes that a service process may report; any other becomes NPP_SERVICE_FAILED. */
const REPORTED: ReadonlySet<NppCode> = new Set(['NPP_NO_SUCH_SERVICE', 'NPP_REPLY_TOO_LARGE', 'NPP_CALL_INPUT', 'NPP_CALL_TIMEOUT'])

/**
 * The engine's end of callAsync: puts calls into the request queue, waits for the replies, and keeps the deadline of each. A call leaves at
 * once while the queue has room and none waits before it.
 */
export class Caller {
  /** Replies dropped because their call was gone, since the start. */
  lateReplies = 0
  /** Messages dropped because they were not for this engine, or not frames. */
  strayMessages = 0

  readonly #options: CallerOptions
  readonly #pending = new PendingCalls()
  readonly #outgoing: Buffer
  readonly #incoming: Buffer
  /** Where calls go that nobody took. */
  readonly #unclaimed: Buffer
  #backlog: Waiting[] = []
  #backlogHead = 0
  #stopped = false
  #watching = false

  constructor(options: CallerOptions) {
    this.#options = options
    this.#outgoing = Buffer.allocUnsafeSlow(options.requests.messageSize)
    this.#incoming = Buffer.allocUnsafeSlow(options.replies.messageSize)
    this.#unclaimed = Buffer.allocUnsafeSlow(options.requests.messageSize)
    options.replies.onMessages(() => this.#receive())
    options.requests.onDrain(() => this.#sendWaiting())
  }

  /** Calls that wait for their replies. */
  get pending(): number {
    return this.#pending.count
  }

  /** Calls that wait for room in the queue. */
  get waiting(): number {
    return this.#backlog.length - this.#backlogHead
  }

  /** Calls a service and resolves with its result; see CallAsync for what it rejects with. */
  call(name: string, input: unknown, options: { readonly timeoutMs?: number } | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.start(FrameKind.Call, name, input, options?.timeoutMs, { replied: resolve, failed: reject })
    })
  }

  /** Starts a call of either kind. The waiter is told before this returns when the call cannot be made at all. */
  start(kind: FrameKind, name: string, input: unknown, timeoutMs: number | undefined, waiter: Waiter): void {
    const refused = this.#start(kind, name, input, timeoutMs, waiter)
    if (refused !== undefined) waiter.failed(refused)
  }

  /** Fails all calls under way, and those to come. */
  stop(): void {
    this.#stopped = true
    this.#options.replies.onMessages(undefined)
    this.#options.requests.onDrain(undefined)
    this.#backlog = []
    this.#backlogHead = 0
    for (const call of this.#pending.takeAll()) {
      this.#options.wheel.cancel(call.timer)
      call.waiter.failed(new NppError('NPP_CALL_CANCELLED', `the call of ${call.name} was given up: the engine stops`))
    }
  }

  /** The deadline of a call has passed. */
  expired(slot: number, generation: number): void {
    const call = this.#pending.take(slot, generation)
    call?.waiter.failed(new NppError('NPP_CALL_TIMEOUT', `service ${call.name} did not reply before the deadline of the call`))
  }

  #start(kind: FrameKind, name: string, input: unknown, timeoutMs: number | undefined, waiter: Waiter): NppError | undefined {
    const { requests, clock, wheel, engine, epoch, defaultTimeoutMs, maxBacklog } = this.#options
    if (this.#stopped) return new NppError('NPP_CALL_CANCELLED', `the call of ${name} was not made: the engine stops`)
    const timeout = timeoutMs ?? defaultTimeoutMs
    if (!(timeout > 0 && Number.isFinite(timeout)))
      return new NppError('NPP_CALL_INPUT', `timeoutMs of the call of ${name} is ${timeout}, not a number above 0`)
    if (!this.#options.hasService()) {
      return new NppError('NPP_NO_SERVICE', 'no service process is running: set ASYNCSvcProcesses, or start one with npx npp svc')
    }
    const body = input === undefined ? NO_BODY : encodeBody(input)
    if (body instanceof EncodeError) return new NppError('NPP_CALL_INPUT', `the input of ${name} cannot be sent: ${body.reason}`)
    if (frameBytes(name, body) > requests.messageSize) {
      return new NppError(
        'NPP_CALL_TOO_LARGE',
        `the input of ${name} takes ${frameBytes(name, body)} bytes; a message holds ${requests.messageSize}`,
      )
    }
    const full = this.waiting > 0
    if (full && this.waiting >= maxBacklog)
      return new NppError('NPP_BACKLOG_FULL', `${this.waiting} calls wait for room in the queue; maxBacklog allows no more`)
    const call = { name, waiter, timer: 0 }
    const slot = this.#pending.add(call)
    const generation = this.#pending.generationOf(slot)
    const length = encodeFrame(this.#outgoing, {
      kind,
      engine,
      call: slot,
      generation,
      epoch,
      sender: process.pid,
      deadline: clock.monotonic() + timeout,
      name,
      body,
    })
    if (length instanceof EncodeError) {
      this.#pending.take(slot, generation)
      return new NppError('NPP_CALL_INPUT', `the call of ${name} cannot be sent: ${length.reason}`)
    }
    if (full || !requests.push(this.#outgoing, 0, length)) {
      if (maxBacklog === 0) {
        requests.cancelDrain()
        this.#pending.take(slot, generation)
        return new NppError('NPP_BACKLOG_FULL', 'the request queue is full and maxBacklog is 0')
      }
      this.#backlog.push({ slot, generation, bytes: Buffer.from(this.#outgoing.subarray(0, length)) })
    }
    call.timer = wheel.arm(timeout, this, slot, generation)
    this.#watchServices()
    return undefined
  }

  /** While calls wait, looks whether anybody is left to answer them: without services they fail soon, not at their deadlines. */
  #watchServices(): void {
    if (this.#watching) return
    this.#watching = true
    this.#options.wheel.arm(Limits.serviceWatchMs, { expired: () => this.#lookForServices() }, 0, 0)
  }

  #lookForServices(): void {
    this.#watching = false
    if (this.#pending.count === 0 || this.#stopped) return
    if (this.#options.hasService()) {
      this.#watchServices()
      return
    }
    // What lies in the queue is taken out, so that a service that comes later does not run what has been answered with a failure.
    while (this.#options.requests.shift(this.#unclaimed) !== -1) continue
    this.#backlog = []
    this.#backlogHead = 0
    this.#options.requests.cancelDrain()
    for (const call of this.#pending.takeAll()) {
      this.#options.wheel.cancel(call.timer)
      call.waiter.failed(new NppError('NPP_NO_SERVICE', `no service process is left to answer the call of ${call.name}`))
    }
  }

  #sendWaiting(): void {
    const { requests } = this.#options
    while (this.#backlogHead < this.#backlog.length) {
      const next = this.#backlog[this.#backlogHead]
      // A call that was given up while it waited is not sent: nobody wants the answer.
      if (next !== undefined && this.#pending.find(next.slot, next.generation) !== undefined && !requests.push(next.bytes)) {
        this.#compactBacklog()
        return
      }
      this.#backlogHead++
    }
    this.#backlog = []
    this.#backlogHead = 0
    requests.cancelDrain()
  }

  #compactBacklog(): void {
    if (this.#backlogHead < 1024 || this.#backlogHead * 2 < this.#backlog.length) return
    this.#backlog = this.#backlog.slice(this.#backlogHead)
    this.#backlogHead = 0
  }

  #receive(): void {
    const { replies } = this.#options
    for (let taken = 0; taken < Limits.messagesPerTurn && !this.#stopped; taken++) {
      const length = replies.shift(this.#incoming)
      if (length === -1) return
      const frame = decodeFrame(this.#incoming, length)
      if (frame instanceof DecodeError) this.#drop({ reason: frame.reason }, 'a message on the reply queue is not a frame')
      else this.#deliver(frame)
    }
  }

  #deliver(frame: Frame): void {
    const { engine, epoch, wheel } = this.#options
    if (frame.engine !== engine || frame.epoch !== epoch) {
      this.#drop({ sender: frame.sender }, 'a reply is for another engine process')
      return
    }
    const isReply = frame.kind === FrameKind.Reply || frame.kind === FrameKind.PageReply || frame.kind === FrameKind.Failure
    if (!isReply) {
      this.#drop({ sender: frame.sender, kind: frame.kind }, 'a frame on the reply queue is not a reply')
      return
    }
    const call = this.#pending.take(frame.call, frame.generation)
    if (call === undefined) {
      this.lateReplies++
      this.#options.log.debug({ sender: frame.sender }, 'a reply came after its call was given up; dropped')
      return
    }
    wheel.cancel(call.timer)
    if (frame.body.byteLength === 0 && frame.kind !== FrameKind.Failure) {
      call.waiter.replied(undefined)
      return
    }
    // The body is decoded here, before the next message overwrites the buffer; bytes inside it must not be views of it.
    const decoded = decodeBody(Buffer.from(frame.body))
    if (decoded instanceof DecodeError) {
      this.#drop({ sender: frame.sender, reason: decoded.reason }, 'the body of a reply is malformed')
      call.waiter.failed(new NppError('NPP_SERVICE_FAILED', `the reply of ${call.name} is malformed: ${decoded.reason}`))
    } else if (frame.kind === FrameKind.Failure) call.waiter.failed(failureOf(call.name, decoded.value))
    else call.waiter.replied(decoded.value)
  }

  #drop(fields: object, message: string): void {
    this.strayMessages++
    this.#options.log.warn(fields, message)
  }
}

/** The error that a Failure frame stands for. */
function failureOf(name: string, value: unknown): NppError {
  const code = typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' ? value.code : ''
  const message =
    typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string' ? value.message : ''
  if (isNppCode(code) && REPORTED.has(code)) return new NppError(code, message)
  return new ServiceError(name, code, message)
}
