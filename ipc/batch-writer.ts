import {
  BATCH_HEADER_BYTES,
  MAGIC,
  MOST_FRAMES,
  NO_REPLY,
  PART,
  PART_HEADER_BYTES,
  VERSION,
  headerBytesOf,
  type BodyForm,
  type FrameKind,
} from './frame.ts'

/** Bytes up to which a loop copies faster than a call out of JavaScript does. */
const COPIED_BY_HAND = 32
/** Bytes of a payload for which no part is begun in a message that has others: its header would be half of it. */
const LEAST_PART = 64

/** A call as it is written. */
export interface CallFrame {
  readonly kind: FrameKind
  readonly call: number
  readonly generation: number
  /** 0 to 31. */
  readonly priority: number
  /** Milliseconds on CLOCK_MONOTONIC. */
  readonly deadline: number
  readonly calledAt: number
  readonly wantsReply: boolean
  /** A BodyForm, and SPILLED where the body says where the payload is. */
  readonly form: number
  readonly body: Uint8Array
}

/**
 * Puts frames together into one message, in a buffer that it uses again and again. What is given to it is written as it is, modulo the width
 * of its field: that names, numbers and times are good has been seen to where they came in.
 */
export class BatchWriter {
  readonly bytes: Buffer
  /** Bytes of the message so far. */
  length = BATCH_HEADER_BYTES
  /** Frames in it so far. */
  frames = 0
  engine = 0
  epoch = 0
  readonly #view: DataView

  /** `messageSize` in bytes; `sender` is this process. */
  constructor(messageSize: number, sender: number) {
    this.bytes = Buffer.alloc(Math.max(messageSize, BATCH_HEADER_BYTES))
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    this.#view.setUint32(0, MAGIC, true)
    this.#view.setUint8(4, VERSION)
    this.#view.setUint32(12, sender, true)
  }

  /** Begins a message of, or to, this engine. */
  begin(engine: number, epoch: number): void {
    this.engine = engine
    this.epoch = epoch
    this.#view.setUint16(6, engine, true)
    this.#view.setUint32(8, epoch, true)
    this.length = BATCH_HEADER_BYTES
    this.frames = 0
  }

  /** Appends a call; false, and nothing is changed, when there is no room. */
  call(call: CallFrame, name: Uint8Array): boolean {
    const { body } = call
    const at = this.#room(headerBytesOf(call.kind) + name.byteLength + body.byteLength)
    if (at === 0) return false
    const view = this.#view
    view.setUint8(at, call.kind)
    view.setUint8(at + 1, call.wantsReply ? call.form : call.form | NO_REPLY)
    view.setUint8(at + 2, call.priority)
    view.setUint8(at + 3, 0)
    view.setUint32(at + 4, call.call, true)
    view.setUint32(at + 8, call.generation, true)
    view.setUint32(at + 12, body.byteLength, true)
    view.setUint16(at + 16, name.byteLength, true)
    view.setUint16(at + 18, 0, true)
    view.setFloat64(at + 20, call.deadline, true)
    view.setFloat64(at + 28, call.calledAt, true)
    this.#put(body, this.#put(name, at + headerBytesOf(call.kind)))
    return true
  }

  /** Appends a frame of another kind, whose form is as in a call; false, and nothing is changed, when there is no room. */
  reply(kind: FrameKind, call: number, generation: number, runMicros: number, form: number, body: Uint8Array): boolean {
    const at = this.#room(headerBytesOf(kind) + body.byteLength)
    if (at === 0) return false
    const view = this.#view
    view.setUint32(at, kind | (form << 8), true)
    view.setUint32(at + 4, call, true)
    view.setUint32(at + 8, generation, true)
    view.setUint32(at + 12, body.byteLength, true)
    view.setUint32(at + 16, runMicros, true)
    this.#put(body, at + headerBytesOf(kind))
    return true
  }

  /** Appends as much of `payload` from `from` on as there is room for, as a part of a reply; returns how many bytes that are. */
  part(kind: FrameKind, call: number, generation: number, runMicros: number, form: BodyForm, payload: Uint8Array, from: number): number {
    const header = headerBytesOf(kind) + PART_HEADER_BYTES
    const rest = payload.byteLength - from
    const bytes = Math.min(this.bytes.byteLength - this.length - header, rest)
    const isWorthIt = bytes === rest || bytes >= LEAST_PART || this.frames === 0
    if (bytes <= 0 || !isWorthIt) return 0
    const at = this.#room(header + bytes)
    if (at === 0) return 0
    const view = this.#view
    const bodyAt = at + headerBytesOf(kind)
    view.setUint32(at, kind | ((form | PART) << 8), true)
    view.setUint32(at + 4, call, true)
    view.setUint32(at + 8, generation, true)
    view.setUint32(at + 12, PART_HEADER_BYTES + bytes, true)
    view.setUint32(at + 16, runMicros, true)
    view.setUint32(bodyAt, payload.byteLength, true)
    view.setUint32(bodyAt + 4, from, true)
    this.bytes.set(payload.subarray(from, from + bytes), bodyAt + PART_HEADER_BYTES)
    return bytes
  }

  /** Appends `bytes[start, end)`, a frame as another process has made it, which has been given back once more. */
  returned(bytes: Uint8Array, start: number, end: number, returns: number): boolean {
    const at = this.#room(end - start)
    if (at === 0) return false
    this.bytes.set(bytes.subarray(start, end), at)
    this.#view.setUint8(at + 3, returns)
    return true
  }

  /** Where a frame of so many bytes goes; 0 for nowhere. */
  #room(bytes: number): number {
    const at = this.length
    if (at + bytes > this.bytes.byteLength || this.frames === MOST_FRAMES) return 0
    this.length = at + bytes
    this.#view.setUint16(16, ++this.frames, true)
    return at
  }

  #put(from: Uint8Array, at: number): number {
    const length = from.byteLength
    const { bytes } = this
    if (length > COPIED_BY_HAND) bytes.set(from, at)
    else for (let index = 0; index < length; index++) bytes[at + index] = from[index]!
    return at + length
  }
}
