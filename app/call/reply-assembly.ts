import type { BatchReader } from '../../ipc/batch-reader.ts'
import { ownBody, type Decoded } from '../../ipc/body.ts'
import { DecodeError, SPILLED, type BodyForm } from '../../ipc/frame.ts'
import type { PayloadStore } from '../../ipc/payload-store.ts'
import { NppError } from '../../shared/errors.ts'
import type { OutgoingCall } from './outgoing-call.ts'

/** A reply that comes in parts: all are from one process, in their order. */
export class ReplyAssembly {
  readonly #sender: number
  readonly #form: BodyForm
  readonly #payload: Buffer
  /** Bytes that are there. */
  #length = 0

  /** Of the part that the reader has come to, the first of a reply, which `add` is given next. */
  constructor(reader: BatchReader) {
    this.#sender = reader.sender
    this.#form = reader.form
    this.#payload = Buffer.allocUnsafeSlow(reader.payloadBytes)
  }

  get isComplete(): boolean {
    return this.#length === this.#payload.byteLength
  }

  /** What the payload says; only once it is complete. */
  get value(): Decoded | DecodeError {
    return ownBody(this.#form, this.#payload)
  }

  /** Whether the part that the reader has come to is from the process that the others are from. */
  isFrom(reader: BatchReader): boolean {
    return reader.sender === this.#sender
  }

  /** Adds the part that the reader has come to; '', or why it is none of this reply, and then nothing is changed. */
  add(reader: BatchReader): string {
    if (!this.isFrom(reader)) return 'it is from another process than the parts before it'
    if (reader.form !== this.#form || reader.payloadBytes !== this.#payload.byteLength)
      return 'it is of another payload than the parts before it'
    if (reader.partStart !== this.#length) return `it begins at byte ${reader.partStart}; ${this.#length} are there`
    reader.copyPart(this.#payload)
    this.#length = reader.partEnd
    return ''
  }
}

/**
 * What the frame that the reader has come to, whose payload no message holds, means for its call: the reply, or why it is malformed; an error, with
 * which the call fails; undefined while further parts are to come; or a text, why it is no part of its reply, and then the call goes on.
 */
export function receiveLarge(
  call: OutgoingCall,
  reader: BatchReader,
  store: PayloadStore | undefined,
): Decoded | DecodeError | NppError | string | undefined {
  const { payloadBytes } = reader
  const mostBytes = store?.mostBytes ?? Infinity
  if (payloadBytes > mostBytes)
    return new NppError(
      'NPP_REPLY_TOO_LARGE',
      `the result of ${call.service.name} has ${payloadBytes} bytes; maxCallBytes allows ${mostBytes}`,
    )
  if (reader.large === SPILLED)
    return store?.take(reader.form, reader.bytes, reader.bodyStart) ?? new DecodeError('its payload is not there')
  // Who begins anew is believed, unless it is the process whose parts are coming: then this is one of them again.
  if (reader.partStart === 0 && call.parts?.isFrom(reader) !== true) call.parts = new ReplyAssembly(reader)
  const { parts } = call
  if (parts === undefined) return 'those before it did not come'
  const fault = parts.add(reader)
  if (fault !== '') return fault
  return parts.isComplete ? parts.value : undefined
}
