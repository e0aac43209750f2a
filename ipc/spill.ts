import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { SHARED_MEMORY_FOLDER, sharedMemoryError, sharedMemoryPath, unlinkSharedMemory } from '../native/index.ts'
import { errnoOf, NppError } from '../shared/errors.ts'
import { scoreboardName } from './scoreboard-file.ts'

/*
 * Payloads that are too large for messages, as files in memory. All calls are synchronous: a file in /dev/shm is memory, no disk is waited for,
 * and copying a megabyte takes less time than asking the thread pool to do it.
 */

const OWNER_ONLY = 0o600
const KEY = /^[0-9a-f]{32}$/
/** Digits of a key that say which process wrote the file; the others are drawn at random. */
const WRITER_DIGITS = 8
const KEY_RANDOM_BYTES = 12
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

function prefixOf(id: string): string {
  return `npp-${id}.spill.`
}

function writerOf(pid: number): string {
  return pid.toString(16).padStart(WRITER_DIGITS, '0')
}

/** The path of a spilled payload. A key came in a message: only what writeSpill can have drawn leads to a file. */
function pathOf(id: string, key: string): string {
  if (!KEY.test(key)) throw new NppError('NPP_SHM_ARGUMENT', 'The key of a spilled payload is 32 hexadecimal digits.')
  return sharedMemoryPath(prefixOf(id) + key)
}

/**
 * Puts the parts, one behind the other, into a file of the instance in /dev/shm, which readSpill takes by the key that is returned. Sweeps
 * count its age from `freshUntil` on, in milliseconds since 1970; 0 for now. Throws NppError NPP_SHM_FULL where there is no room,
 * NPP_SHM_PERMISSION or NPP_SHM_FAILED; nothing is left behind then.
 */
export function writeSpill(id: string, parts: readonly Uint8Array[], freshUntil = 0): string {
  const key = writerOf(process.pid) + randomBytes(KEY_RANDOM_BYTES).toString('hex')
  const path = pathOf(id, key)
  let descriptor: number
  try {
    descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, OWNER_ONLY)
  } catch (error) {
    throw sharedMemoryError(error, 'Making a file for a large payload failed')
  }
  try {
    // open subtracts the umask; the mode is meant exactly.
    fchmodSync(descriptor, OWNER_ONLY)
    for (const part of parts) writeAll(descriptor, part)
    if (freshUntil > 0) futimesSync(descriptor, freshUntil / 1000, freshUntil / 1000)
    return key
  } catch (error) {
    unlinkSync(path)
    throw sharedMemoryError(error, `Writing a payload of ${parts.reduce((sum, part) => sum + part.byteLength, 0)} bytes failed`)
  } finally {
    closeSync(descriptor)
  }
}

/** A full file system takes the part that it has room for, and refuses the next one. */
function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(descriptor, bytes, at, bytes.byteLength - at)
}

/**
 * Takes a payload of exactly `bytes` bytes: its file is gone when this returns. Throws NppError NPP_SHM_MISSING where it was taken or swept
 * before, NPP_SHM_PERMISSION for a file of another user or mode, a link or no file at all, NPP_SHM_INVALID for one of another size, which
 * all stay; NPP_SHM_ARGUMENT or NPP_SHM_FAILED. The payload is the start of `into` where that is large enough: who has decoded the one before uses
 * its memory again, and saves the kernel half of the work.
 */
export function readSpill(id: string, key: string, bytes: number, into?: Buffer): Buffer {
  const path = pathOf(id, key)
  let descriptor: number
  try {
    // Non-blocking, so that a FIFO in the place of the file holds nobody up.
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    throw sharedMemoryError(error, 'Opening a spilled payload failed')
  }
  try {
    refuseUnlessOurs(descriptor, bytes)
    unlinkSync(path)
    const payload = into !== undefined && into.byteLength >= bytes ? into.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes)
    for (let at = 0; at < bytes;) {
      const read = readSync(descriptor, payload, at, bytes - at, null)
      if (read === 0) throw new NppError('NPP_SHM_INVALID', 'A spilled payload was cut short while it was read.')
      at += read
    }
    return payload
  } catch (error) {
    throw sharedMemoryError(error, 'Reading a spilled payload failed')
  } finally {
    closeSync(descriptor)
  }
}

function refuseUnlessOurs(descriptor: number, bytes: number): void {
  const found = fstatSync(descriptor)
  if (!found.isFile() || found.uid !== process.geteuid?.() || (found.mode & 0o7777) !== OWNER_ONLY || found.nlink > 1) {
    throw new NppError('NPP_SHM_PERMISSION', 'A spilled payload is no file of this user with mode 0600 and one name.')
  }
  if (found.size !== bytes) throw new NppError('NPP_SHM_INVALID', `A spilled payload has ${found.size} bytes in place of ${bytes}.`)
}

/** Removes a payload that nobody is to take any more. False where it is gone. */
export function discardSpill(id: string, key: string): boolean {
  try {
    unlinkSync(pathOf(id, key))
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw sharedMemoryError(error, 'Removing a spilled payload failed')
  }
}

/**
 * Removes payloads of the instance that were written `olderThanMs` ago or earlier: whoever was to take them is gone; and scoreboards that
 * never got their name. With 0, all. `now` is in milliseconds since 1970. Returns how many there were. Throws NppError NPP_SHM_MISSING where
 * there is no /dev/shm, or NPP_SHM_FAILED.
 */
export function sweepSpills(id: string, olderThanMs: number, now: number = Date.now()): number {
  const unnamed = `${scoreboardName(id)}.`
  let swept = 0
  for (const name of filesInMemory()) {
    const prefix = [prefixOf(id), unnamed].find((prefix) => name.startsWith(prefix))
    if (prefix === undefined || !KEY.test(name.slice(prefix.length))) continue
    const age = now - modifiedAt(name)
    if (olderThanMs > 0 ? age >= olderThanMs : age > -Infinity) swept += unlinkSharedMemory(name) ? 1 : 0
  }
  return swept
}

/**
 * Removes the payloads of the instance that the process wrote and nobody has taken: it is gone, and what it sent has been received. Returns how
 * many there were; throws as sweepSpills does.
 */
export function sweepSpillsOf(id: string, pid: number): number {
  const prefix = prefixOf(id)
  const files = filesInMemory().filter((name) => name.startsWith(prefix + writerOf(pid)) && KEY.test(name.slice(prefix.length)))
  return files.filter((name) => modifiedAt(name) < Infinity && unlinkSharedMemory(name)).length
}

/** In milliseconds since 1970; Infinity for a file that is gone or another user's. */
function modifiedAt(name: string): number {
  const found = lstatSync(sharedMemoryPath(name), { throwIfNoEntry: false })
  return found === undefined || found.uid !== process.geteuid?.() ? Infinity : found.mtimeMs
}

function filesInMemory(): string[] {
  try {
    return readdirSync(SHARED_MEMORY_FOLDER)
  } catch (error) {
    throw sharedMemoryError(error, `Looking through ${SHARED_MEMORY_FOLDER} failed`)
  }
}
