import { Limits } from '../shared/limits.ts'
import { readBody, type Decoded } from './body.ts'
import {
  BATCH_HEADER_BYTES,
  BodyForm,
  DecodeError,
  FLAG_MASK,
  FORM_MASK,
  FrameKind,
  LARGE_MASK,
  MAGIC,
  NO_REPLY,
  PART,
  PART_HEADER_BYTES,
  REFERENCE_BYTES,
  SPILLED,
  VERSION,
  headerBytesOf,
} from './frame.ts'
import type { NameCache } from './name-cache.ts'

const KINDS: readonly (FrameKind | undefined)[] = [
  undefined,
  FrameKind.Call,
  FrameKind.Reply,
  FrameKind.Failure,
  FrameKind.PageCall,
  FrameKind.PageReply,
  FrameKind.Announcement,
]
const FORMS: readonly BodyForm[] = [BodyForm.None, BodyForm.Packed, BodyForm.Buffer, BodyForm.Bytes]
const MOST_PRIORITY = 31

/**
 * Reads the frames of a message one after the other: its fields are those of the frame that `next` came to. All of a message is checked
 * before its first frame is told, so that a message counts as a whole or not at all.
 */
export class BatchReader {
  /** Where messages are to be put. */
  readonly bytes: Buffer
  engine = 0
  epoch = 0
  sender = 0
  /** Frames that `next` has not come to. */
  left = 0

  kind: FrameKind = FrameKind.Call
  form: BodyForm = BodyForm.None
  /** 0 where the body is the payload; SPILLED or PART. */
  large = 0
  wantsReply = true
  priority = 0
  returns = 0
  call = 0
  generation = 0
  runMicros = 0
  deadline = 0
  calledAt = 0
  /** The frame is bytes[frameStart, bodyEnd). */
  frameStart = 0
  bodyStart = 0
  bodyEnd = 0
  #nameStart = 0
  readonly #view: DataView
  readonly #names: NameCache

  constructor(bytes: Buffer, names: NameCache) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#names = names
  }

  /** Begins with the message in bytes[0, end). Total: whatever the bytes are, `left` is above 0 or a DecodeError comes back. */
  read(end: number): DecodeError | undefined {
    this.left = 0
    const fault = this.#check(end)
    if (fault !== '') return new DecodeError(fault)
    const view = this.#view
    this.engine = view.getUint16(6, true)
    this.epoch = view.getUint32(8, true)
    this.sender = view.getUint32(12, true)
    this.left = view.getUint16(16, true)
    this.bodyEnd = BATCH_HEADER_BYTES
    return undefined
  }

  /** Goes to the next frame; false when there is none. */
  next(): boolean {
    if (this.left === 0) return false
    this.left--
    const view = this.#view
    const at = this.bodyEnd
    const kind = KINDS[view.getUint8(at)] ?? FrameKind.Call
    const flags = view.getUint8(at + 1)
    this.frameStart = at
    this.kind = kind
    this.form = FORMS[flags & FORM_MASK] ?? BodyForm.None
    this.large = flags & LARGE_MASK
    this.wantsReply = (flags & NO_REPLY) === 0
    this.priority = view.getUint8(at + 2)
    this.returns = view.getUint8(at + 3)
    this.call = view.getUint32(at + 4, true)
    this.generation = view.getUint32(at + 8, true)
    this.#nameStart = at + headerBytesOf(kind)
    if (kind === FrameKind.Call || kind === FrameKind.PageCall) {
      this.deadline = view.getFloat64(at + 20, true)
      this.calledAt = view.getFloat64(at + 28, true)
      this.bodyStart = this.#nameStart + view.getUint16(at + 16, true)
    } else {
      this.runMicros = view.getUint32(at + 16, true)
      this.bodyStart = this.#nameStart
    }
    this.bodyEnd = this.bodyStart + view.getUint32(at + 12, true)
    return true
  }

  /** Service that is called. */
  name(): string {
    return this.#names.find(this.bytes, this.#nameStart, this.bodyStart)
  }

  /** Bytes of the payload that is spilled or comes in parts. */
  get payloadBytes(): number {
    return this.#view.getUint32(this.bodyStart, true)
  }

  /** Where in its payload a part begins. */
  get partStart(): number {
    return this.#view.getUint32(this.bodyStart + 4, true)
  }

  /** Where in its payload a part ends. */
  get partEnd(): number {
    return this.partStart + this.bodyEnd - this.bodyStart - PART_HEADER_BYTES
  }

  /** Copies the bytes of a part to where they belong in `payload`. */
  copyPart(payload: Buffer): void {
    this.bytes.copy(payload, this.partStart, this.bodyStart + PART_HEADER_BYTES, this.bodyEnd)
  }

  /** What the body says that is the payload; nothing of it is a view of `bytes`. */
  body(): Decoded | DecodeError {
    return readBody(this.form, this.bytes, this.bodyStart, this.bodyEnd)
  }

  /** '' or what is wrong with bytes[0, end). */
  #check(end: number): string {
    const view = this.#view
    if (!Number.isInteger(end) || end < 0 || end > this.bytes.byteLength) return 'the length lies outside the buffer'
    if (end < BATCH_HEADER_BYTES) return `${end} bytes are less than a header`
    if (view.getUint32(0, true) !== MAGIC) return 'the magic number is missing'
    const version = view.getUint8(4)
    if (version !== VERSION) return `version ${version} is not ${VERSION}: engine and service are of different releases of npp`
    if (view.getUint8(5) !== 0 || view.getUint16(18, true) !== 0) return 'reserved bytes are not zero'
    const frames = view.getUint16(16, true)
    if (frames === 0) return 'it has no frame'
    let at = BATCH_HEADER_BYTES
    for (let frame = 0; frame < frames; frame++) {
      const next = this.#checkFrame(at, end)
      if (typeof next === 'string') return next
      at = next
    }
    return at === end ? '' : 'bytes follow the last frame'
  }

  /** Where the frame at `at` ends, or what is wrong with it. */
  #checkFrame(at: number, end: number): number | string {
    const view = this.#view
    if (at >= end) return 'a frame is missing'
    const kind = KINDS[view.getUint8(at)]
    if (kind === undefined) return 'the kind of a frame is unknown'
    const header = headerBytesOf(kind)
    if (end - at < header) return 'a frame ends within its header'
    const flags = view.getUint8(at + 1)
    if ((flags & FLAG_MASK) !== flags) return 'a flag is unknown'
    if (view.getUint8(at + 2) > MOST_PRIORITY) return 'the priority of a frame is over 31'
    const bodyBytes = view.getUint32(at + 12, true)
    if ((flags & FORM_MASK) === BodyForm.None && bodyBytes !== 0) return 'a body is said to be none'
    let next = at + header + bodyBytes
    if (kind === FrameKind.Call || kind === FrameKind.PageCall) {
      const nameBytes = view.getUint16(at + 16, true)
      if (nameBytes > Limits.serviceNameBytes) return 'the service name is too long'
      if (view.getUint16(at + 18, true) !== 0) return 'reserved bytes are not zero'
      if (!isTime(view.getFloat64(at + 20, true)) || !isTime(view.getFloat64(at + 28, true))) return 'a time is none'
      next += nameBytes
    }
    if (next > end) return 'a frame is longer than its message'
    const large = flags & LARGE_MASK
    return large === 0 ? next : (this.#faultOfLarge(kind, large, next - bodyBytes, bodyBytes) ?? next)
  }

  /** What is wrong with a body that is not the payload. That it has a form is known: else it were empty. */
  #faultOfLarge(kind: FrameKind, large: number, bodyStart: number, bodyBytes: number): string | undefined {
    const isReply = kind === FrameKind.Reply || kind === FrameKind.PageReply
    if (large === SPILLED) {
      if (!isReply && kind !== FrameKind.Call && kind !== FrameKind.PageCall) return 'a frame of its kind is not spilled'
      return bodyBytes === REFERENCE_BYTES ? undefined : 'a reference to a payload has another length'
    }
    if (large !== PART) return 'a payload is both spilled and in parts'
    if (!isReply) return 'a frame of its kind does not come in parts'
    if (bodyBytes <= PART_HEADER_BYTES) return 'a part is empty'
    const view = this.#view
    const partEnd = view.getUint32(bodyStart + 4, true) + bodyBytes - PART_HEADER_BYTES
    return partEnd > view.getUint32(bodyStart, true) ? 'a part ends behind its payload' : undefined
  }
}

function isTime(value: number): boolean {
  return value >= 0 && value < Infinity
}
