import type { OutgoingCall } from './outgoing-call.ts'

/** 0 is the generation of no call: memory in which nothing was written must mean nobody. */
const LAST_GENERATION = 2 ** 32 - 1

/**
 * The calls that wait for their replies, each in a slot with a generation. A reply names both: one that comes after the slot was given to
 * another call has an old generation and finds nothing.
 */
export class PendingCalls {
  readonly #calls: (OutgoingCall | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []

  get count(): number {
    return this.#calls.length - this.#free.length
  }

  /** Puts the call into a free slot, and tells it which. */
  add(call: OutgoingCall): void {
    const slot = this.#free.pop() ?? this.#calls.length
    this.#calls[slot] = call
    call.call = slot
    call.generation = this.#generations[slot] ??= 1
  }

  /** The call in the slot, when it still is the one of that generation. */
  find(slot: number, generation: number): OutgoingCall | undefined {
    return this.#generations[slot] === generation ? this.#calls[slot] : undefined
  }

  /** Takes the call out; undefined when it is gone, and whatever came for it is to be dropped. */
  take(slot: number, generation: number): OutgoingCall | undefined {
    const call = this.find(slot, generation)
    if (call === undefined) return undefined
    this.#calls[slot] = undefined
    this.#generations[slot] = generation === LAST_GENERATION ? 1 : generation + 1
    this.#free.push(slot)
    return call
  }

  /** Takes all calls out. */
  takeAll(): OutgoingCall[] {
    return this.#calls.flatMap((call) => {
      if (call === undefined) return []
      this.take(call.call, call.generation)
      return [call]
    })
  }
}
