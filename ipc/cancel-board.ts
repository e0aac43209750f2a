/**
 * Where an engine process notes which of its sent calls nobody waits for any more, for services to look at before they run one and while they
 * do. A note is for one use of the slot: with another generation it says nothing.
 */
export interface CancelBoard {
  cancel(slot: number, generation: number): void
  isCancelled(slot: number, generation: number): boolean
}

/** A board within this process. */
export class MemoryCancelBoard implements CancelBoard {
  readonly #generations = new Map<number, number>()

  cancel(slot: number, generation: number): void {
    this.#generations.set(slot, generation)
  }

  isCancelled(slot: number, generation: number): boolean {
    return this.#generations.get(slot) === generation
  }
}
