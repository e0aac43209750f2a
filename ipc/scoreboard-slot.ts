import { Limits } from '../shared/limits.ts'
import {
  COUNTERS_MAX,
  ENTRY_WAITS,
  EntryWord,
  ENTRY_WORDS,
  HeaderWord,
  inboxAt,
  PID_MASK,
  slotAt,
  SlotPart,
  SlotWord,
} from './scoreboard-layout.ts'

/** What a process is. */
export const ProcessKind = { Engine: 1, Service: 2 } as const
export type ProcessKind = (typeof ProcessKind)[keyof typeof ProcessKind]

/** How far a process has got. */
export const ProcessPhase = { Starting: 0, Running: 1, Stopping: 2 } as const
export type ProcessPhase = (typeof ProcessPhase)[keyof typeof ProcessPhase]

/** Counters of a process, by their place; 64-bit floats that it alone writes. Services use the first seven, engines the others. */
export const Counter = {
  Calls: 0,
  Errors: 1,
  /** Calls that were not run: their deadline had passed, or their client was gone. */
  Dropped: 2,
  BytesIn: 3,
  BytesOut: 4,
  /** Microseconds in which at least one call was in hand. */
  BusyMicros: 5,
  Messages: 6,
  Requests: 7,
  Connections: 8,
  Accepted: 9,
  Refused: 10,
  PendingCalls: 11,
  Backlog: 12,
  StaleReplies: 13,
} as const
export type Counter = (typeof Counter)[keyof typeof Counter]

/** A call that a service process holds: what the engine needs to know which of its calls ended with that process. */
export interface CallInHand {
  /** Engine process, and the number that it drew when it started: another one's calls are nobody's any more. */
  readonly engine: number
  readonly epoch: number
  /** Slot in that engine's table of pending calls, and the generation of that slot. */
  readonly call: number
  readonly generation: number
  /** Row of the service, as ServiceFigures.rowOf gives it. */
  readonly service: number
  /** When the service process took it, and when its caller gives it up: whole milliseconds on CLOCK_MONOTONIC. */
  readonly since: number
  readonly deadline: number
  /** Its function has returned a promise; else it computes, and nothing else of its process gets a turn. */
  readonly waits: boolean
}

const U16 = 0xff_ff
const U15 = 0x7f_ff
const U32 = 2 ** 32
/** Reading an entry is tried this often; one that changes each time is of calls so short that nobody needs to know. */
const READ_TRIES = 8

/** The slot of this process. It is the only one that writes there, and nothing that it writes there waits for anybody. */
export class ClaimedSlot {
  /** From 0. */
  readonly slot: number
  /**
   * Memory for one message, of the size that the scoreboard was made with, perhaps none. A service takes each message from the queue right
   * into it: killed between that and its first `put`, the message is still there for the engine to see. Before it takes the next one, each call
   * of the last has to be finished, or in hand.
   */
  readonly inbox: Buffer
  readonly #words: Int32Array
  readonly #counters: Float64Array
  readonly #state: number
  readonly #base: number
  readonly #entries: number
  /** Entries that are free: the first `#freeCount` of these. */
  readonly #free = new Int32Array(Limits.callsInHand).map((_, index) => Limits.callsInHand - 1 - index)
  #freeCount: number = Limits.callsInHand
  #token = 0

  /** Use Scoreboard.claim. */
  constructor(memory: ArrayBuffer, slot: number, state: number, inboxBytes: number) {
    this.slot = slot
    this.inbox = Buffer.from(memory, inboxAt(slot, inboxBytes), inboxBytes)
    this.#words = new Int32Array(memory)
    this.#counters = new Float64Array(memory, slotAt(slot) + SlotPart.counters, COUNTERS_MAX)
    this.#state = state
    this.#base = slotAt(slot) / Int32Array.BYTES_PER_ELEMENT
    this.#entries = (slotAt(slot) + SlotPart.entries) / Int32Array.BYTES_PER_ELEMENT
  }

  /** Calls in hand. */
  get inHand(): number {
    return Limits.callsInHand - this.#freeCount
  }

  /**
   * Says that a call is in hand; numbers as CallInHand has them. Returns the number by which `clear` is told that it is not any more, or -1
   * where there are Limits.callsInHand.
   */
  put(engine: number, epoch: number, call: number, generation: number, service: number, since: number, deadline: number): number {
    if (this.#freeCount === 0) return -1
    const entry = this.#free[--this.#freeCount] ?? 0
    const at = this.#entries + entry * ENTRY_WORDS
    const words = this.#words
    const begin = Math.floor(since)
    const end = Math.ceil(deadline)
    Atomics.store(words, at + EntryWord.EngineAndService, engine | (service << 16))
    Atomics.store(words, at + EntryWord.Call, call)
    Atomics.store(words, at + EntryWord.Generation, generation)
    Atomics.store(words, at + EntryWord.Epoch, epoch)
    Atomics.store(words, at + EntryWord.SinceLow, begin)
    Atomics.store(words, at + EntryWord.DeadlineLow, end)
    Atomics.store(words, at + EntryWord.Highs, Math.floor(begin / U32) | ((Math.floor(end / U32) & U15) << 16))
    this.#token = (this.#token + 1) | 0 || 1
    // Last: only now is the entry one.
    Atomics.store(words, at, this.#token)
    return entry
  }

  /** Says that the function of a call in hand has returned a promise. */
  waits(entry: number): void {
    Atomics.or(this.#words, this.#entries + entry * ENTRY_WORDS + EntryWord.Highs, ENTRY_WAITS)
  }

  /** Says that the event loop turns: now and then while calls wait, so that a process that is blocked can be told from one that waits. */
  beat(): void {
    Atomics.add(this.#words, this.#base + SlotWord.Beat, 1)
  }

  /** Says that a call is not in hand any more: after its reply has been sent, so that no kill can fall in between. */
  clear(entry: number): void {
    Atomics.store(this.#words, this.#entries + entry * ENTRY_WORDS, 0)
    this.#free[this.#freeCount++] = entry
  }

  add(counter: Counter, amount: number): void {
    this.#counters[counter]! += amount
  }

  set(counter: Counter, value: number): void {
    this.#counters[counter] = value
  }

  enter(phase: ProcessPhase): void {
    Atomics.store(this.#words, this.#base + SlotWord.Phase, phase)
  }

  /** Gives the slot back. Nothing else may be called afterwards; releasing twice does nothing. */
  release(): void {
    releaseSlot(this.#words, this.slot, this.#state)
  }
}

/** Frees a slot, unless whoever had it then has it no more. */
export function releaseSlot(words: Int32Array, slot: number, state: number): boolean {
  const base = slotAt(slot) / Int32Array.BYTES_PER_ELEMENT
  if (Atomics.compareExchange(words, base, state, state & ~PID_MASK) !== state) return false
  Atomics.add(words, HeaderWord.Changes, 1)
  return true
}

/** Forgets what another process left in the slot. */
export function wipeSlot(memory: ArrayBuffer, slot: number): void {
  const words = new Int32Array(memory)
  const entries = (slotAt(slot) + SlotPart.entries) / Int32Array.BYTES_PER_ELEMENT
  for (let index = 0; index < Limits.callsInHand * ENTRY_WORDS; index++) Atomics.store(words, entries + index, 0)
  new Float64Array(memory, slotAt(slot) + SlotPart.counters, COUNTERS_MAX).fill(0)
}

/** The calls in the entries of a slot, oldest first. While its process lives, one that begins or ends during the look may be missing. */
export function readEntries(words: Int32Array, slot: number): CallInHand[] {
  const entries = (slotAt(slot) + SlotPart.entries) / Int32Array.BYTES_PER_ELEMENT
  const found: CallInHand[] = []
  for (let entry = 0; entry < Limits.callsInHand; entry++) {
    const call = readEntry(words, entries + entry * ENTRY_WORDS)
    if (call !== undefined) found.push(call)
  }
  return found.toSorted((a, b) => a.since - b.since)
}

function readEntry(words: Int32Array, at: number): CallInHand | undefined {
  for (let tries = 0; tries < READ_TRIES; tries++) {
    const token = Atomics.load(words, at)
    if (token === 0) return undefined
    const engineAndService = Atomics.load(words, at + EntryWord.EngineAndService)
    const highs = Atomics.load(words, at + EntryWord.Highs)
    const found = {
      engine: engineAndService & U16,
      epoch: Atomics.load(words, at + EntryWord.Epoch) >>> 0,
      call: Atomics.load(words, at + EntryWord.Call) >>> 0,
      generation: Atomics.load(words, at + EntryWord.Generation) >>> 0,
      service: engineAndService >>> 16,
      since: (highs & U16) * U32 + (Atomics.load(words, at + EntryWord.SinceLow) >>> 0),
      deadline: ((highs >>> 16) & U15) * U32 + (Atomics.load(words, at + EntryWord.DeadlineLow) >>> 0),
      waits: (highs & ENTRY_WAITS) !== 0,
    }
    if (Atomics.load(words, at) === token) return found
  }
  return undefined
}

/** The counters of a slot, by place. */
export function readCounters(memory: ArrayBuffer, slot: number): number[] {
  return [...new Float64Array(memory, slotAt(slot) + SlotPart.counters, COUNTERS_MAX)]
}
