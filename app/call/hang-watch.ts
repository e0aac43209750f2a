import { BatchReader } from '../../ipc/batch-reader.ts'
import { FrameKind, NO_GENERATION, messageLengthOf } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { ProcessKind, type CallInHand, type Occupant, type Scoreboard } from '../../ipc/scoreboard.ts'
import type { Clock } from '../../shared/clock.ts'
import { Limits } from '../../shared/limits.ts'
import type { TimerId, TimerOwner, TimerWheel } from '../../shared/timer-wheel.ts'

export interface HangWatchOptions {
  readonly board: Scoreboard
  /** Number and epoch of this engine process. */
  readonly engine: number
  readonly epoch: number
  /** Milliseconds past its deadline for which a call may hold its process up. */
  readonly graceMs: number
  /** Told of a process whose event loop does not turn, and of the service that holds it up, '' where nobody can say. */
  readonly blocked: (occupant: Occupant, service: string, overdueMs: number) => void
  readonly clock: Clock
  readonly wheel: TimerWheel
}

/** A call that should be over. */
interface Overdue {
  /** Tells it from all others of its process. */
  readonly key: string
  readonly deadline: number
  readonly service: number
}

/** A process with such a call, as it was found in one look after the other. */
interface Suspect {
  readonly key: string
  readonly beat: number
  readonly looks: number
}

const NO_SERVICE = -1

/**
 * Looks for service processes that are blocked: the call that they run, or have taken, is past its deadline and the grace, and they show no sign
 * of life in several looks in a row. One that awaits something past its deadline shows that its event loop turns; one that gets no processor is
 * given the time in which this process got some. It looks only after calls were given up that a service may have.
 */
export class HangWatch implements TimerOwner {
  readonly #options: HangWatchOptions
  #suspects = new Map<string, Suspect>()
  /** Until then calls may come to be overdue that nobody waits for any more. */
  #until = -Infinity
  /** When it looks next. */
  #dueAt = Infinity
  #timer: TimerId = 0

  constructor(options: HangWatchOptions) {
    this.#options = options
  }

  /** Nobody waits any more for a call of this deadline that has left: a service may have it in hand, and past its time. */
  outlasts(deadline: number): void {
    // The scoreboard has deadlines in whole milliseconds, rounded up: a look before that would find nothing, and be the last.
    const due = Math.ceil(deadline) + this.#options.graceMs
    if (due > this.#until) this.#until = due
    if (due < this.#dueAt) this.#lookAt(due)
  }

  close(): void {
    this.#options.wheel.cancel(this.#timer)
    this.#dueAt = -Infinity
  }

  /** It is time to look. */
  expired(): void {
    this.#dueAt = Infinity
    const { board, clock, graceMs, blocked } = this.#options
    const now = clock.monotonic()
    const before = this.#suspects
    this.#suspects = new Map()
    for (const occupant of board.occupants()) {
      if (occupant.kind !== ProcessKind.Service) continue
      const overdue = this.#overdueOf(occupant)
      if (overdue === undefined || overdue.deadline + graceMs > now) continue
      const name = `${occupant.slot}/${occupant.state}`
      const beat = board.beatOf(occupant)
      const last = before.get(name)
      const looks = last?.key === overdue.key && last.beat === beat ? last.looks + 1 : 0
      this.#suspects.set(name, { key: overdue.key, beat, looks })
      if (looks !== Limits.hangLooks) continue
      blocked(occupant, overdue.service === NO_SERVICE ? '' : board.services.nameOf(overdue.service), now - overdue.deadline)
    }
    if (this.#suspects.size > 0) this.#lookAt(now + Limits.hangLookMs)
    else if (now < this.#until) this.#lookAt(Math.min(now + Limits.hangSearchMs, this.#until))
  }

  #lookAt(time: number): void {
    const { wheel, clock } = this.#options
    wheel.cancel(this.#timer)
    this.#dueAt = time
    this.#timer = wheel.arm(time - clock.monotonic(), this, 0, 0)
  }

  /** The call that has the process for itself, as far as can be told. */
  #overdueOf(occupant: Occupant): Overdue | undefined {
    const calls = this.#options.board.callsInHandOf(occupant)
    if (calls.length === 0) return this.#firstTaken(occupant)
    // What computes holds the others up. Of those that wait any may have gone on, so that the process has the time of the last of them.
    const { call, generation, deadline, service } = calls.find(({ waits }) => !waits) ?? calls.reduce(later)
    return { key: `${call}/${generation}`, deadline, service }
  }

  /** The call of the message in the inbox that should be over first. While a message is there that is not done, its process has work. */
  #firstTaken(occupant: Occupant): Overdue | undefined {
    const { board, engine, epoch } = this.#options
    const inbox = board.inboxOf(occupant)
    if (inbox === undefined) return undefined
    const reader = new BatchReader(inbox, new NameCache())
    if (reader.read(messageLengthOf(inbox)) !== undefined || reader.engine !== engine || reader.epoch !== epoch) return undefined
    let first: Overdue | undefined
    while (reader.next()) {
      const { kind, call, generation, deadline } = reader
      if (generation === NO_GENERATION || (kind !== FrameKind.Call && kind !== FrameKind.PageCall)) continue
      if (first === undefined || deadline < first.deadline) first = { key: `${call}/${generation}`, deadline, service: NO_SERVICE }
    }
    return first
  }
}

function later(one: CallInHand, other: CallInHand): CallInHand {
  return other.deadline > one.deadline ? other : one
}
