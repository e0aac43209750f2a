import { Limits } from '../shared/limits.ts'
import { cancelsAt, HeaderWord } from './scoreboard-layout.ts'

/** Where an engine process notes which of its sent calls nobody waits for any more. A note is for one use of the slot: of one generation. */
export interface CancelNotes {
  cancel(slot: number, generation: number): void
}

/** Where services look before they run a call, and while they do. */
export interface CancelLookup {
  isCancelled(engine: number, slot: number, generation: number): boolean
}

/**
 * The notes of one engine process, in an array of zeros, which may lie in memory that processes share: the generation of the last call of each slot
 * that was cancelled. A slot beyond the array is not noted, and its call is run in vain.
 */
export class CancelTable implements CancelNotes {
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

/** The tables of all engine processes, in the memory of a scoreboard. */
export class CancelTables implements CancelLookup {
  readonly #words: Int32Array
  readonly #tables: readonly CancelTable[]

  constructor(memory: ArrayBuffer) {
    this.#words = new Int32Array(memory)
    this.#tables = Array.from(
      { length: Limits.engines },
      (_, engine) => new CancelTable(new Int32Array(memory, cancelsAt(engine), Limits.cancelSlots)),
    )
  }

  /** The table of an engine process that has claimed its slot. Throws RangeError for one that there cannot be. */
  of(engine: number): CancelTable {
    const table = this.#tables[engine]
    if (table === undefined)
      throw new RangeError(`there are ${Limits.engines} engine processes at the most, so none with the number ${engine}`)
    return table
  }

  isCancelled(engine: number, slot: number, generation: number): boolean {
    // A table without its memory must not be touched: where /dev/shm is full that would be SIGBUS.
    if (engine >= Limits.engines || ((Atomics.load(this.#words, HeaderWord.Engines) >>> engine) & 1) === 0) return false
    return this.#tables[engine]!.isCancelled(slot, generation)
  }
}
