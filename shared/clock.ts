import { performance } from 'node:perf_hooks'

/** Time as everything in npp receives it, so that tests can hand in their own. */
export interface Clock {
  /** Milliseconds on CLOCK_MONOTONIC, with fractions: the same in all processes of the machine, never set back. */
  monotonic(): number
  /** Milliseconds since 1970-01-01 UTC. */
  wall(): number
}

/** The clock of the machine. */
export function createSystemClock(): Clock {
  // performance.now() counts from the start of this process on the same kernel clock that hrtime reads from boot (libuv uv_hrtime).
  const [seconds, nanoseconds] = process.hrtime()
  const origin = seconds * 1000 + nanoseconds / 1e6 - performance.now()
  return {
    monotonic: () => origin + performance.now(),
    wall: () => Date.now(),
  }
}

/**
 * A clock that stands still during a turn in which many things happen at one moment: it is read once for all of them. `look` and then a field,
 * rather than a call that answers: V8 allocates for a fraction that a function returns.
 */
export class TurnClock {
  /** Milliseconds as Clock.monotonic, when it was looked at last. */
  now = 0
  readonly #clock: Clock
  #stands = false
  #wall = 0
  #wallReadAt = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  begin(): void {
    this.now = this.#clock.monotonic()
    // Wall time has whole milliseconds: within one it need not be read again.
    if (this.now - this.#wallReadAt >= 1) {
      this.#wall = this.#clock.wall()
      this.#wallReadAt = this.now
    }
    this.#stands = true
  }

  end(): void {
    this.#stands = false
  }

  /** Sets `now`, unless the clock stands. */
  look(): void {
    if (!this.#stands) this.now = this.#clock.monotonic()
  }

  wall(): number {
    return this.#stands ? this.#wall : this.#clock.wall()
  }
}
