import type { TurnClock } from '../shared/clock.ts'
import type { TimerOwner, TimerWheel } from '../shared/timer-wheel.ts'
import { Connection, type Phase } from './connection.ts'

/** Who is told when a connection's deadline has passed. */
export interface DeadlineOwner {
  deadlinePassed(slot: number): void
}

/** Four numbers a slot, in one half of a cache line. */
const STRIDE = 4
/** When the phase that the connection is in has lasted too long. */
const DEADLINE = 0
/** When the timer in the wheel goes off, which may be earlier; 0 while there is none. */
const TIMER_AT = 1
const TIMER = 2
/** Tells one connection in the slot from the next: odd while one is open. */
const GENERATION = 3

const GENERATIONS = 2 ** 30
const FIRST_SLOTS = 256
/** Objects kept for connections that are not idle. */
const KEPT = 1024

/**
 * All connections by their slots. An idle one is four numbers here, and a node in the timer wheel; what it takes to receive, handle and
 * answer a request is lent to it meanwhile.
 */
export class ConnectionTable implements TimerOwner {
  readonly #clock: TurnClock
  readonly #wheel: TimerWheel
  readonly #owner: DeadlineOwner
  #numbers = new Float64Array(FIRST_SLOTS * STRIDE)
  readonly #busy: (Connection | undefined)[] = []
  readonly #spare: Connection[] = []
  #open = 0

  constructor(clock: TurnClock, wheel: TimerWheel, owner: DeadlineOwner) {
    this.#clock = clock
    this.#wheel = wheel
    this.#owner = owner
  }

  /** Connections that are open. */
  get open(): number {
    return this.#open
  }

  /** A connection has the slot from here on. */
  add(slot: number): void {
    while (slot * STRIDE >= this.#numbers.length) this.#grow()
    while (this.#busy.length <= slot) this.#busy.push(undefined)
    const at = slot * STRIDE + GENERATION
    this.#numbers[at] = (this.#numbers[at]! + 1) % GENERATIONS
    this.#open++
  }

  /** The connection is gone: whoever still names its generation is not heard. */
  remove(slot: number): void {
    const at = slot * STRIDE
    const numbers = this.#numbers
    this.#wheel.cancel(numbers[at + TIMER]!)
    numbers[at + TIMER_AT] = 0
    numbers[at + GENERATION] = (numbers[at + GENERATION]! + 1) % GENERATIONS
    this.#open--
    const conn = this.#busy[slot]
    if (conn === undefined) return
    conn.reset()
    this.giveBack(conn)
  }

  isOpen(slot: number): boolean {
    return slot * STRIDE < this.#numbers.length && this.#numbers[slot * STRIDE + GENERATION]! % 2 === 1
  }

  generationOf(slot: number): number {
    return this.#numbers[slot * STRIDE + GENERATION]!
  }

  /** The state of a connection that is not idle. */
  busy(slot: number): Connection | undefined {
    return this.#busy[slot]
  }

  /** The state of an open connection, lent to it now if it was idle. */
  take(slot: number): Connection {
    const taken = this.#busy[slot]
    if (taken !== undefined) return taken
    const conn = this.#spare.pop() ?? new Connection()
    conn.slot = slot
    this.#busy[slot] = conn
    return conn
  }

  /** The connection is idle: it has no request, no bytes and nothing unsent. */
  giveBack(conn: Connection): void {
    this.#busy[conn.slot] = undefined
    if (this.#spare.length < KEPT) this.#spare.push(conn)
  }

  /** Slots of the connections that are open. */
  slots(): number[] {
    return [...this.#busy.keys()].filter((slot) => this.isOpen(slot))
  }

  /** The connection goes over to this phase, which may take `milliseconds` from now. */
  enter(conn: Connection, phase: Phase, milliseconds: number): void {
    conn.phase = phase
    this.setDeadline(conn.slot, milliseconds)
  }

  /** The connection's phase has `milliseconds` from now. */
  setDeadline(slot: number, milliseconds: number): void {
    const at = slot * STRIDE
    const numbers = this.#numbers
    this.#clock.look()
    const deadline = this.#clock.now + milliseconds
    numbers[at + DEADLINE] = deadline
    // A timer that goes off earlier looks at the deadline then: most phases end long before theirs, and cost no timer at all.
    const timerAt = numbers[at + TIMER_AT]!
    if (timerAt !== 0 && timerAt <= deadline) return
    if (timerAt !== 0) this.#wheel.cancel(numbers[at + TIMER]!)
    this.#arm(slot, milliseconds)
  }

  /** True when the connection has been in its phase for longer than it may. */
  isOverdue(slot: number): boolean {
    this.#clock.look()
    return this.#numbers[slot * STRIDE + DEADLINE]! <= this.#clock.now
  }

  /** A timer has gone off, no later than the deadline and often earlier. */
  expired(slot: number, generation: number): void {
    const at = slot * STRIDE
    const numbers = this.#numbers
    if (numbers[at + GENERATION] !== generation) return
    numbers[at + TIMER_AT] = 0
    this.#clock.look()
    const left = numbers[at + DEADLINE]! - this.#clock.now
    if (left > 0) this.#arm(slot, left)
    else this.#owner.deadlinePassed(slot)
  }

  #arm(slot: number, milliseconds: number): void {
    const at = slot * STRIDE
    const numbers = this.#numbers
    numbers[at + TIMER_AT] = numbers[at + DEADLINE]!
    numbers[at + TIMER] = this.#wheel.arm(milliseconds, this, slot, numbers[at + GENERATION]!)
  }

  #grow(): void {
    const wider = new Float64Array(this.#numbers.length * 2)
    wider.set(this.#numbers)
    this.#numbers = wider
  }
}
