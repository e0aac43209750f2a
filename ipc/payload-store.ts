import { NppError, messageOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { BatchReader } from './batch-reader.ts'
import { ownBody, type Decoded } from './body.ts'
import { BodyForm, DecodeError, REFERENCE_BYTES, SPILLED } from './frame.ts'
import { discardSpill, readSpill, sweepSpillsOf, writeSpill } from './spill.ts'

/** Where payloads lie that do not fit into a message, from when they are put there to when they are taken, once. */
export interface PayloadStore {
  /** Bytes that a payload may have, of a call or of a reply, however it travels. */
  readonly mostBytes: number

  /**
   * Puts a payload there and returns the reference to it, which is the body of its frame. `waitMs` is how long it may take until somebody takes
   * it. Throws NppError NPP_SHM_FULL where there is no room, NPP_SHM_PERMISSION, NPP_SHM_MISSING or NPP_SHM_FAILED.
   */
  put(payload: Uint8Array, waitMs?: number): Uint8Array

  /** Takes what the reference at `at` leads to; undefined where nothing is there any more. Total: a reference may be forged. */
  take(form: BodyForm, bytes: Buffer, at: number): Decoded | DecodeError | undefined

  /** Removes what the reference at `at` leads to, where it is still there. */
  discard(bytes: Uint8Array, at: number): void

  /** Removes what the process has put there and nobody has taken. */
  discardAllOf(pid: number): void
}

/** Removes the payload of the frame that the reader has come to, where it is spilled: nobody takes it. */
export function discardPayload(reader: BatchReader, store: PayloadStore | undefined): void {
  if (reader.large === SPILLED) store?.discard(reader.bytes, reader.bodyStart)
}

/** As discardPayload, of all frames that the reader has not come to. */
export function discardPayloads(reader: BatchReader, store: PayloadStore | undefined): void {
  while (reader.next()) discardPayload(reader, store)
}

const KEY_START = 4
const KEY_BYTES = REFERENCE_BYTES - KEY_START
/** A hundred years: what a deadline beyond says is no date. */
const LONGEST_WAIT_MS = 3.2e12

/** The payloads of an instance, as files in /dev/shm. */
export class PayloadFiles implements PayloadStore {
  readonly mostBytes: number
  readonly #id: string
  /** Where payloads are read that are decoded: nothing of them is left then. */
  #memory = Buffer.alloc(0)

  constructor(id: string, mostBytes: number) {
    this.#id = id
    this.mostBytes = mostBytes
  }

  put(payload: Uint8Array, waitMs = 0): Uint8Array {
    const freshUntil = waitMs > Limits.spillOrphanMs ? Date.now() + Math.min(waitMs, LONGEST_WAIT_MS) : 0
    const key = writeSpill(this.#id, [payload], freshUntil)
    const reference = Buffer.allocUnsafe(REFERENCE_BYTES)
    reference.writeUInt32LE(payload.byteLength)
    reference.write(key, KEY_START, 'hex')
    return reference
  }

  take(form: BodyForm, bytes: Buffer, at: number): Decoded | DecodeError | undefined {
    const length = bytes.readUInt32LE(at)
    if (length > this.mostBytes) return new DecodeError(`it has ${length} bytes; maxCallBytes allows ${this.mostBytes}`)
    try {
      return ownBody(form, readSpill(this.#id, keyAt(bytes, at), length, form === BodyForm.Packed ? this.#memoryOf(length) : undefined))
    } catch (error) {
      return error instanceof NppError && error.code === 'NPP_SHM_MISSING' ? undefined : new DecodeError(messageOf(error))
    }
  }

  discard(bytes: Uint8Array, at: number): void {
    try {
      discardSpill(this.#id, keyAt(bytes, at))
    } catch {
      // What cannot be removed is no payload of ours, or is swept.
    }
  }

  discardAllOf(pid: number): void {
    try {
      sweepSpillsOf(this.#id, pid)
    } catch {
      // As above.
    }
  }

  #memoryOf(bytes: number): Buffer | undefined {
    if (bytes > Limits.payloadMemoryBytes) return undefined
    if (bytes > this.#memory.byteLength) this.#memory = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)))
    return this.#memory
  }
}

function keyAt(bytes: Uint8Array, at: number): string {
  const start = at + KEY_START
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, KEY_BYTES).toString('hex')
}
