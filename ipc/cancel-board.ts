/**
 * Where an engine process notes which of its sent calls nobody waits for any more, for services to look at before they run one and while they
 * do. A note is for one use of the slot: with another generation it says nothing.
 */
export interface CancelBoard {
  cancel(slot: number, generation: number): void
  isCancelled(slot: number, generation: number): boolean
}

/**
 * A board in an array of zeros, which may lie in memory that processes share: the generation of the last call of each slot that was cancelled. A
 * slot beyond the array is not noted, and its call is run in vain.
 */
export class CancelTable implements CancelBoard {
  readonly #generations: Int32Array

  constructor(generations: Int32Array) {
    this.#generations = generations
  }

  cancel(slot: number, generation: number): void {
    if (slot < this.#generations.length) Atomics.store(this.#generations, slot, generation | 0)
  }

  isCancelled(slot: number, generation: number): boolean {
    return slot < this.#generations.length && Atomics.load(this.#generations, slot) === (generation | 0)
  }
}
