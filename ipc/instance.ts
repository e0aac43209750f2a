import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../shared/clock.ts'
import { NppError } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { PosixQueue } from './posix-queue.ts'
import { createScoreboard, openScoreboard, removeScoreboard, type ScoreboardFile } from './scoreboard-file.ts'
import { sweepSpills } from './spill.ts'

/*
 * Who lives is told by locks on the request queue itself, which the kernel takes back when a process dies, however it dies: the engine holds
 * byte 0, each service the byte 1 + its pid. No file has to be written, and none is left behind.
 */
const ENGINE_LOCK = 0
const FIRST_SERVICE_LOCK = 1
const TO_THE_END = 0
const NOBODY = -1

/** How often the engine looks again at a lock that a service may hold for a moment while it clears up. */
const OWN_ATTEMPTS = 20
const OWN_RETRY_MS = 25

/** Names of the queues of an instance: calls to any service, and replies to one engine process. */
export function queueNames(id: string, engine = 0): { readonly requests: string; readonly replies: string } {
  return { requests: `/npp-${id}.requests`, replies: `/npp-${id}.replies.${engine}` }
}

/** The engine's end of an instance. */
export class OwnedInstance {
  readonly id: string
  readonly requests: PosixQueue
  readonly replies: PosixQueue
  readonly scoreboard: ScoreboardFile
  #ended = false

  constructor(id: string, requests: PosixQueue, replies: PosixQueue, scoreboard: ScoreboardFile) {
    this.id = id
    this.requests = requests
    this.replies = replies
    this.scoreboard = scoreboard
  }

  /** Drawn anew by each engine: tells its calls from those of the engine before it. */
  get epoch(): number {
    return this.scoreboard.board.epoch
  }

  /** Pids of the service processes that are attached. */
  services(): number[] {
    return lockedOffsets(this.requests, FIRST_SERVICE_LOCK, TO_THE_END).map((offset) => offset - FIRST_SERVICE_LOCK)
  }

  hasService(): boolean {
    return this.requests.lockedIn(FIRST_SERVICE_LOCK, TO_THE_END) !== NOBODY
  }

  /** Removes queues and scoreboard and closes them. Names that lead to others by now are another engine's and stay. Ending twice does nothing. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    // Of calls that nobody will take any more.
    if (this.requests.isCurrent()) sweepSpills(this.id, 0)
    this.scoreboard.end()
    for (const queue of [this.replies, this.requests]) {
      if (queue.isCurrent()) PosixQueue.unlink(queue.name)
      queue.close()
    }
  }
}

/**
 * Makes this process the engine of the instance. Queues that a dead engine left are taken over, emptied; those of a living one are not
 * touched: NPP_INSTANCE_RUNNING. Nothing is left behind when it fails.
 */
export async function ownInstance(id: string): Promise<OwnedInstance> {
  for (let attempt = 0; attempt < OWN_ATTEMPTS; attempt++) {
    const owned = tryOwn(id)
    if (owned !== undefined) return owned
    await sleep(OWN_RETRY_MS)
  }
  throw new NppError(
    'NPP_INSTANCE_RUNNING',
    `an npp_app of the instance ${id} is running: stop it, or set NPP_ASYNC_ID to run another instance of the same site beside it`,
  )
}

function tryOwn(id: string): OwnedInstance | undefined {
  const names = queueNames(id)
  const requests = PosixQueue.open({ name: names.requests, create: true })
  try {
    // Between open and lock somebody may have removed the name: then this queue is nobody's, and the next attempt opens another.
    if (!requests.lock(ENGINE_LOCK, true) || !requests.isCurrent()) {
      requests.close()
      return undefined
    }
    empty(requests)
    const replies = PosixQueue.open({ name: names.replies, create: true })
    try {
      empty(replies)
      sweepSpills(id, 0)
      const scoreboard = createScoreboard(id, { epoch: randomInt(1, 2 ** 32), inboxBytes: requests.messageSize })
      return new OwnedInstance(id, requests, replies, scoreboard)
    } catch (error) {
      PosixQueue.unlink(names.replies)
      replies.close()
      throw error
    }
  } catch (error) {
    // We hold its lock, so it is ours or a dead engine's.
    if (requests.isCurrent()) PosixQueue.unlink(names.requests)
    requests.close()
    throw error
  }
}

/** What a dead engine left in a queue is of no use: its callers are gone. */
function empty(queue: PosixQueue): void {
  const bytes = Buffer.allocUnsafeSlow(queue.messageSize)
  for (let left = queue.maxMessages; left > 0; left--) if (queue.shift(bytes) === -1) return
}

/** A service's end of an instance. */
export class AttachedInstance {
  readonly id: string
  readonly requests: PosixQueue
  readonly replies: PosixQueue
  readonly scoreboard: ScoreboardFile

  constructor(id: string, requests: PosixQueue, replies: PosixQueue, scoreboard: ScoreboardFile) {
    this.id = id
    this.requests = requests
    this.replies = replies
    this.scoreboard = scoreboard
  }

  /** False once the engine has died, or has ended and removed queues and scoreboard, or another engine has taken the queues over. */
  isAlive(): boolean {
    return this.requests.lockedIn(ENGINE_LOCK, ENGINE_LOCK) === ENGINE_LOCK && this.requests.isCurrent() && this.scoreboard.isCurrent()
  }

  /** Lets go of the queues and of the scoreboard. */
  detach(): void {
    this.requests.close()
    this.replies.close()
    this.scoreboard.close()
  }
}

/** Attaches this process to the instance as a service; undefined while no engine lives. */
export function tryAttach(id: string): AttachedInstance | undefined {
  const names = queueNames(id)
  let requests: PosixQueue | undefined
  let scoreboard: ScoreboardFile | undefined
  try {
    requests = PosixQueue.open({ name: names.requests })
    if (requests.lockedIn(ENGINE_LOCK, ENGINE_LOCK) !== ENGINE_LOCK || !requests.lock(FIRST_SERVICE_LOCK + process.pid, true)) {
      requests.close()
      return undefined
    }
    scoreboard = openScoreboard(id, { inboxBytes: requests.messageSize })
    return new AttachedInstance(id, requests, PosixQueue.open({ name: names.replies }), scoreboard)
  } catch (error) {
    requests?.close()
    scoreboard?.close()
    // The engine is about to make them, or has just removed them.
    if (error instanceof NppError && (error.code === 'NPP_QUEUE_MISSING' || error.code === 'NPP_SHM_MISSING')) return undefined
    throw error
  }
}

/** Attaches as a service, waiting for the engine up to `attachMs`; undefined when none came or `signal` was aborted. */
export async function attach(id: string, clock: Clock, signal: AbortSignal): Promise<AttachedInstance | undefined> {
  const end = clock.monotonic() + Limits.attachMs
  while (!signal.aborted) {
    const attached = tryAttach(id)
    if (attached !== undefined) return attached
    if (clock.monotonic() >= end) return undefined
    await sleep(Limits.attachPollMs, undefined, { signal, ref: true }).catch(() => undefined) // Only an abort rejects, and the loop asks.
  }
  return undefined
}

/** Removes the queues and the memory of an instance whose engine is dead; does nothing while one lives. */
export function clearStale(id: string): void {
  const names = queueNames(id)
  try {
    const requests = PosixQueue.open({ name: names.requests })
    try {
      // With the engine's lock in hand no engine can start on this queue until it is gone.
      if (requests.lock(ENGINE_LOCK, true) && requests.isCurrent()) {
        removeScoreboard(id)
        sweepSpills(id, 0)
        PosixQueue.unlink(names.replies)
        PosixQueue.unlink(names.requests)
      }
    } finally {
      requests.close()
    }
  } catch (error) {
    if (!(error instanceof NppError && error.code === 'NPP_QUEUE_MISSING')) throw error
  }
}

/** All offsets that others have locked in [from, to]. A query finds some lock in a range, so the rest on both sides is asked again. */
function lockedOffsets(queue: PosixQueue, from: number, to: number): number[] {
  const found = queue.lockedIn(from, to)
  if (found === NOBODY || found < from) return []
  const before = found > from ? lockedOffsets(queue, from, found - 1) : []
  const after = to === TO_THE_END || found < to ? lockedOffsets(queue, found + 1, to) : []
  return [...before, found, ...after]
}
