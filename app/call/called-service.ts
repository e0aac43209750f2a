import type { OutgoingCall } from './outgoing-call.ts'

/** Of how many run times the estimate is about an average. */
const WEIGHT = 8

/** What the engine knows of a service that it calls. */
export class CalledService {
  readonly name: string
  readonly nameBytes: Buffer
  /** Expected run time in microseconds; below 0 until the first reply. */
  estimate = -1
  /** Calls of it in the backlog, and their bytes. */
  waiting = 0
  waitingBytes = 0
  /** By priority, those that have been used. */
  readonly lanes: (Lane | undefined)[] = []

  constructor(name: string) {
    this.name = name
    this.nameBytes = Buffer.from(name)
  }

  /** A service that turns slow is believed at once, one that turns fast only after a while: whoever sits behind it pays for a mistake. */
  ran(micros: number): void {
    this.estimate = micros > this.estimate ? micros : this.estimate + (micros - this.estimate) / WEIGHT
  }

  laneOf(priority: number): Lane {
    return (this.lanes[priority] ??= new Lane(this, priority))
  }
}

/** The calls of one service and one priority that wait, in the order in which they were made. */
export class Lane {
  readonly service: CalledService
  readonly priority: number
  /** Whether the backlog has it among those that have calls. */
  isListed = false
  #head: OutgoingCall | undefined
  #tail: OutgoingCall | undefined

  constructor(service: CalledService, priority: number) {
    this.service = service
    this.priority = priority
  }

  /** The next call; those that were given up meanwhile are left out. */
  get first(): OutgoingCall | undefined {
    let call = this.#head
    while (call?.isWaiting === false) call = call.next
    this.#head = call
    if (call === undefined) this.#tail = undefined
    return call
  }

  append(call: OutgoingCall): void {
    if (this.#tail === undefined) this.#head = call
    else this.#tail.next = call
    this.#tail = call
  }

  prepend(call: OutgoingCall): void {
    call.next = this.#head
    this.#head = call
    this.#tail ??= call
  }

  /** Takes the call out that `first` has told. */
  shift(call: OutgoingCall): void {
    this.#head = call.next
    call.next = undefined
    if (this.#head === undefined) this.#tail = undefined
  }
}
