import { randomBytes } from 'node:crypto'
import { ownBody, type Decoded } from '../../ipc/body.ts'
import { DecodeError, REFERENCE_BYTES, type BodyForm } from '../../ipc/frame.ts'
import type { PayloadStore } from '../../ipc/payload-store.ts'
import { NppError } from '../../shared/errors.ts'

/** Payloads in this process, with what a test wants to know and to spoil of them. */
export class MemoryPayloads implements PayloadStore {
  readonly mostBytes: number
  /** Processes that were told of as gone. */
  readonly gone: number[] = []
  isFull = false
  /** How often something was put there. */
  puts = 0
  readonly #payloads = new Map<string, Buffer>()

  constructor(mostBytes = 1_000_000) {
    this.mostBytes = mostBytes
  }

  /** How many are there. */
  get count(): number {
    return this.#payloads.size
  }

  put(payload: Uint8Array): Uint8Array {
    if (this.isFull) throw new NppError('NPP_SHM_FULL', 'no room')
    this.puts++
    const reference = randomBytes(REFERENCE_BYTES)
    reference.writeUInt32LE(payload.byteLength)
    this.#payloads.set(reference.toString('hex', 4), Buffer.from(payload))
    return reference
  }

  take(form: BodyForm, bytes: Buffer, at: number): Decoded | DecodeError | undefined {
    const key = bytes.toString('hex', at + 4, at + REFERENCE_BYTES)
    const payload = this.#payloads.get(key)
    if (payload === undefined) return undefined
    if (payload.byteLength !== bytes.readUInt32LE(at)) return new DecodeError('another size')
    this.#payloads.delete(key)
    return ownBody(form, payload)
  }

  discard(bytes: Uint8Array, at: number): void {
    this.#payloads.delete(Buffer.from(bytes).toString('hex', at + 4, at + REFERENCE_BYTES))
  }

  discardAllOf(pid: number): void {
    this.gone.push(pid)
  }
}
