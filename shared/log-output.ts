import { constants as fileFlags, closeSync, fstatSync, openSync, write, writeSync, type Stats } from 'node:fs'
import { constants } from 'node:os'
import { Limits } from './limits.ts'

/** Writes what the descriptor takes without waiting; bytes taken, or an errno below zero. As writeNow of native/index. */
export type WriteNow = (descriptor: number, bytes: Uint8Array, start: number, end: number) => number

/** Where the lines of a log go: a descriptor, whatever it is. */
export interface LogOutput {
  /** Bytes of one write. */
  readonly atMost: number
  /** Writes bytes[0, end) or the first of them; how many, or an errno below zero. Waits for nothing but a disk. */
  write(bytes: Uint8Array, end: number): number
  /** The same beside the event loop: for a file, whose disk may be slow. Without it, `write` never waits. */
  writeBeside?(bytes: Uint8Array, end: number, done: (taken: number) => void): void
  /** Bytes of the file, by which one sees whether a write beside the loop is over. */
  size(): number
  close(): void
}

/**
 * The output of a descriptor that somebody else opened and closes. A pipe or a socket is never left to a thread: the thread would wait for a
 * reader that does not read, and the process could not end, as Node waits for its threads.
 */
export function openLogOutput(descriptor: number, writeNow: WriteNow = writeSimply): LogOutput {
  const stats = statsOf(descriptor)
  if (stats?.isFile() === true || stats?.isBlockDevice() === true) return fileOutput(descriptor)
  const own = stats?.isFIFO() === true || stats?.isCharacterDevice() === true ? openAnew(descriptor) : undefined
  let at = own
  return {
    atMost: Limits.logPipeBytes,
    write: (bytes, end) => (at === undefined ? writeNow(descriptor, bytes, 0, end) : writeSimply(at, bytes, 0, end)),
    size: () => 0,
    close() {
      if (at !== undefined) closeSync(at)
      at = undefined
    },
  }
}

function fileOutput(descriptor: number): LogOutput {
  return {
    atMost: Limits.logWriteBytes,
    write: (bytes, end) => writeSimply(descriptor, bytes, 0, end),
    writeBeside: (bytes, end, done) =>
      write(descriptor, bytes, 0, end, null, (error, taken) => done(error === null ? taken : errorNumber(error))),
    size: () => statsOf(descriptor)?.size ?? Infinity,
    close: () => undefined,
  }
}

/** The same pipe or terminal once more, so that O_NONBLOCK is set for us alone: other processes share what the descriptor stands for. */
function openAnew(descriptor: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, fileFlags.O_WRONLY | fileFlags.O_NONBLOCK | fileFlags.O_NOCTTY)
  } catch {
    return undefined // It belongs to another user, nobody reads it any more, or /proc is not there.
  }
}

function statsOf(descriptor: number): Stats | undefined {
  try {
    return fstatSync(descriptor)
  } catch {
    return undefined // EBADF, which the first write says too.
  }
}

function writeSimply(descriptor: number, bytes: Uint8Array, start: number, end: number): number {
  try {
    return writeSync(descriptor, bytes, start, end - start, null)
  } catch (error) {
    return errorNumber(error)
  }
}

function errorNumber(error: unknown): number {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? error.errno : -constants.errno.EIO
}
