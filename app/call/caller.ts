import { BatchReader } from '../../ipc/batch-reader.ts'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import { bodyOf, formOf, type Decoded } from '../../ipc/body.ts'
import { BATCH_HEADER_BYTES, DecodeError, EncodeError, FrameKind, SPILLED, callBytes } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { discardPayload, discardPayloads } from '../../ipc/payload-store.ts'
import { NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { SparseLog } from '../../shared/sparse-log.ts'
import type { CallAsync, CallOptions } from '../api.ts'
import { Backlog } from './backlog.ts'
import { callAsyncOf } from './call-async.ts'
import type { CallerOptions } from './caller-options.ts'
import { isPriority, isTimeout, type CalledService } from './called-service.ts'
import { failureOf } from './failure.ts'
import { KnownServices } from './known-services.ts'
import { respillInput, spillInput } from './large-input.ts'
import { OutgoingCall, type Waiter } from './outgoing-call.ts'
import { PendingCalls } from './pending-calls.ts'
import { receiveLarge } from './reply-assembly.ts'

const NO_OPTIONS: CallOptions = {}

/**
 * The engine's end of callAsync: puts calls into the request queue, waits for the replies, and keeps the deadline of each. Calls that are made
 * in one turn of the event loop leave at its end, together where that is good for them; what the queue has no room for waits.
 */
export class Caller {
  /** Replies dropped because their call was gone, since the start. */
  lateReplies = 0
  /** Messages dropped because they were not for this engine, or not what they should be. */
  strayMessages = 0

  /** What handlers and events call services by. */
  readonly callAsync: CallAsync
  readonly #options: CallerOptions
  readonly #pending = new PendingCalls()
  readonly #services = new KnownServices()
  readonly #backlog: Backlog
  readonly #reader: BatchReader
  /** Where calls go that nobody took. */
  readonly #unclaimed: BatchReader
  /** Bytes of an input, and of a reply. */
  readonly #mostBytes: number
  readonly #flushLater: () => void
  /** For what may come in any number. */
  readonly #warnings: SparseLog
  #isScheduled = false
  /** When the first call was made of those that wait for the end of the turn. */
  #scheduledAt = 0
  #stopped = false
  #watching = false
  /** Replies that were taken in this turn; a large one counts for several. */
  #taken = 0

  constructor(options: CallerOptions) {
    const { requests, replies, engine, epoch } = options
    this.#options = options
    this.callAsync = callAsyncOf(this, options.schemas)
    this.#warnings = new SparseLog(options.log)
    this.#reader = new BatchReader(Buffer.alloc(replies.messageSize), new NameCache())
    this.#unclaimed = new BatchReader(Buffer.alloc(requests.messageSize), new NameCache())
    this.#mostBytes = options.payloads?.mostBytes ?? Infinity
    const writer = new BatchWriter(requests.messageSize, process.pid)
    this.#backlog = new Backlog({ requests, writer, engine, epoch, sent: (call) => this.#sent(call) })
    this.#flushLater = () => {
      this.#isScheduled = false
      this.flush()
    }
    options.services?.attach(this)
    replies.onMessages(() => this.#receive(Limits.repliesPerTurn))
    requests.onDrain(() => this.#backlog.flush())
  }

  /** Calls that wait for their replies. */
  get pending(): number {
    return this.#pending.count
  }

  /** The services that have been called, or have declared themselves. */
  get services(): Iterable<CalledService> {
    return this.#services.values()
  }

  /** Calls that wait for room in the queue, or for the end of the turn. */
  get waiting(): number {
    return this.#backlog.waiting
  }

  /** Bytes of the calls that wait. */
  get waitingBytes(): number {
    return this.#backlog.waitingBytes
  }

  /** Calls a service and resolves with its result; see CallAsync for what it rejects with. */
  call(name: string, input: unknown, settings: CallOptions | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.start(FrameKind.Call, name, input, settings, { replied: resolve, failed: reject })
    })
  }

  /** Calls a service that is to send no reply; resolves when the call is in the queue. */
  callNoReply(name: string, input: unknown, settings: CallOptions | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter = { replied: () => resolve(), failed: reject }
      const started = this.#start(FrameKind.Call, name, input, settings ?? NO_OPTIONS, waiter, false)
      if (started instanceof NppError) reject(started)
    })
  }

  /** Starts a call of either kind, and returns it. Where it cannot be made at all, the waiter is told before this returns undefined. */
  start(kind: FrameKind, name: string, input: unknown, settings: CallOptions | undefined, waiter: Waiter): OutgoingCall | undefined {
    const started = this.#start(kind, name, input, settings ?? NO_OPTIONS, waiter, true)
    if (!(started instanceof NppError)) return started
    waiter.failed(started)
    return undefined
  }

  /** Gives a call up, unless it is over. A call that has left is noted for whoever has it, and its reply finds nothing. */
  cancel(call: OutgoingCall): void {
    if (this.#pending.take(call.call, call.generation) === undefined) return
    if (call.isWaiting) this.#backlog.remove(call)
    else {
      this.#options.cancels?.cancel(call.call, call.generation)
      this.#options.services?.outlasts(call.deadline)
    }
    this.#giveUp(call).failed(cancelled(call.service.name, 'was given up'))
  }

  /** Sends the calls that have been made, as far as there is room. The end of the turn does it by itself. */
  flush(): void {
    if (this.#backlog.waiting > 0 && !this.#backlog.isBlocked && !this.#stopped) this.#backlog.flush()
  }

  /**
   * Part of a turn of the event loop is over, which began at `now`. Under load a turn has many such parts: what has waited for its end too long
   * is sent, as a service may be free meanwhile.
   */
  turnGoesOn(now: number): void {
    if (!this.#isScheduled || now - this.#scheduledAt < Limits.callGatherMs) return
    this.#scheduledAt = now
    this.flush()
  }

  /** Fails all calls under way, and those to come. */
  stop(): void {
    this.#stopped = true
    this.#options.replies.onMessages(undefined)
    this.#options.requests.onDrain(undefined)
    this.#backlog.clear()
    this.#warnings.close()
    this.#failAll((call) => new NppError('NPP_CALL_CANCELLED', `the call of ${call.service.name} was given up: the engine stops`))
  }

  /** The deadline of a call has passed. */
  expired(slot: number, generation: number): void {
    const call = this.#pending.take(slot, generation)
    if (call === undefined) return
    const { name } = call.service
    if (call.isWaiting) this.#backlog.remove(call)
    else this.#options.services?.outlasts(call.deadline)
    this.#options.figures?.timedOut(name)
    this.#giveUp(call).failed(new NppError('NPP_CALL_TIMEOUT', `service ${name} did not reply before the deadline of the call`))
  }

  /** Takes in all replies that lie in the queue: no more than it holds, however many are sent meanwhile. */
  receiveAll(): void {
    this.#receive(Infinity, this.#options.replies.maxMessages)
  }

  /** The service process that had the call in hand is gone. */
  died(slot: number, generation: number): void {
    const call = this.#pending.find(slot, generation)
    if (call === undefined || call.isWaiting) return
    const { name, idempotent } = call.service
    let fault: NppError | undefined
    if (idempotent && call.mayLeaveAgain) {
      fault = respillInput(call)
      if (fault === undefined) {
        this.#options.figures?.retried(name)
        this.#options.log.info({ service: name }, 'a service process ended with a call in hand; the call is made again')
        call.comeBack()
        this.#backlog.add(call)
        this.#flushSoon(this.#options.clock.monotonic())
        return
      }
    }
    this.#pending.take(slot, generation)
    this.#options.figures?.died(name)
    this.#giveUp(call).failed(fault ?? new NppError('NPP_SERVICE_DIED', `the process that ran service ${name} ended before it had replied`))
  }

  /** The service process that had the call of this message is gone, and had not begun it. */
  takeBack(message: Buffer): void {
    if (!this.#stopped) this.#backlog.sendBack(message)
  }

  /** A service process is gone, and all that it has sent has been received. */
  ended(pid: number): void {
    this.#options.payloads?.discardAllOf(pid)
  }

  #start(
    kind: FrameKind,
    name: string,
    input: unknown,
    settings: CallOptions,
    waiter: Waiter,
    wantsReply: boolean,
  ): OutgoingCall | NppError {
    const { requests, clock, wheel, defaultTimeoutMs } = this.#options
    if (this.#stopped) return new NppError('NPP_CALL_CANCELLED', `the call of ${name} was not made: the engine stops`)
    const service = this.#services.of(name)
    const { priority = service.priority, timeoutMs = service.timeoutMs ?? defaultTimeoutMs, signal } = settings
    if (!isTimeout(timeoutMs))
      return new NppError('NPP_CALL_INPUT', `timeoutMs of the call of ${name} is ${String(timeoutMs)}, not a number above 0`)
    if (!isPriority(priority))
      return new NppError('NPP_CALL_INPUT', `priority of the call of ${name} is ${String(priority)}, not a whole number from 0 to 31`)
    if (signal?.aborted === true) return cancelled(name, 'was not made')
    this.#options.services?.look()
    if (!this.#options.hasService()) {
      return new NppError('NPP_NO_SERVICE', 'no service process is running: set ASYNCSvcProcesses, or start one with npx npp svc')
    }
    if (service.nameBytes.byteLength > Limits.serviceNameBytes)
      return new NppError(
        'NPP_CALL_INPUT',
        `the name of a service has ${service.nameBytes.byteLength} bytes; ${Limits.serviceNameBytes} are allowed`,
      )
    const body = bodyOf(input)
    if (body instanceof EncodeError) return new NppError('NPP_CALL_INPUT', `the input of ${name} cannot be sent: ${body.reason}`)
    const bytes = callBytes(service.nameBytes.byteLength, body.byteLength)
    const isLarge = bytes > requests.messageSize || body.byteLength > this.#mostBytes
    const now = clock.monotonic()
    // What the site hands in as bytes it may change after it has called. A large input is written before that.
    const own = body === input && !isLarge ? new Uint8Array(body) : body
    const call = new OutgoingCall(
      kind,
      service,
      waiter,
      wantsReply,
      priority,
      now,
      now + timeoutMs,
      isLarge ? formOf(input) | SPILLED : formOf(input),
      own,
      bytes - BATCH_HEADER_BYTES,
    )
    this.#pending.add(call)
    this.#backlog.add(call)
    const refused = isLarge ? this.#admitLarge(call, timeoutMs, body === input) : this.#admit(call)
    if (refused !== undefined) {
      this.#backlog.remove(call)
      this.#pending.take(call.call, call.generation)
      call.large?.discard()
      return refused
    }
    // One that wants no reply may have left for good.
    if (!wantsReply && !call.isWaiting) return call
    call.timer = wheel.arm(timeoutMs, this, call.call, call.generation)
    if (signal !== undefined) this.#watchSignal(call, signal)
    this.#watchServices()
    return call
  }

  /** As #admit, of a call whose input no message holds; `isShared`: the site may change it later. */
  #admitLarge(call: OutgoingCall, waitMs: number, isShared: boolean): NppError | undefined {
    const { payloads, requests } = this.#options
    // A flood of large calls is to cost no more than one of small ones: what cannot wait is not written.
    const reason = this.#backlog.isBlocked ? this.#tooMuch(call) : ''
    if (reason !== '') return new NppError('NPP_BACKLOG_FULL', reason)
    return spillInput(call, payloads, requests.messageSize, waitMs, isShared) ?? this.#admit(call)
  }

  /** Sees that the call leaves, or may wait. */
  #admit(call: OutgoingCall): NppError | undefined {
    const backlog = this.#backlog
    if (!backlog.isBlocked) {
      // A message is full: why wait.
      if (backlog.waitingBytes + BATCH_HEADER_BYTES >= this.#options.requests.messageSize || this.#tooMuch(call) !== '') backlog.flush()
      if (!backlog.isBlocked) this.#flushSoon(call.calledAt)
    }
    if (!backlog.isBlocked || !call.isWaiting) return undefined
    const reason = this.#tooMuch(call)
    return reason === '' ? undefined : new NppError('NPP_BACKLOG_FULL', reason)
  }

  /** '' or which bound of the backlog the call breaks. */
  #tooMuch({ service }: OutgoingCall): string {
    const { waiting, waitingBytes } = this.#backlog
    const { maxBacklog, maxBacklogBytes = Infinity, maxPerService = 100 } = this.#options
    if (waiting > maxBacklog) return `${waiting - 1} calls wait for room in the queue; maxBacklog allows no more`
    if (waitingBytes > maxBacklogBytes)
      return `calls of ${waitingBytes} bytes would wait for room in the queue; maxBacklogBytes allows ${maxBacklogBytes}`
    if (service.waiting === 1) return ''
    if (service.waiting * 100 > maxBacklog * maxPerService || service.waitingBytes * 100 > maxBacklogBytes * maxPerService)
      return `${service.waiting - 1} calls of ${service.name} wait for room in the queue; maxPerService allows one service no more`
    return ''
  }

  #flushSoon(now: number): void {
    if (this.#isScheduled || this.#backlog.waiting === 0) return
    this.#isScheduled = true
    this.#scheduledAt = now
    process.nextTick(this.#flushLater)
  }

  #sent(call: OutgoingCall): void {
    if (call.wantsReply) return
    this.#options.services?.outlasts(call.deadline)
    this.#pending.take(call.call, call.generation)
    this.#end(call).replied(undefined)
  }

  /** Ends what watches over the call, and returns who is to be told. */
  #end(call: OutgoingCall): Waiter {
    this.#options.wheel.cancel(call.timer)
    call.unwatch?.()
    return call.waiter
  }

  /** As #end, of a call that got no reply. */
  #giveUp(call: OutgoingCall): Waiter {
    call.large?.discard()
    return this.#end(call)
  }

  #watchSignal(call: OutgoingCall, signal: AbortSignal): void {
    const abort = (): void => this.cancel(call)
    signal.addEventListener('abort', abort, { once: true })
    call.unwatch = () => signal.removeEventListener('abort', abort)
  }

  #failAll(errorOf: (call: OutgoingCall) => NppError): void {
    for (const call of this.#pending.takeAll()) this.#giveUp(call).failed(errorOf(call))
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
    this.#options.services?.look()
    if (this.#options.hasService()) {
      this.#watchServices()
      return
    }
    // What lies in the queue is taken out, so that a service that comes later does not run what has been answered with a failure.
    const { requests, payloads } = this.#options
    const unclaimed = this.#unclaimed
    for (let left = requests.maxMessages; left > 0; left--) {
      const length = requests.shift(unclaimed.bytes)
      if (length === -1) break
      if (unclaimed.read(length) === undefined) discardPayloads(unclaimed, payloads)
    }
    this.#backlog.clear()
    requests.cancelDrain()
    this.#failAll((call) => new NppError('NPP_NO_SERVICE', `no service process is left to answer the call of ${call.service.name}`))
  }

  /** Takes in the messages of the reply queue, with about so many replies, and so many messages, at the most. */
  #receive(most: number, messages = most): void {
    const { replies, engine, epoch } = this.#options
    const reader = this.#reader
    this.#taken = 0
    for (let left = messages; this.#taken < most && left > 0 && !this.#stopped; left--) {
      const length = replies.shift(reader.bytes)
      if (length === -1) return
      const fault = reader.read(length)
      this.#taken += Math.max(reader.left, 1)
      if (fault !== undefined) this.#drop({ reason: fault.reason }, 'a message on the reply queue is not one of npp')
      else this.#deliverAll(reader, reader.engine === engine && reader.epoch === epoch)
    }
  }

  #deliverAll(reader: BatchReader, isOurs: boolean): void {
    while (!this.#stopped && reader.next()) {
      if (reader.kind === FrameKind.Announcement) this.#hear(reader)
      else if (isOurs) this.#deliver(reader)
      else {
        this.#drop({ sender: reader.sender }, 'a reply is for another engine process')
        discardPayload(reader, this.#options.payloads)
        discardPayloads(reader, this.#options.payloads)
        return
      }
    }
  }

  /** A service process says what its services declare. */
  #hear(reader: BatchReader): void {
    this.#options.services?.look()
    const decoded = reader.body()
    const value = decoded instanceof DecodeError ? decoded : decoded.value
    // Nothing more than that its process is here.
    if (value === undefined) return
    const refused = this.#services.declare(value instanceof DecodeError ? undefined : value)
    if (refused !== '') this.#drop({ sender: reader.sender }, refused)
  }

  #deliver(reader: BatchReader): void {
    const { kind } = reader
    if (kind !== FrameKind.Reply && kind !== FrameKind.PageReply && kind !== FrameKind.Failure) {
      this.#drop({ sender: reader.sender, kind }, 'a frame on the reply queue is not a reply')
      return
    }
    if (reader.large !== 0) {
      this.#deliverLarge(reader)
      return
    }
    const call = this.#pending.take(reader.call, reader.generation)
    if (call === undefined) this.#isLate(reader)
    else this.#settle(call, reader, reader.body())
  }

  #isLate({ sender }: BatchReader): void {
    this.lateReplies++
    this.#options.log.debug({ sender }, 'a reply came after its call was given up; dropped')
  }

  /** The call is over: this is what its reply says. */
  #settle(call: OutgoingCall, { kind, runMicros, sender }: BatchReader, decoded: Decoded | DecodeError): void {
    const { service } = call
    service.ran(runMicros)
    const waiter = this.#end(call)
    if (decoded instanceof DecodeError) {
      this.#drop({ sender, reason: decoded.reason }, 'the body of a reply is malformed')
      waiter.failed(new NppError('NPP_SERVICE_FAILED', `the reply of ${service.name} is malformed: ${decoded.reason}`))
    } else if (kind === FrameKind.Failure) waiter.failed(failureOf(service.name, decoded.value))
    else waiter.replied(decoded.value)
  }

  /** As #deliver, of a payload that no message holds. */
  #deliverLarge(reader: BatchReader): void {
    const { payloadBytes, sender } = reader
    const isLast = reader.large === SPILLED || reader.partEnd === payloadBytes
    if (isLast) this.#taken += Math.ceil(payloadBytes / Limits.replyWeightBytes)
    const call = this.#pending.find(reader.call, reader.generation)
    if (call === undefined) {
      if (isLast) this.#isLate(reader)
      discardPayload(reader, this.#options.payloads)
      return
    }
    const outcome = receiveLarge(call, reader, this.#options.payloads)
    if (outcome === undefined) return
    const { name } = call.service
    if (typeof outcome === 'string') {
      this.#drop({ sender, service: name, reason: outcome }, 'a part of a reply does not belong there')
      return
    }
    this.#pending.take(reader.call, reader.generation)
    if (!(outcome instanceof NppError)) {
      this.#settle(call, reader, outcome)
      return
    }
    this.#drop({ sender, service: name, reason: outcome.message }, 'a reply is too large')
    discardPayload(reader, this.#options.payloads)
    this.#end(call).failed(outcome)
  }

  #drop(fields: object, message: string): void {
    this.strayMessages++
    this.#warnings.warn(fields, message)
  }
}

function cancelled(name: string, what: string): NppError {
  return new NppError('NPP_CALL_CANCELLED', `the call of ${name} ${what}: its signal is aborted`)
}
