import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../shared/clock.ts'
import { NppError } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { claimQueue, ENGINE_LOCK, FIRST_SERVICE_LOCK, NOBODY, OwnedQueue, READY_LOCK } from './owned-queue.ts'
import { PosixQueue } from './posix-queue.ts'
import { createScoreboard, openScoreboard, removeScoreboard, type ScoreboardFile } from './scoreboard-file.ts'
import { sweepSpills } from './spill.ts'

/** How often the engine tries again: a service may hold a lock for a moment while it clears up, or queues of the engine before it for longer. */
const OWN_ATTEMPTS = 20
const OWN_RETRY_MS = 25

/** Names of the queues of an instance: calls to any service, and replies to one engine process, each by its number. */
export function queueNames(id: string, engine = 0): { readonly requests: string; readonly replies: string } {
  return { requests: `/npp-${id}.requests`, replies: `/npp-${id}.replies.${engine}` }
}

/** The engine's end of an instance. */
export class OwnedInstance {
  readonly id: string
  readonly requests: OwnedQueue
  readonly replies: OwnedQueue
  readonly scoreboard: ScoreboardFile
  #ended = false

  constructor(id: string, requests: OwnedQueue, replies: OwnedQueue, scoreboard: ScoreboardFile) {
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
    return this.requests.users()
  }

  hasService(): boolean {
    return this.requests.isUsed()
  }

  /** Removes queues, scoreboard and large payloads, and closes them. Names that lead to others by now are another engine's and stay. Ending twice does nothing. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    const isOurs = this.requests.isCurrent()
    this.scoreboard.end()
    this.replies.end()
    // Of calls that nobody will run any more; while the lock is ours, as the next engine's are none of our business.
    if (isOurs) sweepSpills(this.id, 0)
    this.requests.end()
  }
}

/**
 * Makes this process the engine of the instance. In place of queues that a dead engine left there are new ones; those of a living one are not
 * touched: NPP_INSTANCE_RUNNING. Nothing is left behind when it fails.
 */
export async function ownInstance(id: string): Promise<OwnedInstance> {
  for (let attempt = 1; ; attempt++) {
    try {
      const owned = tryOwn(id)
      if (owned !== undefined) return owned
      if (attempt >= OWN_ATTEMPTS) break
    } catch (error) {
      // Services of a dead engine have its queues until they notice that it is gone: so long the bytes of those count too.
      if (!(error instanceof NppError && error.code === 'NPP_QUEUE_LIMIT') || attempt >= OWN_ATTEMPTS) throw error
    }
    await sleep(OWN_RETRY_MS)
  }
  throw new NppError(
    'NPP_INSTANCE_RUNNING',
    `an npp_app of the instance ${id} is running: stop it, or set NPP_ASYNC_ID to run another instance of the same site beside it`,
  )
}

function tryOwn(id: string): OwnedInstance | undefined {
  const names = queueNames(id)
  const requests = claim(names.requests, true)
  if (requests === undefined) return undefined
  try {
    const replies = claim(names.replies, false)
    if (replies === undefined) {
      requests.end()
      return undefined
    }
    try {
      sweepSpills(id, 0)
      const scoreboard = createScoreboard(id, { epoch: randomInt(1, 2 ** 32), inboxBytes: requests.messageSize })
      requests.open()
      return new OwnedInstance(id, requests, replies, scoreboard)
    } catch (error) {
      replies.end()
      throw error
    }
  } catch (error) {
    requests.end()
    throw error
  }
}

function claim(name: string, forwards: boolean): OwnedQueue | undefined {
  const queue = claimQueue(name)
  return queue === undefined ? undefined : new OwnedQueue(queue, forwards)
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

  /** False once the engine has ended, however it did: the next one makes queues of its own. */
  isAlive(): boolean {
    return isOwned(this.requests)
  }

  /** Whether queues and scoreboard still have their names, so that they are what a service finds that attaches now. */
  isWhole(): boolean {
    return this.requests.isCurrent() && this.replies.isCurrent() && this.scoreboard.isCurrent()
  }

  /** Whether the engine has made anew what had lost its name, so that one may attach again. */
  isRenewed(): boolean {
    const names = queueNames(this.id)
    const opened: { close(): void }[] = []
    try {
      const requests = PosixQueue.open({ name: names.requests })
      opened.push(requests)
      opened.push(PosixQueue.open({ name: names.replies }))
      const scoreboard = openScoreboard(this.id, { inboxBytes: requests.messageSize })
      opened.push(scoreboard)
      return isOwned(requests) && scoreboard.board.epoch === this.scoreboard.board.epoch
    } catch (error) {
      if (error instanceof NppError) return false
      throw error
    } finally {
      for (const each of opened) each.close()
    }
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
  const opened: { close(): void }[] = []
  let attached: AttachedInstance | undefined
  try {
    const requests = PosixQueue.open({ name: names.requests })
    opened.push(requests)
    const isOurs = isOwned(requests) && requests.lock(FIRST_SERVICE_LOCK + process.pid, true)
    if (!isOurs) return undefined
    const replies = PosixQueue.open({ name: names.replies })
    opened.push(replies)
    // The engine reads the queue for as long as it sees this.
    if (!replies.lock(FIRST_SERVICE_LOCK + process.pid, true)) return undefined
    const scoreboard = openScoreboard(id, { inboxBytes: requests.messageSize })
    attached = new AttachedInstance(id, requests, replies, scoreboard)
    return attached
  } catch (error) {
    // The engine is about to make them, or has just removed them.
    if (error instanceof NppError && (error.code === 'NPP_QUEUE_MISSING' || error.code === 'NPP_SHM_MISSING')) return undefined
    throw error
  } finally {
    if (attached === undefined) for (const each of opened) each.close()
  }
}

/** Whether an engine lives that has all in place. */
function isOwned(requests: PosixQueue): boolean {
  // Not which: the kernel makes one lock of two that lie side by side.
  return requests.lockedIn(READY_LOCK, READY_LOCK) !== NOBODY
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
