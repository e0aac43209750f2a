import { BatchReader } from '../ipc/batch-reader.ts'
import { BatchWriter } from '../ipc/batch-writer.ts'
import type { CancelLookup } from '../ipc/cancel-board.ts'
import type { Decoded } from '../ipc/body.ts'
import { DecodeError, FrameKind, disownFrame, markFrame } from '../ipc/frame.ts'
import type { MessageQueue } from '../ipc/message-queue.ts'
import { NameCache } from '../ipc/name-cache.ts'
import { discardPayload, type PayloadStore } from '../ipc/payload-store.ts'
import type { Clock } from '../shared/clock.ts'
import { NppError, errnoOf, messageOf, stackOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { Log } from '../shared/log.ts'
import { SparseLog } from '../shared/sparse-log.ts'
import { isThenable } from '../shared/thenable.ts'
import type { Figures } from './figures.ts'
import { runPage } from './page-exchange.ts'
import type { Registered, Registry } from './registry.ts'
import { FAILURE, ReplyBox } from './reply-box.ts'
import { RunningCall } from './running-call.ts'

/** Where a worker shows what it has in hand: if its process is killed, the engine finds it there. */
export interface HandSlot {
  /** Where the last message is, from when it is taken from the queue. */
  readonly inbox: Buffer
  put(engine: number, epoch: number, call: number, generation: number, service: number, since: number, deadline: number): number
  /** The function of the call has returned a promise. */
  waits(entry: number): void
  clear(entry: number): void
  /** The event loop turns, though calls wait. */
  beat(): void
}

export interface WorkerOptions {
  /** Without it nobody sees what the worker has in hand. */
  readonly slot?: HandSlot
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  readonly registry: Registry
  /** Calls that may run at a time, of those that wait for something. Default: 1. */
  readonly concurrency?: number
  /** Where engines note calls that nobody waits for any more; without it there are none. */
  readonly cancels?: CancelLookup
  /** Where payloads lie that do not fit into a message; without it there are none. */
  readonly payloads?: PayloadStore
  /** What is counted; without it nothing is. */
  readonly figures?: Figures
  /** Milliseconds past its deadline for which a call that waits keeps its place; without it as long as it likes. */
  readonly graceMs?: number
  readonly clock: Clock
  readonly log: Log
}

/** What the first byte of the inbox is while there is no message in it that is not done: the magic number of none begins so. */
const NO_MESSAGE = 0
/** How long one turn of the event loop may take calls before signals and timers get theirs. */
const TURN_MS = 5
const MOST_MICROS = 2 ** 32 - 1

/**
 * Takes messages from the request queue, runs the calls of each in order, and puts the replies into the reply queue, those of a message
 * together. It takes no message while it has calls of the last one, while as many calls run as may, or while it has replies that the queue has
 * no room for: so the kernel hands the next message to a process that is free. What it cannot begin in time it gives back.
 */
export class Worker {
  readonly #options: WorkerOptions
  readonly #concurrency: number
  readonly #reader: BatchReader
  readonly #box: ReplyBox
  readonly #returned: BatchWriter
  /** For what may come in any number. */
  readonly #warnings: SparseLog
  /** Calls that wait for something. */
  readonly #running = new Set<RunningCall>()
  /** Those that go on waiting though their time is long over, and so have no place any more. */
  readonly #overdue = new Set<RunningCall>()
  readonly #pumpLater: () => void
  /** Entries of calls that are over, whose replies may not have been sent. */
  readonly #over: number[] = []
  /** The time, as it was read last. */
  #now = 0
  /** When the message in hand was taken, or calls of it could be begun again. */
  #takenAt = 0
  /** Calls that have been begun since. */
  #begun = 0
  /** The reader has come to a call that is neither begun nor given back. */
  #hasCall = false
  #returnTimer: NodeJS.Timeout | undefined
  #lookTimer: NodeJS.Timeout | undefined
  #isListening = false
  #isScheduled = false
  /** The latest deadline of all calls that were begun. */
  #lastDeadline = -Infinity
  #stopping = false
  #abandoned = false
  #stopped: (() => void) | undefined

  constructor(options: WorkerOptions) {
    const { requests, replies, log } = options
    this.#options = options
    this.#concurrency = options.concurrency ?? 1
    this.#reader = new BatchReader(options.slot?.inbox ?? Buffer.alloc(requests.messageSize), new NameCache())
    this.#returned = new BatchWriter(requests.messageSize, process.pid)
    this.#box = new ReplyBox(replies, log, () => this.#resume(), options.payloads)
    this.#warnings = new SparseLog(log)
    this.#pumpLater = () => {
      this.#isScheduled = false
      this.#box.flush()
      this.#clearSent()
      this.#resume()
    }
  }

  /** Says that the process is here and what the services declare, and begins to take calls. */
  start(): void {
    this.#box.announce(undefined)
    for (const declaration of this.#options.registry.declarations) this.#box.announce(declaration)
    this.#box.flush()
    this.#listen()
  }

  /** Takes no further call, and gives back those that are not begun; resolves when the others are replied to. */
  stop(): Promise<void> {
    this.#stopping = true
    this.#warnings.close()
    return new Promise((resolve) => {
      this.#stopped = resolve
      this.#giveBackRest()
      this.#listen()
      this.#stopWhenIdle()
    })
  }

  /** Whether nobody waits any more for whatever it has in hand. */
  get isOverdue(): boolean {
    return this.#options.clock.monotonic() > this.#lastDeadline
  }

  /** Gives up the calls in hand: their engine is gone. */
  abandon(): void {
    this.#stopping = true
    this.#abandoned = true
    this.#reader.left = 0
    this.#hasCall = false
    this.#box.close()
    this.#options.payloads?.discardAllOf(process.pid)
    this.#listen()
    clearTimeout(this.#returnTimer)
    this.#warnings.close()
    clearInterval(this.#lookTimer)
    // The slot goes with the scoreboard.
    this.#over.length = 0
    for (const call of [...this.#running, ...this.#overdue])
      call.abort(new NppError('NPP_CALL_CANCELLED', 'the engine that called is gone'))
  }

  #pump(): void {
    const { clock, requests } = this.#options
    this.#now = clock.monotonic()
    const turnEnd = this.#now + TURN_MS
    this.#runBatch()
    while (this.#mayTake() && this.#now < turnEnd) {
      const length = requests.shift(this.#reader.bytes)
      if (length === -1) break
      const fault = this.#reader.read(length)
      this.#options.figures?.took()
      // Also for what is none: whoever sends that again and again must not hold the process up.
      this.#begin()
      if (fault !== undefined) this.#warnings.warn({ reason: fault.reason }, 'a message on the request queue is not one of npp; dropped')
      this.#runBatch()
    }
    this.#listen()
    this.#stopWhenIdle()
  }

  /** Calls of the message in hand have the time of a batch from now on. */
  #begin(): void {
    this.#now = this.#options.clock.monotonic()
    this.#takenAt = this.#now
    this.#begun = 0
  }

  /** Runs what may be run of the message in hand, and sends the replies. */
  #runBatch(): void {
    let firstReplyAt = -1
    while (this.#toCall()) {
      if (!this.#mayRun()) {
        this.#giveBackLater()
        break
      }
      this.#hasCall = false
      const isLate = this.#stopping || (this.#begun > 0 && this.#now - this.#takenAt >= Limits.callBatchMs)
      if (isLate && this.#giveBack()) continue
      this.#begun++
      markFrame(this.#reader.bytes, this.#reader.frameStart)
      this.#run()
      if (firstReplyAt < 0) firstReplyAt = this.#now
      else if (this.#now - firstReplyAt >= Limits.callBatchMs) {
        this.#box.flush()
        firstReplyAt = -1
      }
    }
    this.#box.flush()
    this.#clearSent()
  }

  /** Calls are in hand, and the message is in the inbox, until their replies have left: a kill in between would lose them. */
  #clearSent(): void {
    // Without its engine there is no scoreboard any more.
    if (!this.#box.isEmpty || this.#abandoned) return
    if (!this.#hasCall && this.#reader.left === 0) this.#reader.bytes[0] = NO_MESSAGE
    for (const entry of this.#over) this.#options.slot?.clear(entry)
    this.#over.length = 0
  }

  /** Brings the reader to the next call that is neither begun nor given back. */
  #toCall(): boolean {
    if (!this.#hasCall) this.#hasCall = this.#reader.next()
    return this.#hasCall
  }

  #mayRun(): boolean {
    return this.#running.size < this.#concurrency && !this.#box.isBlocked
  }

  #mayTake(): boolean {
    return !this.#stopping && !this.#hasCall && this.#mayRun()
  }

  #listen(): void {
    const wanted = this.#mayTake()
    if (wanted === this.#isListening) return
    this.#isListening = wanted
    this.#options.requests.onMessages(wanted ? () => this.#pump() : undefined)
  }

  /** Something that was in the way is over. */
  #resume(): void {
    if (this.#abandoned) return
    this.#clearSent()
    if (this.#hasCall && this.#mayRun()) {
      clearTimeout(this.#returnTimer)
      this.#returnTimer = undefined
      this.#begin()
      this.#pump()
    } else {
      this.#listen()
      this.#stopWhenIdle()
    }
  }

  #stopWhenIdle(): void {
    if (!this.#stopping || this.#running.size > 0 || this.#hasCall || !this.#box.isEmpty) return
    clearInterval(this.#lookTimer)
    this.#stopped?.()
  }

  // Giving back.

  /** Puts the call that the reader has come to into the queue again, for another process; false when there is no room, or it has come back too often. */
  #giveBack(): boolean {
    const reader = this.#reader
    const writer = this.#returned
    if (reader.returns >= Limits.callReturns || !isCall(reader.kind)) return false
    writer.begin(reader.engine, reader.epoch)
    writer.returned(reader.bytes, reader.frameStart, reader.bodyEnd, reader.returns + 1)
    const { requests } = this.#options
    // Before it is in the queue: killed in between, the call is lost here, but never run twice.
    markFrame(reader.bytes, reader.frameStart)
    if (requests.push(writer.bytes, 0, writer.length, reader.priority)) {
      // It is in the queue, and perhaps in another's hand: not to be looked for here.
      disownFrame(reader.bytes, reader.frameStart)
      return true
    }
    requests.cancelDrain()
    markFrame(reader.bytes, reader.frameStart, reader.returns)
    return false
  }

  /** Gives back what has not been begun of the message in hand; what cannot be stays. */
  #giveBackRest(): void {
    while (this.#toCall() && this.#giveBack()) this.#hasCall = false
  }

  #giveBackLater(): void {
    if (this.#returnTimer !== undefined || this.#abandoned) return
    this.#returnTimer = setTimeout(() => {
      this.#returnTimer = undefined
      this.#giveBackRest()
      // The queue was full: it may have room before the calls that run are over.
      if (this.#hasCall && this.#reader.returns < Limits.callReturns) this.#giveBackLater()
      this.#clearSent()
      this.#listen()
      this.#stopWhenIdle()
    }, Limits.callBatchMs)
  }

  // Running.

  /** Runs the call that the reader has come to, or says why not. */
  #run(): void {
    const { registry, log, clock } = this.#options
    const reader = this.#reader
    if (!isCall(reader.kind)) {
      this.#warnings.warn({ kind: reader.kind, sender: reader.sender }, 'a frame on the request queue is not a call; dropped')
      return
    }
    const name = reader.name()
    if (this.#isGivenUp(name)) {
      discardPayload(reader, this.#options.payloads)
      return
    }
    const call = new RunningCall(name, reader, clock, this.#now)
    const service = registry.find(name)
    const wanted = reader.kind === FrameKind.PageCall ? 'page' : 'call'
    if (service?.kind !== wanted) {
      const reason = this.#whyNot(name, service, wanted)
      log.error({ service: name }, reason)
      discardPayload(reader, this.#options.payloads)
      this.#box.failure(call, 'NPP_NO_SUCH_SERVICE', reason, 0)
      this.#options.figures?.finished(call, 0, 0, true)
      return
    }
    const input = reader.large === 0 ? reader.body() : this.#takeInput(call)
    if (input === undefined) return
    if (input instanceof DecodeError) {
      this.#warnings.warn({ service: name, reason: input.reason }, 'the input of a call is malformed')
      this.#box.failure(call, 'NPP_CALL_INPUT', `the input of ${name} is malformed: ${input.reason}`, 0)
      this.#options.figures?.finished(call, 0, 0, true)
      return
    }
    this.#runService(call, service, input.value)
  }

  /** The spilled input of the call that the reader has come to; undefined when the call is not to be run, and whoever has to know of it does. */
  #takeInput(call: RunningCall): Decoded | DecodeError | undefined {
    const { payloads, log } = this.#options
    const reader = this.#reader
    const { name } = call
    if (payloads === undefined) return new DecodeError('this process takes no large inputs')
    if (reader.payloadBytes > payloads.mostBytes) {
      const reason = `the input of ${name} has ${reader.payloadBytes} bytes; maxCallBytes allows ${payloads.mostBytes}`
      log.warn({ service: name }, reason)
      discardPayload(reader, this.#options.payloads)
      this.#box.failure(call, 'NPP_CALL_TOO_LARGE', reason, 0)
      return undefined
    }
    const input = payloads.take(reader.form, reader.bytes, reader.bodyStart)
    // No failure is sent: the engine has given the call up, or this is a copy of a message, and who took the first replies to it.
    if (input === undefined) log.warn({ service: name, sender: reader.sender }, 'the large input of a call is gone; not run')
    return input
  }

  /** Whether nobody waits for the call that the reader has come to: its engine has told its caller so. */
  #isGivenUp(name: string): boolean {
    const { engine, call, generation, deadline } = this.#reader
    const isLate = this.#now >= deadline
    if (!isLate && this.#options.cancels?.isCancelled(engine, call, generation) !== true) return false
    this.#options.figures?.dropped()
    this.#options.log.debug(
      { service: name },
      isLate ? 'a call came after its deadline; not run' : 'a call was cancelled before it was run',
    )
    return true
  }

  #whyNot(name: string, service: Registered | undefined, wanted: string): string {
    return service === undefined
      ? `there is no service ${name}; there are: ${this.#options.registry.names.join(', ')}`
      : `service ${name} is a ${service.kind}, not a ${wanted}: pages are reached by forward, the others by callAsync`
  }

  #runService(call: RunningCall, service: Registered, input: unknown): void {
    const { slot, figures } = this.#options
    const { engine, epoch, call: place, generation, begunAt, deadline } = call
    if (deadline > this.#lastDeadline) this.#lastDeadline = deadline
    if (figures !== undefined) call.row = figures.rowOf(call.name)
    const entry = slot?.put(engine, epoch, place, generation, call.row, begunAt, deadline) ?? -1
    let result: unknown
    let waits = false
    try {
      result = service.kind === 'page' ? runPage(service.page, input) : service.service.run(input, call)
      waits = isThenable(result)
    } catch (error) {
      this.#failed(call, error)
      if (entry !== -1) slot?.clear(entry)
      return
    }
    if (waits) this.#await(call, result, entry)
    else {
      this.#replied(call, result)
      // Until its reply has left, the message in the inbox speaks for it.
      if (entry !== -1) slot?.clear(entry)
    }
  }

  #await(call: RunningCall, result: unknown, entry: number): void {
    const { slot, figures } = this.#options
    if (entry !== -1) slot?.waits(entry)
    if (this.#running.size === 0) figures?.beganToWait(call.begunAt)
    this.#running.add(call)
    this.#lookAtRunning()
    this.#now = this.#options.clock.monotonic()
    Promise.resolve(result)
      .then(
        (value: unknown) => this.#replied(call, value),
        (error: unknown) => this.#failed(call, error),
      )
      .finally(() => {
        this.#overdue.delete(call)
        if (this.#running.delete(call) && this.#running.size === 0) figures?.endedToWait(this.#now)
        if (entry !== -1 && !this.#abandoned) this.#over.push(entry)
        // Those that end in the same turn are replied to together.
        if (this.#isScheduled) return
        this.#isScheduled = true
        process.nextTick(this.#pumpLater)
      })
  }

  #replied(call: RunningCall, value: unknown): void {
    const micros = this.#ended(call)
    this.#box.reply(call, value, micros)
    const { lastBytes } = this.#box
    this.#options.figures?.finished(call, micros, Math.max(lastBytes, 0), lastBytes === FAILURE)
  }

  #failed(call: RunningCall, error: unknown): void {
    this.#options.log.error(
      { service: call.name, call: call.call, error: stackOf(error) },
      `service ${call.name} failed: ${messageOf(error)}`,
    )
    const micros = this.#ended(call)
    this.#box.failure(call, errnoOf(error) === '' ? 'NPP_SERVICE_FAILED' : errnoOf(error), messageOf(error), micros)
    this.#options.figures?.finished(call, micros, 0, true)
  }

  /** Microseconds that the call has run. */
  #ended(call: RunningCall): number {
    call.end()
    this.#now = this.#options.clock.monotonic()
    return Math.min(Math.round((this.#now - call.begunAt) * 1000), MOST_MICROS)
  }

  /** While calls wait, shows that the event loop turns, and looks for those that nobody waits for any more. */
  #lookAtRunning(): void {
    const { cancels, slot } = this.#options
    if (this.#lookTimer !== undefined) return
    this.#lookTimer = setInterval(() => {
      if (this.#running.size + this.#overdue.size === 0) {
        clearInterval(this.#lookTimer)
        this.#lookTimer = undefined
        return
      }
      slot?.beat()
      for (const call of this.#running) {
        if (cancels?.isCancelled(call.engine, call.call, call.generation) === true)
          call.abort(new NppError('NPP_CALL_CANCELLED', 'nobody waits for the result any more'))
      }
      this.#freePlaces()
    }, Limits.cancelLookMs)
    this.#lookTimer.unref()
  }

  /** Gives the places of calls to others that wait for long past their time: a promise that nobody ever settles must not cost the process. */
  #freePlaces(): void {
    const { clock, figures, log, graceMs = Infinity } = this.#options
    const now = clock.monotonic()
    const before = this.#running.size
    for (const call of this.#running) {
      if (now - call.deadline <= graceMs) continue
      this.#running.delete(call)
      this.#overdue.add(call)
      call.isOverdue = true
      log.warn({ service: call.name }, `service ${call.name} waits ${graceMs} ms past the deadline of its call; others get its place`)
    }
    if (this.#running.size === before) return
    if (this.#running.size === 0) figures?.endedToWait(now)
    this.#resume()
  }
}

function isCall(kind: FrameKind): boolean {
  return kind === FrameKind.Call || kind === FrameKind.PageCall
}
