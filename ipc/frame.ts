/** What a frame is. */
export const FrameKind = { Call: 1, Reply: 2, Failure: 3, PageCall: 4, PageReply: 5, Announcement: 6 } as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/** What the body of a frame is: nothing, which stands for undefined; MessagePack; or bytes as they were given, of either type. */
export const BodyForm = { None: 0, Packed: 1, Buffer: 2, Bytes: 3 } as const
export type BodyForm = (typeof BodyForm)[keyof typeof BodyForm]

/*
 * A message between processes is a batch: a header and one frame or more, one behind the other, to the last byte. Little-endian:
 *
 *     0  u32 magic 'NPPf'      4  u8 version   5  u8 zero   6  u16 engine
 *     8  u32 epoch            12  u32 sender
 *    16  u16 frames           18  u16 zero
 *
 * A frame, from its own beginning:
 *
 *     0  u8 kind   1  u8 flags   2  u8 priority   3  u8 returns
 *     4  u32 call              8  u32 generation
 *    12  u32 body length
 *    16  calls:    u16 name length, u16 zero, f64 deadline, f64 called at; name (UTF-8); body
 *        others:   u32 run time; body
 *
 * engine      which engine process of the instance called, from 0
 * epoch       drawn by that engine when it starts: a reply to an engine that is gone carries another one
 * sender      process that made the message
 * flags       bits 0 and 1 the form of the body, bit 2 that nobody waits for a reply, bits 3 and 4 that the payload is not the body (below)
 * returns     how often a service has given the call back
 * call        slot of the call in the engine's pending table
 * generation  of that slot: a reply with another one is too late
 * deadline    when the call is given up, and called at when it was made: milliseconds on CLOCK_MONOTONIC
 * run time    of the service, in microseconds
 *
 * An announcement is what a service process says of its services before it takes calls; it is for any engine, so its epoch does not count.
 *
 * A payload that does not fit into a message is spilled into a file, of a call or a reply (flag SPILLED), or comes in parts, of a reply alone
 * (flag PART). The parts come from one process, in their order, in messages that others may share. The body then is
 *
 *     0  u32 bytes of the payload
 *     4  spilled:  16 bytes, the key of its file
 *        a part:   u32 where in the payload it begins; its bytes
 */
export const MAGIC = 0x66_50_50_4e
export const VERSION = 3
export const BATCH_HEADER_BYTES = 20
const CALL_HEADER_BYTES = 36
const REPLY_HEADER_BYTES = 20
export const MOST_FRAMES = 0xffff
const MOST_PRIORITY = 31
export const FORM_MASK = 0b00011
export const NO_REPLY = 0b00100
export const SPILLED = 0b01000
export const PART = 0b10000
export const LARGE_MASK = 0b11000
export const FLAG_MASK = 0b11111
/** Bytes of the body that says where a payload is spilled. */
export const REFERENCE_BYTES = 20
/** Bytes of the body of a part before its own. */
export const PART_HEADER_BYTES = 8

/** Bytes of a frame before its name, or its body where it has no name. */
export function headerBytesOf(kind: FrameKind): number {
  return kind === FrameKind.Call || kind === FrameKind.PageCall ? CALL_HEADER_BYTES : REPLY_HEADER_BYTES
}

/** Bytes of a message that holds this call alone. */
export function callBytes(nameBytes: number, bodyBytes: number): number {
  return BATCH_HEADER_BYTES + CALL_HEADER_BYTES + nameBytes + bodyBytes
}

/** Bytes of a message that holds a reply with such a body alone. */
export function replyBytes(bodyBytes: number): number {
  return BATCH_HEADER_BYTES + REPLY_HEADER_BYTES + bodyBytes
}

/** Where a frame has its priority. */
const PRIORITY_AT = 2

/** The priority with which a message of calls was sent, that of its first; 0 for what is none. */
export function priorityOf(message: Uint8Array): number {
  const priority = message[BATCH_HEADER_BYTES + PRIORITY_AT] ?? 0
  return priority <= MOST_PRIORITY ? priority : 0
}

/** Where a frame has its generation. */
const GENERATION_AT = 8
/** The generation of no call: of a frame that does not count any more. */
export const NO_GENERATION = 0

/** The frame that begins at `frameStart` is nobody's: the call was handed on, and whoever looks at the message later does not find it. */
export function disownFrame(bytes: Buffer, frameStart: number): void {
  bytes.writeUInt32LE(NO_GENERATION, frameStart + GENERATION_AT)
}

/** Where a frame says how often it was given back, and the value there of one that a service has begun to run. */
const RETURNS_AT = 3
export const BEGUN = 0xff

/**
 * The frame that begins at `frameStart` is run from now on: who looks at the message when its service was killed knows that the call was perhaps
 * run, in whole or in part. Of one that is not marked he knows that it was not. With `returns` it is not run after all.
 */
export function markFrame(bytes: Uint8Array, frameStart: number, returns: number = BEGUN): void {
  bytes[frameStart + RETURNS_AT] = returns
}

/** Where the message ends that stands at the beginning of `bytes`, by what its frames say; 0 where they say something that cannot be. */
export function messageLengthOf(bytes: Buffer): number {
  if (bytes.byteLength < BATCH_HEADER_BYTES) return 0
  let at = BATCH_HEADER_BYTES
  for (let left = bytes.readUInt16LE(16); left > 0; left--) {
    const isCall = bytes[at] === FrameKind.Call || bytes[at] === FrameKind.PageCall
    const header = isCall ? CALL_HEADER_BYTES : REPLY_HEADER_BYTES
    if (at + header > bytes.byteLength) return 0
    at += header + bytes.readUInt32LE(at + 12) + (isCall ? bytes.readUInt16LE(at + 16) : 0)
  }
  return at > bytes.byteLength ? 0 : at
}

/** Why bytes are not a message or a body. A value, not an exception: hostile bytes are an expected input. */
export class DecodeError {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** Why a value cannot be put into bytes. */
export class EncodeError {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}
