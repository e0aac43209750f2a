import { Limits } from '../shared/limits.ts'

/*
 * The scoreboard in memory. 32-bit words, read and written by Atomics alone, in the byte order of the machine; figures are 64-bit words.
 *
 *     header     16 words, see HeaderWord
 *     services   a row a service: name, backlogs, figures, see ServiceRow
 *     slots      a slot a process: SlotWord, counters, entries of calls in hand, see SlotPart and EntryWord
 *     cancels    for each engine process, a word a pending call: its last generation that was cancelled
 *     inboxes    for each slot, in whole pages, memory for one message
 */

export const MAGIC = 0x73_50_50_4e
/** Changes with everything that is said in this file. */
export const LAYOUT_VERSION = 2

const WORD = 4
const LINE = 64
const PAGE = 4096

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}

/** Words of the header. Engines has a bit for each engine process whose table of cancelled calls has its memory. */
export const HeaderWord = {
  Magic: 0,
  Version: 1,
  Epoch: 2,
  Slots: 3,
  Services: 4,
  InboxBytes: 5,
  Bytes: 6,
  Changes: 7,
  Engines: 8,
} as const
const HEADER_BYTES = LINE

/** Buckets of a histogram: bucket b holds durations from 2^(b-1) up to 2^b microseconds, bucket 0 those below 1, the last one all above. */
export const HISTOGRAM_BUCKETS = 24

/** The figures of a service: 64-bit integers. */
export const Figure = {
  Calls: 0,
  Errors: 1,
  Timeouts: 2,
  Retries: 3,
  BytesIn: 4,
  BytesOut: 5,
  WaitMicros: 6,
  RunMicros: 7,
  WaitBuckets: 8,
  RunBuckets: 8 + HISTOGRAM_BUCKETS,
} as const
export const FIGURES: number = Figure.RunBuckets + HISTOGRAM_BUCKETS

/** Bytes within the row of a service. `state` is 0 for a free row, 1 for one in use, the negative pid of whoever writes its name meanwhile. */
export const ServiceRow = { state: 0, nameBytes: 4, name: 16, backlogs: 272, figures: 272 + WORD * Limits.engines } as const
const ROW_BYTES = roundUp(ServiceRow.figures + FIGURES * 8, LINE)
const ROWS_AT = HEADER_BYTES

/**
 * Words of a slot. State: the pid of its process, 0 for a free slot, with a number above that each claim raises, so that two processes of
 * one pid are told apart. Ready is the same as State once the rest is that process's. Beat is another number after each turn of the event loop
 * by which calls were waiting, a few times a second.
 */
export const SlotWord = {
  State: 0,
  Ready: 1,
  Kind: 2,
  StartLow: 3,
  StartHigh: 4,
  Engine: 5,
  Epoch: 6,
  Concurrency: 7,
  Phase: 8,
  Beat: 9,
} as const
/** proc_pid_sys_kernel(5): a pid is below 2^22. */
export const PID_MASK = 0x3f_ff_ff
export const CLAIM_SHIFT = 22

/**
 * Words of the entry of a call in hand. Token is 0 while the entry is empty or written, else a number that the entry's next call does not have.
 * Highs are the upper parts of the two times, 16 bits of the first and 15 of the second, and in the last bit whether the call waits.
 */
export const EntryWord = { Token: 0, EngineAndService: 1, Call: 2, Generation: 3, Epoch: 4, SinceLow: 5, DeadlineLow: 6, Highs: 7 } as const
export const ENTRY_WORDS = 8
export const ENTRY_WAITS: number = 1 << 31

/** Counters that a slot has room for, 64-bit floats. */
export const COUNTERS_MAX = 16

/** Bytes within a slot. */
export const SlotPart = { counters: 64, entries: 64 + COUNTERS_MAX * 8 } as const
const SLOT_BYTES = roundUp(SlotPart.entries + Limits.callsInHand * ENTRY_WORDS * WORD, LINE)
const SLOTS_AT = ROWS_AT + ROW_BYTES * Limits.scoreboardServices
const CANCELS_AT = roundUp(SLOTS_AT + SLOT_BYTES * Limits.scoreboardSlots, PAGE)
/** Bytes of the cancelled calls of an engine process. */
export const CANCELS_BYTES: number = roundUp(Limits.cancelSlots * WORD, PAGE)
const INBOXES_AT = CANCELS_AT + CANCELS_BYTES * Limits.engines

/** Bytes of a scoreboard but for what takes its memory only when a slot is claimed. */
export const FIXED_BYTES: number = CANCELS_AT

/** Bytes that an inbox takes. */
export function inboxRoom(inboxBytes: number): number {
  return roundUp(inboxBytes, PAGE)
}

/** Bytes of a scoreboard whose inboxes hold a message of `inboxBytes`. */
export function scoreboardBytes(inboxBytes: number): number {
  return INBOXES_AT + inboxRoom(inboxBytes) * Limits.scoreboardSlots
}

export function rowAt(row: number): number {
  return ROWS_AT + row * ROW_BYTES
}

export function slotAt(slot: number): number {
  return SLOTS_AT + slot * SLOT_BYTES
}

export function cancelsAt(engine: number): number {
  return CANCELS_AT + engine * CANCELS_BYTES
}

export function inboxAt(slot: number, inboxBytes: number): number {
  return INBOXES_AT + slot * inboxRoom(inboxBytes)
}
