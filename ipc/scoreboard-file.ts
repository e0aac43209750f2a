import { randomBytes } from 'node:crypto'
import {
  createSharedMemory,
  isProcessAlive,
  openSharedMemory,
  readSharedMemory,
  unlinkSharedMemory,
  type SharedMemoryHandle,
} from '../native/index.ts'
import { NppError } from '../shared/errors.ts'
import { Scoreboard } from './scoreboard.ts'
import { FIXED_BYTES, scoreboardBytes } from './scoreboard-layout.ts'

/** The name of the scoreboard of an instance, in /dev/shm. */
export function scoreboardName(id: string): string {
  return `npp-${id}.scoreboard`
}

/** A scoreboard in memory that other processes of this user share. */
export class ScoreboardFile {
  readonly board: Scoreboard
  readonly #handle: SharedMemoryHandle

  /** Use createScoreboard or openScoreboard. */
  constructor(board: Scoreboard, handle: SharedMemoryHandle) {
    this.board = board
    this.#handle = handle
  }

  /** False once an engine has made another one, or the name was removed. */
  isCurrent(): boolean {
    return this.#handle.isCurrent()
  }

  /**
   * Makes the scoreboard anew under its name, which was removed: for its engine. `board`, and whoever has views of its memory, see the new one
   * from now on, with all that was on the old one but the slots of services. Returns the old one, which services have until they attach again.
   * Throws as createScoreboard does; then the old one is still in use, and nothing is left behind.
   */
  renew(id: string): ScoreboardFile {
    const name = scoreboardName(id)
    const handle = createUnnamed(name, this.board.inboxBytes)
    const anew = handle.name
    try {
      this.board.copyTo(handle)
      this.#handle.swap(handle)
      try {
        this.#handle.publish(name)
      } catch (error) {
        this.#handle.swap(handle)
        throw error
      }
      return new ScoreboardFile(new Scoreboard(handle, isProcessAlive), handle)
    } catch (error) {
      unlinkSharedMemory(anew)
      handle.close()
      throw error
    }
  }

  /** Gives the memory back; the scoreboard and slots of it must not be used any more, and whatever they are asked throws. */
  close(): void {
    this.#handle.close()
  }

  /** For its engine: closes, and removes the name unless it leads to the scoreboard of another by now. */
  end(): void {
    if (this.#handle.isCurrent()) unlinkSharedMemory(this.#handle.name)
    this.#handle.close()
  }
}

/**
 * Makes the scoreboard of an instance, in place of one that a dead engine left: for who holds the engine's lock. It gets its name when it is
 * complete, so that nobody opens half of it. `inboxBytes` is the messageSize of the request queue. Throws NppError NPP_SHM_FULL,
 * NPP_SHM_PERMISSION, NPP_SHM_FAILED or NPP_NATIVE_MISSING; nothing is left behind then.
 */
export function createScoreboard(id: string, options: { readonly epoch: number; readonly inboxBytes: number }): ScoreboardFile {
  const name = scoreboardName(id)
  const handle = createUnnamed(name, options.inboxBytes)
  try {
    const board = Scoreboard.format(handle, isProcessAlive, options)
    handle.publish(name)
    return new ScoreboardFile(board, handle)
  } catch (error) {
    unlinkSharedMemory(handle.name)
    handle.close()
    throw error
  }
}

/**
 * Opens the scoreboard of an instance. Throws NppError NPP_SHM_MISSING where there is none, NPP_SHM_PERMISSION for one of another user,
 * NPP_SHM_INVALID for one of another version of npp or other inboxes, NPP_SHM_FAILED or NPP_NATIVE_MISSING.
 */
export function openScoreboard(id: string, { inboxBytes }: { readonly inboxBytes: number }): ScoreboardFile {
  const handle = openSharedMemory({ name: scoreboardName(id), bytes: scoreboardBytes(inboxBytes) })
  try {
    const board = new Scoreboard(handle, isProcessAlive)
    if (board.inboxBytes === inboxBytes) return new ScoreboardFile(board, handle)
    throw new NppError('NPP_SHM_INVALID', `The scoreboard has inboxes of ${board.inboxBytes} bytes in place of ${inboxBytes}.`)
  } catch (error) {
    handle.close()
    throw error
  }
}

/**
 * A copy of the scoreboard of an instance as it is now, for people and for metrics: nothing is written, and nobody sees that it was read. Throws
 * NppError NPP_SHM_MISSING where there is none, and else as openScoreboard.
 */
export function copyScoreboard(id: string): Scoreboard {
  const memory = readSharedMemory(scoreboardName(id))
  return new Scoreboard({ memory, reserve: () => undefined }, isProcessAlive)
}

/** Removes the scoreboard of an instance whose engine is dead. False when there was none. */
export function removeScoreboard(id: string): boolean {
  return unlinkSharedMemory(scoreboardName(id))
}

/** Memory for a scoreboard that has yet to get its name. */
function createUnnamed(name: string, inboxBytes: number): SharedMemoryHandle {
  const bytes = scoreboardBytes(inboxBytes)
  refuseForeign(name, bytes)
  // Inboxes take their memory when a slot is claimed: most are never used.
  return createSharedMemory({ name: `${name}.${randomBytes(16).toString('hex')}`, bytes, reserved: FIXED_BYTES })
}

/** What another user left under the name is not ours to replace, not even for root; what is no scoreboard any more is. */
function refuseForeign(name: string, bytes: number): void {
  try {
    openSharedMemory({ name, bytes }).close()
  } catch (error) {
    if (error instanceof NppError && (error.code === 'NPP_SHM_MISSING' || error.code === 'NPP_SHM_INVALID')) return
    throw error
  }
}
