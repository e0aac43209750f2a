import type { Clock } from './clock.ts'

/** A node of the wheel, for `cancel`; stays valid, and does nothing, after the timer has expired. 0 is no timer. */
export type TimerId = number

export interface TimerOwner {
  /** Told when a timer expires. `subject` and `generation` are what it was armed with; a stale generation is the owner's to drop. */
  expired(subject: number, generation: number): void
}

const SLOTS = 1024 // a power of two, so that a tick finds its slot with a mask
const MASK = SLOTS - 1
const NONE = 0
const INDEX_BITS = 21 // 2,097,151 timers; the bits above tell one use of a node from the next
const INDEX_MASK = (1 << INDEX_BITS) - 1
const USE_LIMIT = 2 ** 31 / (1 << INDEX_BITS)
const MAX_SLEEP_MS = 2 ** 31 - 1

/**
 * All deadlines of a process in one hashed wheel. Nodes are pooled in flat arrays; arming and cancelling are O(1) and allocate nothing once
 * the pool has grown to its high-water mark. One setTimeout drives it, set to the next slot in use: an idle wheel costs no wake-ups.
 */
export class TimerWheel {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #origin: number
  readonly #slots = new Int32Array(SLOTS)
  #next = new Int32Array(64)
  #previous = new Int32Array(64) // a negative value is -(slot + 1): the node is the first of that slot
  #expiry = new Float64Array(64) // tick at which it expires; -1 when the node is free
  #subject = new Int32Array(64)
  #generation = new Int32Array(64)
  #use = new Int32Array(64)
  #owners: (TimerOwner | undefined)[] = [undefined]
  #free = NONE
  #used = 1 // index 0 is no node
  #armed = 0
  #tick = 0
  #timer: NodeJS.Timeout | undefined
  #timerTick = Infinity
  #advancing = false

  /** `tickMs` is the resolution in milliseconds: a timer never expires early and at most one tick (and the event loop's delay) late. */
  constructor(clock: Clock, tickMs = 10) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#origin = clock.monotonic()
  }

  /** Timers that wait. */
  get armed(): number {
    return this.#armed
  }

  /** Calls `owner.expired(subject, generation)` once, `delayMs` from now. */
  arm(delayMs: number, owner: TimerOwner, subject: number, generation: number): TimerId {
    let node = this.#free
    if (node === NONE) {
      node = this.#used++
      if (node === this.#next.length) this.#grow()
    } else {
      this.#free = this.#next[node] ?? NONE
    }
    const due = (this.#clock.monotonic() - this.#origin + Math.max(delayMs, 0)) / this.#tickMs
    const expiry = Math.max(Math.ceil(due), this.#tick + 1)
    const slot = expiry & MASK
    const first = this.#slots[slot] ?? NONE
    this.#slots[slot] = node
    this.#next[node] = first
    this.#previous[node] = -(slot + 1)
    if (first !== NONE) this.#previous[first] = node
    this.#expiry[node] = expiry
    this.#subject[node] = subject
    this.#generation[node] = generation
    this.#owners[node] = owner
    this.#armed++
    if (expiry < this.#timerTick && !this.#advancing) this.#sleepUntil(expiry)
    return (this.#use[node] ?? 0) * (1 << INDEX_BITS) + node
  }

  /** Takes a timer out; false when it had expired or been cancelled before. */
  cancel(id: TimerId): boolean {
    const node = id & INDEX_MASK
    if (node === NONE || node >= this.#used || this.#expiry[node] === -1) return false
    if ((this.#use[node] ?? 0) * (1 << INDEX_BITS) + node !== id) return false
    this.#release(node)
    return true
  }

  /** Expires what is due. The wheel calls it by itself; tests with their own clock call it by hand. */
  advance(): void {
    const target = Math.floor((this.#clock.monotonic() - this.#origin) / this.#tickMs)
    this.#advancing = true
    // After a long pause every slot is visited once, not once a tick.
    const from = Math.max(this.#tick + 1, target - SLOTS + 1)
    this.#tick = Math.max(this.#tick, target)
    try {
      for (let tick = from; tick <= target && this.#armed > 0; tick++) this.#expireSlot(tick & MASK, target)
    } finally {
      this.#advancing = false
      this.#sleepUntil(this.#nextInUse())
    }
  }

  /** Forgets all timers; nothing expires any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#timerTick = Infinity
    for (let node = 1; node < this.#used; node++) if (this.#expiry[node] !== -1) this.#release(node)
  }

  #expireSlot(slot: number, target: number): void {
    // An owner may arm and cancel while it is told: where it took out the node that comes next, the walk starts over.
    let node = this.#slots[slot] ?? NONE
    while (node !== NONE) {
      if ((this.#expiry[node] ?? Infinity) > target) {
        node = this.#next[node] ?? NONE
        continue
      }
      const owner = this.#owners[node]
      const subject = this.#subject[node] ?? 0
      const generation = this.#generation[node] ?? 0
      const next = this.#next[node] ?? NONE
      const nextUse = this.#use[next]
      this.#release(node)
      owner?.expired(subject, generation)
      node = next !== NONE && this.#use[next] === nextUse ? next : (this.#slots[slot] ?? NONE)
    }
  }

  #release(node: number): void {
    const next = this.#next[node] ?? NONE
    const previous = this.#previous[node] ?? NONE
    if (previous < 0) this.#slots[-previous - 1] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#expiry[node] = -1
    this.#owners[node] = undefined
    this.#use[node] = ((this.#use[node] ?? 0) + 1) % USE_LIMIT
    this.#next[node] = this.#free
    this.#free = node
    this.#armed--
  }

  #nextInUse(): number {
    if (this.#armed === 0) return Infinity
    for (let tick = this.#tick + 1; tick <= this.#tick + SLOTS; tick++) if (this.#slots[tick & MASK] !== NONE) return tick
    return Infinity
  }

  #sleepUntil(tick: number): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#timerTick = tick
    if (tick === Infinity) return
    const delay = this.#origin + tick * this.#tickMs - this.#clock.monotonic()
    this.#timer = setTimeout(() => this.advance(), Math.min(Math.max(Math.ceil(delay), 1), MAX_SLEEP_MS))
    // Deadlines alone never keep a process up: a listener or a queue does.
    this.#timer.unref()
  }

  #grow(): void {
    if (this.#next.length > INDEX_MASK) throw new RangeError(`the timer wheel holds ${INDEX_MASK} timers and no more`)
    const size = this.#next.length * 2
    const wider = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(size)
      to.set(from)
      return to
    }
    this.#next = wider(this.#next)
    this.#previous = wider(this.#previous)
    this.#subject = wider(this.#subject)
    this.#generation = wider(this.#generation)
    this.#use = wider(this.#use)
    const expiry = new Float64Array(size)
    expiry.set(this.#expiry)
    this.#expiry = expiry
  }
}
