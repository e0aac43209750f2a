import type { BatchWriter } from '../../ipc/batch-writer.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { Limits } from '../../shared/limits.ts'
import type { Lane } from './called-service.ts'
import type { OutgoingCall } from './outgoing-call.ts'

const PRIORITIES = 32
const BATCH_MICROS = Limits.callBatchMs * 1000

export interface BacklogOptions {
  readonly requests: MessageQueue
  readonly writer: BatchWriter
  readonly engine: number
  readonly epoch: number
  /** Told of each call that has left. */
  readonly sent: (call: OutgoingCall) => void
}

/** The lanes of one priority that have calls, and which of them is next. */
interface Level {
  readonly lanes: Lane[]
  /** At their end, the next that comes is the next. */
  next: number
}

/**
 * The calls that have not left yet. They leave in messages: higher priority first, and within one the services in turn, a call of each, so
 * that a service that is flooded holds up no other. A call joins others in a message only while all of them are expected to be done in
 * `callBatchMs`: who is slow, or was never seen to be fast, travels alone, so that nobody sits behind it while another process is free.
 */
export class Backlog {
  /** Calls in it, and the bytes of them. */
  waiting = 0
  waitingBytes = 0
  /** The queue had no room when it was last asked. */
  isBlocked = false
  readonly #options: BacklogOptions
  readonly #levels: readonly Level[] = Array.from({ length: PRIORITIES }, () => ({ lanes: [], next: 0 }))
  /** A bit for each level that has lanes. */
  #used = 0
  /** The message in the making, or the one that found no room: its calls are still counted as waiting. */
  #hand: OutgoingCall[] = []
  #handMicros = 0
  #isHandClosed = false
  /** A call of it was given up. */
  #isHandStale = false
  /** Messages that come back from services that have ended. */
  readonly #returned: Buffer[] = []

  constructor(options: BacklogOptions) {
    this.#options = options
  }

  add(call: OutgoingCall): void {
    call.isWaiting = true
    this.waiting++
    this.waitingBytes += call.bytes
    const { service } = call
    service.waiting++
    service.waitingBytes += call.bytes
    const lane = service.laneOf(call.priority)
    lane.append(call)
    if (!lane.isListed) this.#list(lane)
  }

  /** Takes a call out that is given up before it has left. */
  remove(call: OutgoingCall): void {
    const isInHand = this.#hand.includes(call)
    this.#uncount(call)
    if (isInHand) {
      this.#isHandStale = true
      return
    }
    const lane = call.service.laneOf(call.priority)
    lane.forget(call.service.waiting)
    if (lane.isListed && lane.first === undefined) this.#unlist(lane)
  }

  /** Sends a message of a call that was in the queue before and was not run: before all others, as soon as there is room. */
  sendBack(message: Buffer): void {
    this.#returned.push(message)
    if (!this.isBlocked) this.flush()
  }

  /** Sends what there is room for. True when all has left. */
  flush(): boolean {
    const { requests, writer } = this.#options
    while (this.#returned.length > 0) {
      if (!requests.push(this.#returned[0]!, 0, undefined, PRIORITIES - 1)) {
        this.isBlocked = true
        return false
      }
      this.#returned.shift()
    }
    if (this.#isHandStale || (this.#hand.length > 0 && this.#highest() > this.#hand[0]!.priority)) this.#takeBack()
    while (this.#fill()) {
      if (!requests.push(writer.bytes, 0, writer.length, this.#hand[0]!.priority)) {
        this.isBlocked = true
        return false
      }
      for (const call of this.#hand) {
        this.#uncount(call)
        this.#options.sent(call)
      }
      this.#hand.length = 0
    }
    if (this.isBlocked) {
      this.isBlocked = false
      requests.cancelDrain()
    }
    return true
  }

  /** Forgets all calls. */
  clear(): void {
    this.#returned.length = 0
    this.#takeBack()
    for (let level = this.#highest(); level !== -1; level = this.#highest()) {
      const { lanes } = this.#levels[level]!
      const lane = lanes[0]!
      for (let call = lane.first; call !== undefined; call = lane.first) this.#uncount(call)
      this.#unlist(lane)
    }
    this.isBlocked = false
  }

  #uncount(call: OutgoingCall): void {
    const { service, bytes } = call
    this.waiting--
    this.waitingBytes -= bytes
    service.waiting--
    service.waitingBytes -= bytes
    call.leave()
  }

  /** Puts calls into the message in hand until it is full; false when there is none to send. */
  #fill(): boolean {
    const { writer, engine, epoch } = this.#options
    while (this.#hand.length === 0) {
      const priority = this.#highest()
      if (priority === -1) return false
      const level = this.#levels[priority]!
      const lane = turnOf(level)
      writer.begin(engine, epoch)
      this.#handMicros = 0
      this.#isHandClosed = !joins(lane, 0)
      this.#put(level, lane)
    }
    const level = this.#levels[this.#hand[0]!.priority]!
    while (!this.#isHandClosed) {
      const lane = this.#nextJoining(level)
      // Not closed: calls that are made before the message leaves may still join.
      if (lane === undefined) break
      this.#put(level, lane)
    }
    return true
  }

  /** The lane whose turn it is, of those that may join the message in hand. */
  #nextJoining(level: Level): Lane | undefined {
    const { lanes } = level
    for (let tried = 0; tried < lanes.length; tried++) {
      const lane = turnOf(level)
      if (joins(lane, this.#handMicros)) return lane
      level.next++
    }
    return undefined
  }

  /** Puts the lane's first call into the message; false when it has none. */
  #put(level: Level, lane: Lane): boolean {
    const call = lane.first
    if (call === undefined) {
      this.#unlist(lane)
      return false
    }
    if (!this.#options.writer.call(call, lane.service.nameBytes)) {
      this.#isHandClosed = true
      return false
    }
    lane.shift(call)
    this.#hand.push(call)
    this.#handMicros += Math.max(lane.service.estimate, 0)
    if (lane.first === undefined) this.#unlist(lane)
    else level.next++
    return true
  }

  /** Puts the calls of the message in hand back to where they were. */
  #takeBack(): void {
    for (const call of this.#hand.toReversed()) {
      if (!call.isWaiting) continue
      const lane = call.service.laneOf(call.priority)
      lane.prepend(call)
      if (!lane.isListed) this.#list(lane)
    }
    this.#hand.length = 0
    this.#isHandStale = false
  }

  /** The highest level that has lanes, -1 for none. */
  #highest(): number {
    return 31 - Math.clz32(this.#used)
  }

  #list(lane: Lane): void {
    lane.isListed = true
    this.#levels[lane.priority]!.lanes.push(lane)
    this.#used |= 1 << lane.priority
  }

  #unlist(lane: Lane): void {
    const level = this.#levels[lane.priority]!
    const index = level.lanes.indexOf(lane)
    lane.isListed = false
    level.lanes.splice(index, 1)
    if (index < level.next) level.next--
    if (level.lanes.length === 0) this.#used &= ~(1 << lane.priority)
  }
}

/** The lane whose turn it is, of a level that has some. */
function turnOf(level: Level): Lane {
  if (level.next >= level.lanes.length) level.next = 0
  return level.lanes[level.next]!
}

/** Whether a call of the lane may travel behind calls that are expected to take so many microseconds. */
function joins(lane: Lane, micros: number): boolean {
  const { estimate } = lane.service
  return estimate >= 0 && micros + estimate <= BATCH_MICROS
}
