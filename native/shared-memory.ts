import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, renameSync, unlinkSync } from 'node:fs'
import { errnoOf, messageOf, NppError } from '../shared/errors.ts'
import { addon, type AddonSharedMemory } from './addon.ts'

/** Where files lie in memory, for programs that share some: shm_overview(7). */
export const SHARED_MEMORY_FOLDER = '/dev/shm'

const OWNER_ONLY = 0o600
const ALL_MODE_BITS = 0o7777

export interface SharedMemoryCreation {
  /** 1 to 255 bytes without a slash, not beginning with a dot. */
  readonly name: string
  readonly bytes: number
  /** Bytes from the start for which memory is taken at once; for the rest `reserve` does. Default: all. */
  readonly reserved?: number
}

export interface SharedMemoryOpening {
  readonly name: string
  /** Exactly as many as the file has. */
  readonly bytes: number
}

/** The NppError for what the system or the addon threw; `what` says which operation on what. */
export function sharedMemoryError(cause: unknown, what: string): NppError {
  if (cause instanceof NppError) return cause
  const code = errnoOf(cause)
  const text = `${what}: ${messageOf(cause)}`
  switch (code) {
    case 'NPP_SHM_ARGUMENT':
    case 'NPP_SHM_CLOSED':
    case 'NPP_SHM_PERMISSION':
    case 'NPP_SHM_INVALID':
      return new NppError(code, text, { cause })
    // ELOOP: the name is a symbolic link. ENXIO: it is a socket.
    case 'EACCES':
    case 'EPERM':
    case 'ELOOP':
    case 'ENXIO':
    case 'EISDIR':
      return new NppError('NPP_SHM_PERMISSION', text, { cause })
    case 'ENOENT':
      return new NppError('NPP_SHM_MISSING', text, { cause })
    case 'EEXIST':
      return new NppError('NPP_SHM_EXISTS', text, { cause })
    // EFBIG: RLIMIT_FSIZE counts for files in memory too.
    case 'ENOSPC':
    case 'EDQUOT':
    case 'ENOMEM':
    case 'EFBIG':
      return new NppError(
        'NPP_SHM_FULL',
        `${text}. ${code === 'EFBIG' ? 'ulimit -f allows no file of this size' : `${SHARED_MEMORY_FOLDER} has no room left; df ${SHARED_MEMORY_FOLDER} tells how large it is`}.`,
        { cause },
      )
    default:
      return new NppError('NPP_SHM_FAILED', text, { cause })
  }
}

/** The path of such a file. Throws NppError NPP_SHM_ARGUMENT for what cannot be a name. */
export function sharedMemoryPath(name: string): string {
  if (name === '' || Buffer.byteLength(name) > 255 || name.startsWith('.') || name.includes('/') || name.includes('\0')) {
    throw new NppError('NPP_SHM_ARGUMENT', 'The name of shared memory is 1 to 255 bytes without a slash or a zero, and begins with no dot.')
  }
  return `${SHARED_MEMORY_FOLDER}/${name}`
}

/**
 * A file of /dev/shm, mapped: what one process writes, the others see. Its mode is 0600 and its owner the user of this process. Methods throw
 * NppError NPP_SHM_ARGUMENT, NPP_SHM_CLOSED, and NPP_SHM_FAILED or a more telling code where the system refuses.
 */
export class SharedMemoryHandle {
  readonly #shared: AddonSharedMemory
  #name: string
  #closed = false

  /** Use createSharedMemory or openSharedMemory. */
  constructor(name: string, shared: AddonSharedMemory) {
    this.#name = name
    this.#shared = shared
  }

  get name(): string {
    return this.#name
  }

  /** The memory itself; detached, so of length 0, after close. What other processes may change is read by Atomics. */
  get memory(): ArrayBuffer {
    return this.#shared.memory
  }

  /** Takes memory for a part of a file that was created without it: a full /dev/shm is NPP_SHM_FULL here, and SIGBUS at a write otherwise. */
  reserve(offset: number, length: number): void {
    try {
      this.#shared.reserve(offset, length)
    } catch (error) {
      throw sharedMemoryError(error, `Taking ${length} bytes of shared memory for ${this.#name} failed`)
    }
  }

  /**
   * Exchanges the files of two handles of the same length: the memory of each, and every view of it, shows what was the other's from now on. So
   * whoever has views of the memory need not be told that it stands in another file. The names go with the files.
   */
  swap(other: SharedMemoryHandle): void {
    try {
      this.#shared.swap(other.#shared)
    } catch (error) {
      throw sharedMemoryError(error, `Exchanging the shared memory ${this.#name} with ${other.#name} failed`)
    }
    const name = this.#name
    this.#name = other.#name
    other.#name = name
  }

  /** rename(2): the file has this name from now on, and who opens it finds it complete; a file that had the name has none any more. */
  publish(name: string): void {
    try {
      renameSync(sharedMemoryPath(this.#name), sharedMemoryPath(name))
      this.#name = name
    } catch (error) {
      throw sharedMemoryError(error, `Giving the name ${name} to shared memory failed`)
    }
  }

  /** Whether the name leads to this very file, rather than to none or to one that was made later. */
  isCurrent(): boolean {
    if (this.#closed) throw new NppError('NPP_SHM_CLOSED', `The shared memory ${this.#name} was closed before this use.`)
    const options = { bigint: true, throwIfNoEntry: false } as const
    const named = lstatSync(sharedMemoryPath(this.#name), options)
    const ours = fstatSync(this.#shared.descriptor, options)
    return named !== undefined && named.dev === ours.dev && named.ino === ours.ino
  }

  /** Gives the memory back; the file stays until it is unlinked. Closing twice does nothing. */
  close(): void {
    this.#closed = true
    try {
      this.#shared.close()
    } catch (error) {
      throw sharedMemoryError(error, `Closing the shared memory ${this.#name} failed`)
    }
  }
}

/**
 * Creates a file of zeros in /dev/shm, and takes the memory for it. Throws NppError NPP_SHM_EXISTS, NPP_SHM_FULL, NPP_SHM_PERMISSION,
 * NPP_SHM_ARGUMENT, NPP_SHM_FAILED or NPP_NATIVE_MISSING; then there is no file that there was not before.
 */
export function createSharedMemory({ name, bytes, reserved = bytes }: SharedMemoryCreation): SharedMemoryHandle {
  const { SharedMemory } = addon()
  try {
    return new SharedMemoryHandle(name, new SharedMemory(sharedMemoryPath(name), bytes, true, reserved))
  } catch (error) {
    throw sharedMemoryError(error, `Creating the shared memory ${name} of ${bytes} bytes failed`)
  }
}

/**
 * Opens a file that createSharedMemory made in some process of this user. Throws NppError NPP_SHM_MISSING, NPP_SHM_PERMISSION for a file of
 * another user or mode, a link or no file at all, NPP_SHM_INVALID for one of another size, NPP_SHM_ARGUMENT, NPP_SHM_FAILED or NPP_NATIVE_MISSING.
 */
export function openSharedMemory({ name, bytes }: SharedMemoryOpening): SharedMemoryHandle {
  const { SharedMemory } = addon()
  try {
    return new SharedMemoryHandle(name, new SharedMemory(sharedMemoryPath(name), bytes, false, 0))
  } catch (error) {
    throw sharedMemoryError(error, `Opening the shared memory ${name} failed`)
  }
}

/** Removes the name; who has the memory open keeps it. False when there was no such name. */
export function unlinkSharedMemory(name: string): boolean {
  try {
    unlinkSync(sharedMemoryPath(name))
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw sharedMemoryError(error, `Unlinking the shared memory ${name} failed`)
  }
}

/**
 * What is in such a file, by read(2): the file is opened for reading alone, and holes in it take no memory. Words that other processes write
 * meanwhile are of one moment each, all of it is not. Throws NppError NPP_SHM_MISSING, NPP_SHM_PERMISSION for a file of another user or mode, a link or
 * no file at all, or NPP_SHM_FAILED.
 */
export function readSharedMemory(name: string): ArrayBuffer {
  const path = sharedMemoryPath(name)
  const what = `Reading the shared memory ${name} failed`
  let descriptor = -1
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
    const status = fstatSync(descriptor)
    if (!status.isFile() || status.uid !== process.geteuid?.() || (status.mode & ALL_MODE_BITS) !== OWNER_ONLY)
      throw new NppError('NPP_SHM_PERMISSION', `${what}: it is not a file of this user with the mode 0600.`)
    const bytes = Buffer.alloc(status.size)
    for (let at = 0, read = -1; at < status.size && read !== 0; at += read) read = readSync(descriptor, bytes, at, status.size - at, at)
    return bytes.buffer
  } catch (error) {
    throw sharedMemoryError(error, what)
  } finally {
    if (descriptor !== -1) closeSync(descriptor)
  }
}
