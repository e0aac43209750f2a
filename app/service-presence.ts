import type { Clock } from '../shared/clock.ts'
import { Limits } from '../shared/limits.ts'

/** Answers, for each call, whether a service process is there to take it or will be in a moment. */
export class ServicePresence {
  readonly #clock: Clock
  readonly #isAttached: () => boolean
  readonly #isStarting: () => boolean
  #lookedAt = -Infinity
  /** The last look found one. */
  #isSeen = false
  /** When none was found any more. Before the first is, that is the start: services of an engine before may be about to attach. */
  #missedAt: number

  /** `isAttached` asks the kernel; `isStarting` asks whoever starts services, if anybody does. */
  constructor(clock: Clock, isAttached: () => boolean, isStarting: () => boolean) {
    this.#clock = clock
    this.#missedAt = clock.monotonic()
    this.#isAttached = isAttached
    this.#isStarting = isStarting
  }

  /**
   * A call may wait for a service that has just gone, as its successor is probably on its way, or when the engine has
   * just started; not for one that never was.
   */
  isThere(): boolean {
    const now = this.#clock.monotonic()
    if (this.#isSeen && now - this.#lookedAt < Limits.presenceCheckMs) return true
    this.look(now)
    return this.#isSeen || now - this.#missedAt < Limits.serviceGraceMs || this.#isStarting()
  }

  /**
   * Asks the kernel. It is done now and then where no calls are made too: when the last service went is known only by who has looked, and a call
   * that comes right after it would be refused for want of that.
   */
  look(now: number = this.#clock.monotonic()): void {
    const wasSeen = this.#isSeen
    this.#lookedAt = now
    this.#isSeen = this.#isAttached()
    if (wasSeen && !this.#isSeen) this.#missedAt = now
  }
}
