import '../shared/bytes.ts'
import { Limits } from '../shared/limits.ts'

/** What a frame is. */
export const FrameKind = { Call: 1, Reply: 2, Failure: 3, PageCall: 4, PageReply: 5 } as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/**
 * A message between processes. On the queue, little-endian:
 *
 *     0  u32 magic 'NPPf'      4  u8 version   5  u8 kind   6  u16 engine
 *     8  u32 call             12  u32 generation
 *    16  u32 epoch            20  u32 sender
 *    24  f64 deadline
 *    32  u16 name length      34  u16 zero
 *    36  u32 body length
 *    40  name (UTF-8), body (MessagePack)
 */
export interface Frame {
  readonly kind: FrameKind
  /** Which engine process of the instance called, from 0. */
  readonly engine: number
  /** Slot of the call in the engine's pending table. */
  readonly call: number
  /** Generation of that slot: a reply with another one is too late. */
  readonly generation: number
  /** Drawn by the engine when it starts: a reply to an engine that is gone carries another one. */
  readonly epoch: number
  /** Process that sent the frame. */
  readonly sender: number
  /** When the call is given up, in milliseconds on CLOCK_MONOTONIC. */
  readonly deadline: number
  /** Service that is called; empty in replies. */
  readonly name: string
  /** Encoded by ipc/body. A view of the decoded bytes: copy what must outlive the buffer. */
  readonly body: Uint8Array
}

/** Why bytes are not a frame or a body. A value, not an exception: hostile bytes are an expected input. */
export class DecodeError {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** Why a frame or a body cannot be put into bytes. */
export class EncodeError {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

const MAGIC = 0x66_50_50_4e
const VERSION = 1
/** Bytes of a frame before its name. */
export const FRAME_HEADER_BYTES = 40
const U32 = 2 ** 32

function isKind(value: number): value is FrameKind {
  return value >= FrameKind.Call && value <= FrameKind.PageReply
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < U32
}

/** Bytes the frame takes. */
export function frameBytes(name: string, body: Uint8Array): number {
  return FRAME_HEADER_BYTES + Buffer.byteLength(name) + body.byteLength
}

/** Writes the frame to the start of `into`. Returns its length in bytes, or why it cannot be written. */
export function encodeFrame(into: Buffer, frame: Frame): number | EncodeError {
  const nameBytes = Buffer.byteLength(frame.name)
  const length = FRAME_HEADER_BYTES + nameBytes + frame.body.byteLength
  if (nameBytes > Limits.serviceNameBytes)
    return new EncodeError(`the service name has ${nameBytes} bytes; ${Limits.serviceNameBytes} are allowed`)
  if (length > into.byteLength) return new EncodeError(`${length} bytes do not fit into a message of ${into.byteLength}`)
  if (!isU32(frame.call) || !isU32(frame.generation) || !isU32(frame.epoch) || !isU32(frame.sender))
    return new EncodeError('a number of the header is not an unsigned 32-bit integer')
  if (!Number.isInteger(frame.engine) || frame.engine < 0 || frame.engine > 0xffff)
    return new EncodeError('engine is not an unsigned 16-bit integer')
  if (!Number.isFinite(frame.deadline) || frame.deadline < 0) return new EncodeError('the deadline is not a time')
  into.writeUInt32LE(MAGIC, 0)
  into[4] = VERSION
  into[5] = frame.kind
  into.writeUInt16LE(frame.engine, 6)
  into.writeUInt32LE(frame.call, 8)
  into.writeUInt32LE(frame.generation, 12)
  into.writeUInt32LE(frame.epoch, 16)
  into.writeUInt32LE(frame.sender, 20)
  into.writeDoubleLE(frame.deadline, 24)
  into.writeUInt16LE(nameBytes, 32)
  into.writeUInt16LE(0, 34)
  into.writeUInt32LE(frame.body.byteLength, 36)
  into.utf8Write(frame.name, FRAME_HEADER_BYTES, nameBytes)
  into.set(frame.body, FRAME_HEADER_BYTES + nameBytes)
  return length
}

/** Reads a frame from `bytes[0, end)`. Total: whatever the bytes are, a Frame or a DecodeError comes back. */
export function decodeFrame(bytes: Buffer, end: number = bytes.byteLength): Frame | DecodeError {
  if (!Number.isInteger(end) || end < 0 || end > bytes.byteLength) return new DecodeError('the length lies outside the buffer')
  if (end < FRAME_HEADER_BYTES) return new DecodeError(`${end} bytes are less than a header`)
  if (bytes.readUInt32LE(0) !== MAGIC) return new DecodeError('the magic number is missing')
  if (bytes[4] !== VERSION)
    return new DecodeError(`version ${bytes[4] ?? 0} is not ${VERSION}: engine and service are of different releases of npp`)
  const kind = bytes[5] ?? 0
  if (!isKind(kind)) return new DecodeError(`kind ${kind} is unknown`)
  const deadline = bytes.readDoubleLE(24)
  if (!Number.isFinite(deadline) || deadline < 0) return new DecodeError('the deadline is not a time')
  const nameBytes = bytes.readUInt16LE(32)
  if (nameBytes > Limits.serviceNameBytes) return new DecodeError('the service name is too long')
  if (bytes.readUInt16LE(34) !== 0) return new DecodeError('reserved bytes are not zero')
  const bodyBytes = bytes.readUInt32LE(36)
  if (FRAME_HEADER_BYTES + nameBytes + bodyBytes !== end) return new DecodeError('the lengths of the header do not add up to the message')
  return {
    kind,
    engine: bytes.readUInt16LE(6),
    call: bytes.readUInt32LE(8),
    generation: bytes.readUInt32LE(12),
    epoch: bytes.readUInt32LE(16),
    sender: bytes.readUInt32LE(20),
    deadline,
    name: bytes.utf8Slice(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + nameBytes),
    body: bytes.subarray(FRAME_HEADER_BYTES + nameBytes, end),
  }
}
