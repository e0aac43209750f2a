import type { Clock } from '../shared/clock.ts'
import { Limits } from '../shared/limits.ts'

/** Answers, for each call, whether a service process is there to take it or will be in a moment. */
export class ServicePresence {
  readonly #clock: Clock
  readonly #isAttached: () => boolean
  readonly #isStarting: () => boolean
  #lookedAt = -Infinity
  #seenAt = -Infinity

  /** `isAttached` asks the kernel; `isStarting` asks whoever starts services, if anybody does. */
  constructor(clock: Clock, isAttached: () => boolean, isStarting: () => boolean) {
    this.#clock = clock
    this.#isAttached = isAttached
    this.#isStarting = isStarting
  }

  /** A call may wait for a service that has just gone, as its successor is probably on its way; not for one that never was. */
  isThere(): boolean {
    const now = this.#clock.monotonic()
    if (this.#seenAt === this.#lookedAt && now - this.#lookedAt < Limits.presenceCheckMs) return true
    this.#lookedAt = now
    if (this.#isAttached()) {
      this.#seenAt = now
      return true
    }
    return now - this.#seenAt < Limits.serviceGraceMs || this.#isStarting()
  }
}
