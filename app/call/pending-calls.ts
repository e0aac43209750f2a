import type { NppError } from '../../shared/errors.ts'
import type { TimerId } from '../../shared/timer-wheel.ts'

/** Who waits for a call. Exactly one of the two is told, once. */
export interface Waiter {
  replied(value: unknown): void
  failed(error: NppError): void
}

/** A call under way. */
export interface PendingCall {
  readonly name: string
  readonly waiter: Waiter
  timer: TimerId
}

const GENERATION_LIMIT = 2 ** 32

/**
 * The calls that wait for their replies, each in a slot with a generation. A reply names both: one that comes after the slot was given to
 * another call has an old generation and finds nothing.
 */
export class PendingCalls {
  readonly #calls: (PendingCall | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []

  get count(): number {
    return this.#calls.length - this.#free.length
  }

  /** Puts the call into a free slot and returns the slot. */
  add(call: PendingCall): number {
    const slot = this.#free.pop() ?? this.#calls.length
    this.#calls[slot] = call
    this.#generations[slot] ??= 1
    return slot
  }

  generationOf(slot: number): number {
    return this.#generations[slot] ?? 0
  }

  /** The call in the slot, when it still is the one of that generation. */
  find(slot: number, generation: number): PendingCall | undefined {
    return this.#generations[slot] === generation ? this.#calls[slot] : undefined
  }

  /** Takes the call out; undefined when it is gone, and whatever came for it is to be dropped. */
  take(slot: number, generation: number): PendingCall | undefined {
    const call = this.find(slot, generation)
    if (call === undefined) return undefined
    this.#calls[slot] = undefined
    this.#generations[slot] = (generation + 1) % GENERATION_LIMIT
    this.#free.push(slot)
    return call
  }

  /** Takes all calls out. */
  takeAll(): PendingCall[] {
    return this.#calls.flatMap((call, slot) => {
      if (call === undefined) return []
      this.take(slot, this.generationOf(slot))
      return [call]
    })
  }
}
