import { BatchReader } from '../../ipc/batch-reader.ts'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import { BEGUN, FrameKind, NO_GENERATION, messageLengthOf } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { ProcessKind, type Occupant, type Scoreboard } from '../../ipc/scoreboard.ts'
import type { ProcessWatch, ProcessWatchOptions } from '../../native/index.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { TimerWheel } from '../../shared/timer-wheel.ts'
import { HangWatch } from './hang-watch.ts'

/** Who is told of calls that nobody will reply to. */
export interface Bereaved {
  /** Takes in all replies that lie in the queue: what a service has answered before it ended is answered. */
  receiveAll(): void
  /** The service process that had this call in hand is gone. */
  died(call: number, generation: number): void
  /** The service process that is gone had taken this call and not begun it: a message for another one. */
  takeBack(message: Buffer): void
  /** Told last: nothing of the process is needed any more. */
  ended(pid: number): void
}

export interface ServiceWatchOptions {
  readonly board: Scoreboard
  /** Number and epoch of this engine process: calls of others are theirs. */
  readonly engine: number
  readonly epoch: number
  /** Tells when a process ends, also one that has ended already. */
  readonly watch: (options: ProcessWatchOptions, onEnd: () => void) => ProcessWatch
  /** When a process is held to be blocked, and is killed; without it none is. */
  readonly hangs?: { readonly graceMs: number; readonly clock: Clock; readonly wheel: TimerWheel }
  readonly log: Log
}

/**
 * Watches over the service processes of the scoreboard. When one ends without having given its slot back, the calls that it had in hand are
 * told of at once: those that it has marked as running, and those of the last message that it took. Of the latter those that it had not begun
 * go back to the queue, whatever their service is: nobody has run them.
 */
export class ServiceWatch {
  readonly #options: ServiceWatchOptions
  readonly #watches = new Map<string, ProcessWatch>()
  readonly #hangs: HangWatch | undefined
  #bereaved: Bereaved | undefined
  #seen = -1

  constructor(options: ServiceWatchOptions) {
    this.#options = options
    const { board, engine, epoch, hangs } = options
    if (hangs === undefined) return
    const blocked = (occupant: Occupant, service: string, overdueMs: number): void => this.#kill(occupant, service, overdueMs)
    this.#hangs = new HangWatch({ board, engine, epoch, ...hangs, blocked })
  }

  /** Names who is told. */
  attach(bereaved: Bereaved): void {
    this.#bereaved = bereaved
  }

  /** Looks whether services have come or gone. It costs nanoseconds while none has. */
  look(): void {
    const { board, watch } = this.#options
    const { changes } = board
    if (changes === this.#seen) return
    this.#seen = changes
    const present = new Set<string>()
    for (const occupant of board.occupants()) {
      if (occupant.kind !== ProcessKind.Service) continue
      const key = keyOf(occupant)
      present.add(key)
      if (this.#watches.has(key)) continue
      this.#watches.set(
        key,
        watch({ pid: occupant.pid, start: occupant.start }, () => this.#ended(key, occupant)),
      )
    }
    for (const [key, open] of this.#watches) {
      if (present.has(key)) continue
      open.close()
      this.#watches.delete(key)
    }
  }

  /** Nobody waits any more for a call of this deadline that has left; whoever has it is to be done by then, and a grace later at the latest. */
  outlasts(deadline: number): void {
    this.#hangs?.outlasts(deadline)
  }

  close(): void {
    this.#hangs?.close()
    for (const open of this.#watches.values()) open.close()
    this.#watches.clear()
  }

  #kill(occupant: Occupant, service: string, overdueMs: number): void {
    this.look()
    const killed = this.#watches.get(keyOf(occupant))?.kill() === true
    this.#options.log.error(
      { pid: occupant.pid, service, overdueMs: Math.round(overdueMs) },
      `npp_svc is blocked: its event loop does not turn, and the call that it has is past its deadline; ${killed ? 'killed' : 'it could not be killed'}`,
    )
  }

  #ended(key: string, occupant: Occupant): void {
    const { board, engine, epoch, log } = this.#options
    this.#watches.delete(key)
    // In this order: a reply that was sent counts, and what is read after it is what had none.
    this.#bereaved?.receiveAll()
    const lost = board.callsInHandOf(occupant).filter((call) => call.engine === engine && call.epoch === epoch)
    // Each is told of once: a call that is made again has perhaps left again when the second time comes, and would fail.
    const taken = this.#taken(occupant).filter(
      (one) => !lost.some((other) => other.call === one.call && other.generation === one.generation),
    )
    for (const { call, generation } of [...lost, ...taken.filter(({ message }) => message === undefined)])
      this.#bereaved?.died(call, generation)
    for (const { message } of taken) if (message !== undefined) this.#bereaved?.takeBack(message)
    this.#bereaved?.ended(occupant.pid)
    if (board.free(occupant)) log.debug({ pid: occupant.pid }, 'a service process ended without giving its slot back')
  }

  /** Calls of the last message that the process took. Most of those that were begun were replied to; the generation tells. */
  #taken(occupant: Occupant): Taken[] {
    const inbox = this.#options.board.inboxOf(occupant)
    if (inbox === undefined) return []
    const reader = new BatchReader(inbox, new NameCache())
    if (reader.read(messageLengthOf(inbox)) !== undefined) return []
    if (reader.engine !== this.#options.engine || reader.epoch !== this.#options.epoch) return []
    const writer = new BatchWriter(inbox.byteLength, process.pid)
    const taken: Taken[] = []
    while (reader.next()) {
      const { kind, call, generation, returns } = reader
      if (generation === NO_GENERATION || (kind !== FrameKind.Call && kind !== FrameKind.PageCall)) continue
      if (returns === BEGUN) taken.push({ call, generation, message: undefined })
      else {
        writer.begin(reader.engine, reader.epoch)
        writer.returned(inbox, reader.frameStart, reader.bodyEnd, returns)
        taken.push({ call, generation, message: Buffer.from(writer.bytes.subarray(0, writer.length)) })
      }
    }
    return taken
  }
}

/** A call of the last message of a process that is gone, as a message of its own where it was not begun. */
interface Taken {
  readonly call: number
  readonly generation: number
  readonly message: Buffer | undefined
}

function keyOf({ slot, state }: Occupant): string {
  return `${slot}/${state}`
}
