import type { Clock } from '../../shared/clock.ts'

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #monotonic: number
  #wall: number

  constructor(monotonic = 1000, wall = Date.UTC(2026, 0, 2, 3, 4, 5)) {
    this.#monotonic = monotonic
    this.#wall = wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  wall(): number {
    return this.#wall
  }

  /** Goes on by this many milliseconds. */
  pass(milliseconds: number): void {
    this.#monotonic += milliseconds
    this.#wall += milliseconds
  }
}
