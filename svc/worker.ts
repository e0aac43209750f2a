import { decodeBody, encodeBody } from '../ipc/body.ts'
import { DecodeError, EncodeError, FrameKind, decodeFrame, encodeFrame, frameBytes, type Frame } from '../ipc/frame.ts'
import type { MessageQueue } from '../ipc/message-queue.ts'
import type { Clock } from '../shared/clock.ts'
import { NppError, errnoOf, messageOf, stackOf } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { CallContext } from './call-context.ts'
import { isThenable } from '../shared/thenable.ts'
import { runPage } from './page-exchange.ts'
import type { Registered, Registry } from './registry.ts'

export interface WorkerOptions {
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
}

/** How long one turn of the event loop may take calls before signals and timers get theirs. */
const TURN_MS = 5

const NO_BODY = new Uint8Array(0)

/**
 * Takes calls from the request queue, runs them one at a time, and puts the replies into the reply queue. It takes no call while it runs one
 * or has a reply that the queue has no room for: so the kernel hands the next call to a process that is free.
 */
export class Worker {
  readonly #options: WorkerOptions
  readonly #incoming: Buffer
  readonly #outgoing: Buffer
  /** Length of the reply in `outgoing` that waits for room. */
  #unsent = 0
  #running: CallContext | undefined
  #stopping = false
  #abandoned = false
  #stopped: (() => void) | undefined

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#incoming = Buffer.allocUnsafeSlow(options.requests.messageSize)
    this.#outgoing = Buffer.allocUnsafeSlow(options.replies.messageSize)
    options.replies.onDrain(() => this.#sendUnsent())
  }

  /** Begins to take calls. */
  start(): void {
    this.#options.requests.onMessages(() => this.#take())
  }

  /** Takes no further call; resolves when the one in hand is replied to. */
  stop(): Promise<void> {
    this.#stopping = true
    this.#options.requests.onMessages(undefined)
    return new Promise((resolve) => {
      this.#stopped = resolve
      this.#stopWhenIdle()
    })
  }

  /** Gives up the call in hand: its engine is gone. */
  abandon(): void {
    this.#stopping = true
    this.#abandoned = true
    this.#options.requests.onMessages(undefined)
    this.#options.replies.onDrain(undefined)
    this.#running?.abort(new NppError('NPP_CALL_CANCELLED', 'the engine that called is gone'))
  }

  #take(): void {
    const { requests, clock } = this.#options
    const turnEnd = clock.monotonic() + TURN_MS
    do {
      const length = requests.shift(this.#incoming)
      if (length === -1) return
      const frame = decodeFrame(this.#incoming, length)
      if (frame instanceof DecodeError)
        this.#options.log.warn({ reason: frame.reason }, 'a message on the request queue is not a frame; dropped')
      else if (frame.kind === FrameKind.Call || frame.kind === FrameKind.PageCall) this.#run(frame)
      else this.#options.log.warn({ kind: frame.kind, sender: frame.sender }, 'a frame on the request queue is not a call; dropped')
    } while (this.#isFree() && clock.monotonic() < turnEnd)
  }

  #isFree(): boolean {
    return this.#running === undefined && this.#unsent === 0 && !this.#stopping
  }

  #run(frame: Frame): void {
    const { clock, log, registry } = this.#options
    if (clock.monotonic() >= frame.deadline) {
      log.debug({ service: frame.name }, 'a call came after its deadline; not run')
      return
    }
    const service = registry.find(frame.name)
    const wanted = frame.kind === FrameKind.PageCall ? 'page' : 'call'
    if (service?.kind !== wanted) {
      const known = registry.names.join(', ')
      const reason =
        service === undefined
          ? `there is no service ${frame.name}; there are: ${known}`
          : `service ${frame.name} is a ${service.kind}, not a ${wanted}: pages are reached by forward, the others by callAsync`
      log.error({ service: frame.name }, reason)
      this.#replyFailure(frame, 'NPP_NO_SUCH_SERVICE', reason)
      return
    }
    // Copied: bytes in the input are views, and the next message overwrites the buffer.
    const input = frame.body.byteLength === 0 ? { value: undefined } : decodeBody(Buffer.from(frame.body))
    if (input instanceof DecodeError) {
      log.warn({ service: frame.name, reason: input.reason }, 'the input of a call is malformed')
      this.#replyFailure(frame, 'NPP_CALL_INPUT', `the input of ${frame.name} is malformed: ${input.reason}`)
      return
    }
    this.#runService(frame, service, input.value)
  }

  #runService(frame: Frame, service: Registered, input: unknown): void {
    const context = new CallContext(this.#options.clock, frame.deadline)
    let result: unknown
    try {
      result = service.kind === 'page' ? runPage(service.page, input) : service.service.run(input, context)
    } catch (error) {
      this.#failed(frame, error)
      return
    }
    if (!isThenable(result)) {
      this.#reply(frame, result)
      return
    }
    this.#running = context
    this.#options.requests.onMessages(undefined)
    Promise.resolve(result)
      .then(
        (value: unknown) => this.#reply(frame, value),
        (error: unknown) => this.#failed(frame, error),
      )
      .finally(() => {
        context.end()
        this.#running = undefined
        this.#resume()
      })
  }

  #failed(frame: Frame, error: unknown): void {
    this.#options.log.error(
      { service: frame.name, call: frame.call, error: stackOf(error) },
      `service ${frame.name} failed: ${messageOf(error)}`,
    )
    this.#replyFailure(frame, errnoOf(error) === '' ? 'NPP_SERVICE_FAILED' : errnoOf(error), messageOf(error))
  }

  #reply(frame: Frame, value: unknown): void {
    const body = value === undefined ? NO_BODY : encodeBody(value)
    if (body instanceof EncodeError) {
      this.#options.log.error({ service: frame.name }, `the result of ${frame.name} cannot be sent: ${body.reason}`)
      this.#replyFailure(frame, 'NPP_CALL_INPUT', `the result of ${frame.name} cannot be sent: ${body.reason}`)
      return
    }
    const bytes = frameBytes('', body)
    if (bytes > this.#outgoing.byteLength) {
      const reason = `the result of ${frame.name} takes ${bytes} bytes; a message holds ${this.#outgoing.byteLength}`
      this.#options.log.error({ service: frame.name }, reason)
      this.#replyFailure(frame, 'NPP_REPLY_TOO_LARGE', reason)
      return
    }
    this.#send(frame, frame.kind === FrameKind.PageCall ? FrameKind.PageReply : FrameKind.Reply, body)
  }

  #replyFailure(frame: Frame, code: string, message: string): void {
    // A message of any length fits after this cut; an error message is for a log.
    const body = encodeBody({ code: code.slice(0, 100), message: message.slice(0, 1000) })
    if (!(body instanceof EncodeError)) this.#send(frame, FrameKind.Failure, body)
  }

  #send(frame: Frame, kind: FrameKind, body: Uint8Array): void {
    if (this.#abandoned) return // The queues are closed, and nobody waits any more.
    const { call, generation, engine, epoch, deadline } = frame
    const length = encodeFrame(this.#outgoing, { kind, call, generation, engine, epoch, deadline, sender: process.pid, name: '', body })
    if (length instanceof EncodeError) throw new NppError('NPP_BAD_FRAME', `a reply cannot be framed: ${length.reason}`)
    if (this.#options.replies.push(this.#outgoing, 0, length)) return
    this.#unsent = length
    this.#options.requests.onMessages(undefined)
  }

  #sendUnsent(): void {
    if (this.#unsent > 0 && !this.#options.replies.push(this.#outgoing, 0, this.#unsent)) return
    this.#unsent = 0
    this.#options.replies.cancelDrain()
    this.#resume()
  }

  #resume(): void {
    if (this.#abandoned) return
    if (this.#isFree()) this.#options.requests.onMessages(() => this.#take())
    this.#stopWhenIdle()
  }

  #stopWhenIdle(): void {
    if (this.#stopping && this.#running === undefined && this.#unsent === 0) this.#stopped?.()
  }
}
