import { close, constants, fstat, open, read } from 'node:fs'
import { isAbsolute } from 'node:path'
import { NppError, errnoOf, messageOf } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'

/** A file that is open, to be sent whole: its descriptor is the receiver's to close. */
export interface OpenFile {
  readonly descriptor: number
  readonly bytes: number
}

/** Told once: what was found, its bytes where they are few, or why it cannot be sent. */
export type FileListener = (error: NppError | undefined, file: OpenFile | Buffer | undefined) => void

/** Opens the file at `path`; one of up to fileReadBytes is read instead, and closed. Nothing here holds the process up. */
export function openFileBody(path: string, told: FileListener): void {
  if (!isAbsolute(path) || path.includes('\0')) {
    told(
      new NppError('NPP_HANDLER_FAILED', `sendFile: ${JSON.stringify(path)} is not an absolute path, and npp may run in any folder`),
      undefined,
    )
    return
  }
  // O_NONBLOCK: opening a FIFO would otherwise wait for its writer, in a thread that others need.
  open(path, constants.O_RDONLY | constants.O_NONBLOCK, (error, descriptor) => {
    if (error !== null) told(unavailable(path, error), undefined)
    else lookAt(path, descriptor, told)
  })
}

/** Gives a descriptor back. An error of close(2) on a file that was only read says nothing that anybody could act on. */
export function closeFile(descriptor: number): void {
  close(descriptor, () => undefined)
}

function lookAt(path: string, descriptor: number, told: FileListener): void {
  fstat(descriptor, (error, status) => {
    if (error !== null || !status.isFile()) {
      closeFile(descriptor)
      told(error === null ? new NppError('NPP_NOT_FOUND', `sendFile: ${path} is no file`) : unavailable(path, error), undefined)
    } else if (status.size > Limits.fileReadBytes) told(undefined, { descriptor, bytes: status.size })
    else readAll(path, descriptor, status.size, told)
  })
}

function readAll(path: string, descriptor: number, size: number, told: FileListener): void {
  const bytes = Buffer.allocUnsafe(size)
  read(descriptor, bytes, 0, size, 0, (error, count) => {
    closeFile(descriptor)
    if (error !== null) told(unavailable(path, error), undefined)
    // It has become shorter since it was looked at: what there is, is what it is.
    else told(undefined, bytes.subarray(0, count))
  })
}

function unavailable(path: string, cause: unknown): NppError {
  const code = errnoOf(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG')
    return new NppError('NPP_NOT_FOUND', `sendFile: there is no ${path}`, { cause })
  return new NppError('NPP_HANDLER_FAILED', `sendFile: ${path}: ${messageOf(cause)}`, { cause })
}
