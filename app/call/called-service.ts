import type { OutgoingCall } from './outgoing-call.ts'

/** Of how many run times the estimate is about an average. */
const WEIGHT = 8

/** What the engine knows of a service that it calls. */
export class CalledService {
  readonly name: string
  readonly nameBytes: Buffer
  /** Expected run time in microseconds; below 0 until the first reply. */
  estimate = -1
  /** What the service has declared of itself, if it has. */
  isDeclared = false
  idempotent = false
  priority = 0
  timeoutMs: number | undefined
  /** Calls of it in the backlog, and their bytes. */
  waiting = 0
  waitingBytes = 0
  /** By priority, those that have been used. */
  readonly lanes: (Lane | undefined)[] = []

  constructor(name: string) {
    this.name = name
    this.nameBytes = Buffer.from(name)
  }

  /** Takes over what a service process says of the service. */
  declare(declaration: object): void {
    this.isDeclared = true
    this.idempotent = 'idempotent' in declaration && declaration.idempotent === true
    this.priority = 'priority' in declaration && isPriority(declaration.priority) ? declaration.priority : 0
    this.timeoutMs = 'timeoutMs' in declaration && isTimeout(declaration.timeoutMs) ? declaration.timeoutMs : undefined
  }

  /** A service that turns slow is believed at once, one that turns fast only after a while: whoever sits behind it pays for a mistake. */
  ran(micros: number): void {
    this.estimate = micros > this.estimate ? micros : this.estimate + (micros - this.estimate) / WEIGHT
  }

  laneOf(priority: number): Lane {
    return (this.lanes[priority] ??= new Lane(this, priority))
  }
}

const MOST_PRIORITY = 31

export function isPriority(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_PRIORITY
}

export function isTimeout(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value < Infinity
}

/** Given-up calls that are not worth a walk. */
const SPARED = 32

/** The calls of one service and one priority that wait, in the order in which they were made. */
export class Lane {
  readonly service: CalledService
  readonly priority: number
  /** Whether the backlog has it among those that have calls. */
  isListed = false
  /** Calls that were given up and may still be linked. */
  #forgotten = 0
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

  /** A call was given up. Where these become more than those that wait, of whom there are `waiting` at the most, they are let go. */
  forget(waiting: number): void {
    if (++this.#forgotten <= waiting + SPARED) return
    this.#forgotten = 0
    let call = this.#head
    this.#head = undefined
    this.#tail = undefined
    while (call !== undefined) {
      const { next }: OutgoingCall = call
      if (call.isWaiting) {
        call.next = undefined
        this.append(call)
      }
      call = next
    }
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
