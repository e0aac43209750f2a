import { NppError } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { CancelTables } from './cancel-board.ts'
import {
  CANCELS_BYTES,
  cancelsAt,
  CLAIM_SHIFT,
  FIXED_BYTES,
  HeaderWord,
  inboxAt,
  inboxRoom,
  LAYOUT_VERSION,
  MAGIC,
  PID_MASK,
  rowAt,
  scoreboardBytes,
  ServiceRow,
  slotAt,
  SlotWord,
} from './scoreboard-layout.ts'
import {
  ClaimedSlot,
  type Counter,
  ProcessKind,
  ProcessPhase,
  readCounters,
  readEntries,
  releaseSlot,
  wipeSlot,
} from './scoreboard-slot.ts'
import type { CallInHand } from './scoreboard-slot.ts'
import { ServiceTable } from './service-figures.ts'
import type { ServiceReading } from './service-figures.ts'

export { ClaimedSlot, Counter, ProcessKind, ProcessPhase } from './scoreboard-slot.ts'
export type { CallInHand } from './scoreboard-slot.ts'
export { bucketOf, OTHER_SERVICES, ServiceFigures, ServiceTable } from './service-figures.ts'
export type { HistogramReading, ServiceReading } from './service-figures.ts'
export { scoreboardBytes } from './scoreboard-layout.ts'

/** What a scoreboard stands in: a file in memory, or in unit tests an ArrayBuffer. */
export interface ScoreboardMemory {
  readonly memory: ArrayBuffer
  /** Takes memory for a part. Throws NppError NPP_SHM_FULL where there is none. */
  reserve(offset: number, length: number): void
}

/** Whether a process runs that was started then; without a start, whether any runs under that pid. True where nobody can say. */
export type ProcessProbe = (pid: number, start?: number) => boolean

/** Who claims a slot. */
export interface Claimant {
  readonly kind: ProcessKind
  readonly pid: number
  /** As startOfProcess tells it. */
  readonly start: number
  /** Which engine of the instance it is, from 0 to Limits.engines - 1, and the number that it drew; 0 for services. */
  readonly engine: number
  readonly epoch: number
  /** Calls that it takes at a time, up to Limits.callsInHand; 0 for engines. */
  readonly concurrency: number
}

/** A process that has a slot, or had: whoever comes back with it later finds nothing of another process that has the slot by then. */
export interface Occupant extends Claimant {
  readonly slot: number
  /** Tells this claim of the slot from all others. */
  readonly state: number
}

export interface ProcessReading extends Occupant {
  readonly phase: ProcessPhase
  /** By place: see Counter. */
  readonly counters: readonly number[]
  readonly callsInHand: readonly CallInHand[]
}

export interface ScoreboardReading {
  /** The number that the engine drew which made the scoreboard. */
  readonly epoch: number
  readonly processes: readonly ProcessReading[]
  readonly services: readonly ServiceReading[]
}

/**
 * What the processes of an instance tell each other without messages: who they are, which calls they have in hand, what they have counted.
 * Each slot has one writer, its process; everybody reads. Nothing here waits, and a process that is killed at any point leaves nothing behind
 * that holds others up: docs/adr/0010.
 */
export class Scoreboard {
  readonly services: ServiceTable
  readonly cancels: CancelTables
  readonly #shared: ScoreboardMemory
  readonly #isAlive: ProcessProbe
  readonly #words: Int32Array
  readonly #inboxBytes: number

  /** Makes a scoreboard of memory that is zero and scoreboardBytes(inboxBytes) long. */
  static format(
    shared: ScoreboardMemory,
    isAlive: ProcessProbe,
    options: { readonly epoch: number; readonly inboxBytes: number },
  ): Scoreboard {
    const words = new Int32Array(shared.memory)
    words[HeaderWord.Version] = LAYOUT_VERSION
    words[HeaderWord.Epoch] = options.epoch
    words[HeaderWord.Slots] = Limits.scoreboardSlots
    words[HeaderWord.Services] = Limits.scoreboardServices
    words[HeaderWord.InboxBytes] = options.inboxBytes
    words[HeaderWord.Bytes] = scoreboardBytes(options.inboxBytes)
    Atomics.store(words, HeaderWord.Magic, MAGIC)
    const scoreboard = new Scoreboard(shared, isAlive)
    scoreboard.services.format()
    return scoreboard
  }

  /** Over memory that holds a scoreboard. Throws NppError NPP_SHM_INVALID where it is none of this version. */
  constructor(shared: ScoreboardMemory, isAlive: ProcessProbe) {
    const { memory } = shared
    const words = new Int32Array(memory, 0, Math.floor(memory.byteLength / Int32Array.BYTES_PER_ELEMENT))
    const inboxBytes = words[HeaderWord.InboxBytes] ?? -1
    if (
      words[HeaderWord.Magic] !== MAGIC ||
      words[HeaderWord.Version] !== LAYOUT_VERSION ||
      words[HeaderWord.Slots] !== Limits.scoreboardSlots ||
      words[HeaderWord.Services] !== Limits.scoreboardServices ||
      inboxBytes < 0 ||
      words[HeaderWord.Bytes] !== memory.byteLength ||
      scoreboardBytes(inboxBytes) !== memory.byteLength
    ) {
      throw new NppError(
        'NPP_SHM_INVALID',
        'The scoreboard is not one of this version of npp: run npp_app and npp_svc of the same release.',
      )
    }
    this.#shared = shared
    this.#isAlive = isAlive
    this.#words = words
    this.#inboxBytes = inboxBytes
    this.services = new ServiceTable(memory, isAlive)
    this.cancels = new CancelTables(memory)
  }

  /** The number that the engine drew which made the scoreboard. */
  get epoch(): number {
    return (this.#words[HeaderWord.Epoch] ?? 0) >>> 0
  }

  /** Bytes of the inbox of each slot. */
  get inboxBytes(): number {
    return this.#inboxBytes
  }

  /** Another number after each claim and release: only then is there somebody new to look for. One look costs nanoseconds. */
  get changes(): number {
    return Atomics.load(this.#words, HeaderWord.Changes)
  }

  /**
   * Gives this process a slot, its counters at zero. Slots of processes that have ended are freed first where nobody needs to see them any more:
   * those of engines, and of processes killed before they had their slot. Those of services are for the engine to look at and to free; they
   * are taken only where no other is left, and nothing was in hand. Throws NppError NPP_SCOREBOARD_FULL, or NPP_SHM_FULL where there is no memory
   * for the inbox.
   */
  claim(claimant: Claimant): ClaimedSlot {
    this.#freeUnclaimed()
    for (const occupant of this.ended()) if (occupant.kind === ProcessKind.Engine) this.free(occupant)
    const claimed = this.#claimFree(claimant) ?? this.#claimEnded(claimant)
    if (claimed !== undefined) return claimed
    throw new NppError(
      'NPP_SCOREBOARD_FULL',
      `All ${Limits.scoreboardSlots} slots of the scoreboard are taken: so many processes may belong to one instance.`,
    )
  }

  /** The processes that have a slot, in the order of the slots. */
  occupants(): Occupant[] {
    const found: Occupant[] = []
    for (let slot = 0; slot < Limits.scoreboardSlots; slot++) {
      const occupant = this.#occupantOf(slot)
      if (occupant !== undefined) found.push(occupant)
    }
    return found
  }

  /** Those of them that have ended without giving it back. Asks /proc for each, some ten microseconds. */
  ended(): Occupant[] {
    return this.occupants().filter(({ pid, start }) => !this.#isAlive(pid, start))
  }

  /**
   * The calls that a process has in hand, or had when it ended; none once it was freed. A call whose reply was sent may still be
   * among them: take in all replies first, and look for the others among those that are pending.
   */
  callsInHandOf(occupant: Occupant): CallInHand[] {
    const calls = readEntries(this.#words, occupant.slot)
    return this.#isCurrent(occupant) ? calls : []
  }

  /** A number that changes while its event loop turns and calls of it wait. */
  beatOf({ slot }: Occupant): number {
    return this.#word(slot, SlotWord.Beat)
  }

  /**
   * A copy of the last message that a process took from the queue, or of what it had taken of it; undefined once it was freed. After
   * its end, calls in there that are pending and marked as begun were lost with it; nobody has run the others.
   */
  inboxOf(occupant: Occupant): Buffer | undefined {
    const copy = Buffer.from(Buffer.from(this.#shared.memory, inboxAt(occupant.slot, this.#inboxBytes), this.#inboxBytes))
    return this.#isCurrent(occupant) ? copy : undefined
  }

  /** Frees the slot of a process that has ended, once what it had in hand has been seen to. False where it was freed already. */
  free(occupant: Occupant): boolean {
    return releaseSlot(this.#words, occupant.slot, occupant.state)
  }

  /**
   * Copies what engines and services have in common into memory of the same length, for services to attach to in place of this: all but the slots
   * of services, and the inboxes. Figures that a service adds meanwhile stay behind.
   */
  copyTo(anew: ScoreboardMemory): void {
    const occupants = this.occupants().filter(({ kind }) => kind === ProcessKind.Engine)
    const words = new Int32Array(anew.memory)
    words.set(this.#words.subarray(0, FIXED_BYTES / Int32Array.BYTES_PER_ELEMENT))
    // What an engine has cancelled stays cancelled, and its table has its memory: the engine goes on writing there.
    for (const { engine } of occupants) {
      anew.reserve(cancelsAt(engine), CANCELS_BYTES)
      const from = cancelsAt(engine) / Int32Array.BYTES_PER_ELEMENT
      words.set(this.#words.subarray(from, from + CANCELS_BYTES / Int32Array.BYTES_PER_ELEMENT), from)
    }
    for (let slot = 0; slot < Limits.scoreboardSlots; slot++) {
      if (occupants.some((engine) => engine.slot === slot)) continue
      const base = slotAt(slot) / Int32Array.BYTES_PER_ELEMENT
      words[base + SlotWord.State] = (words[base + SlotWord.State] ?? 0) & ~PID_MASK
    }
    // Whoever is writing the name of a row writes it on the old one.
    for (let row = 0; row < Limits.scoreboardServices; row++) {
      const state = (rowAt(row) + ServiceRow.state) / Int32Array.BYTES_PER_ELEMENT
      if ((words[state] ?? 0) < 0) words[state] = 0
    }
    Atomics.add(words, HeaderWord.Changes, 1)
  }

  /** All that is on the scoreboard now, for people and for metrics. */
  read(): ScoreboardReading {
    const processes: ProcessReading[] = []
    for (const occupant of this.occupants()) {
      const phase = this.#word(occupant.slot, SlotWord.Phase)
      const counters = readCounters(this.#shared.memory, occupant.slot)
      const callsInHand = readEntries(this.#words, occupant.slot)
      if (this.#isCurrent(occupant)) processes.push({ ...occupant, phase: toPhase(phase), counters, callsInHand })
    }
    return { epoch: this.epoch, processes, services: this.services.read() }
  }

  /** Whoever had these was killed before he could say when he was started. */
  #freeUnclaimed(): void {
    for (let slot = 0; slot < Limits.scoreboardSlots; slot++) {
      const state = this.#word(slot, SlotWord.State)
      const pid = state & PID_MASK
      if (pid !== 0 && this.#word(slot, SlotWord.Ready) !== state && !this.#isAlive(pid)) releaseSlot(this.#words, slot, state)
    }
  }

  #claimFree(claimant: Claimant): ClaimedSlot | undefined {
    for (let slot = 0; slot < Limits.scoreboardSlots; slot++) {
      const claimed = this.#tryClaim(slot, claimant)
      if (claimed !== undefined) return claimed
    }
    return undefined
  }

  #claimEnded(claimant: Claimant): ClaimedSlot | undefined {
    for (const occupant of this.ended()) if (this.callsInHandOf(occupant).length === 0) this.free(occupant)
    return this.#claimFree(claimant)
  }

  #tryClaim(slot: number, claimant: Claimant): ClaimedSlot | undefined {
    const words = this.#words
    const base = slotAt(slot) / Int32Array.BYTES_PER_ELEMENT
    const before = Atomics.load(words, base)
    if ((before & PID_MASK) !== 0) return undefined
    const state = (((before >>> CLAIM_SHIFT) + 1) << CLAIM_SHIFT) | claimant.pid
    if (Atomics.compareExchange(words, base, before, state) !== before) return undefined
    const claimed = new ClaimedSlot(this.#shared.memory, slot, state, this.#inboxBytes)
    try {
      this.#shared.reserve(inboxAt(slot, this.#inboxBytes), inboxRoom(this.#inboxBytes))
      if (claimant.kind === ProcessKind.Engine) this.#readyEngine(claimant.engine)
    } catch (error) {
      claimed.release()
      throw error
    }
    // Written to, so that its pages are there: the kernel then copies a message into them also for a process that is being killed.
    claimed.inbox.fill(0)
    wipeSlot(this.#shared.memory, slot)
    Atomics.store(words, base + SlotWord.Kind, claimant.kind)
    Atomics.store(words, base + SlotWord.StartLow, claimant.start)
    Atomics.store(words, base + SlotWord.StartHigh, Math.floor(claimant.start / 2 ** 32))
    Atomics.store(words, base + SlotWord.Engine, claimant.engine)
    Atomics.store(words, base + SlotWord.Epoch, claimant.epoch)
    Atomics.store(words, base + SlotWord.Concurrency, claimant.concurrency)
    Atomics.store(words, base + SlotWord.Phase, ProcessPhase.Starting)
    Atomics.store(words, base + SlotWord.Beat, 0)
    // Last: only now is the slot read by others.
    Atomics.store(words, base + SlotWord.Ready, state)
    Atomics.add(words, HeaderWord.Changes, 1)
    return claimed
  }

  /** An engine process begins with nothing that waits and nothing that is cancelled, whatever the one before it left. */
  #readyEngine(engine: number): void {
    const at = cancelsAt(engine)
    this.#shared.reserve(at, CANCELS_BYTES)
    new Uint8Array(this.#shared.memory, at, CANCELS_BYTES).fill(0)
    Atomics.or(this.#words, HeaderWord.Engines, 1 << engine)
    this.services.clearBacklogs(engine)
  }

  #occupantOf(slot: number): Occupant | undefined {
    const state = this.#word(slot, SlotWord.State)
    const pid = state & PID_MASK
    if (pid === 0 || this.#word(slot, SlotWord.Ready) !== state) return undefined
    const kind = this.#word(slot, SlotWord.Kind)
    if (kind !== ProcessKind.Engine && kind !== ProcessKind.Service) return undefined
    const occupant: Occupant = {
      slot,
      state,
      kind,
      pid,
      start: (this.#word(slot, SlotWord.StartHigh) >>> 0) * 2 ** 32 + (this.#word(slot, SlotWord.StartLow) >>> 0),
      engine: this.#word(slot, SlotWord.Engine),
      epoch: this.#word(slot, SlotWord.Epoch) >>> 0,
      concurrency: this.#word(slot, SlotWord.Concurrency),
    }
    return this.#isCurrent(occupant) ? occupant : undefined
  }

  /** Whether what was read before this belongs to that claim. */
  #isCurrent({ slot, state }: Occupant): boolean {
    return this.#word(slot, SlotWord.State) === state && this.#word(slot, SlotWord.Ready) === state
  }

  #word(slot: number, word: number): number {
    return Atomics.load(this.#words, slotAt(slot) / Int32Array.BYTES_PER_ELEMENT + word)
  }
}

function toPhase(word: number): ProcessPhase {
  return word === ProcessPhase.Running || word === ProcessPhase.Stopping ? word : ProcessPhase.Starting
}

/** The value of a counter in a reading. */
export function counterOf({ counters }: ProcessReading, counter: Counter): number {
  return counters[counter] ?? 0
}
