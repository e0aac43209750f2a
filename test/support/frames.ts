import assert from 'node:assert/strict'
import { BatchReader } from '../../ipc/batch-reader.ts'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import { readBody } from '../../ipc/body.ts'
import { BodyForm, DecodeError, FrameKind } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'

/** A frame as an object, with what its message says of it. */
export interface Frame {
  readonly kind: FrameKind
  readonly engine: number
  readonly epoch: number
  readonly sender: number
  readonly call: number
  readonly generation: number
  readonly priority: number
  readonly returns: number
  readonly wantsReply: boolean
  readonly deadline: number
  readonly calledAt: number
  readonly runMicros: number
  readonly name: string
  readonly form: BodyForm
  /** 0, SPILLED or PART. */
  readonly large: number
  readonly body: Buffer
}

export const BASE: Frame = {
  kind: FrameKind.Call,
  engine: 1,
  epoch: 4,
  sender: 5,
  call: 2,
  generation: 3,
  priority: 6,
  returns: 0,
  wantsReply: true,
  deadline: 6.5,
  calledAt: 5.5,
  runMicros: 0,
  name: 'sum',
  form: BodyForm.Packed,
  large: 0,
  body: Buffer.from([7, 8]),
}

export function isCall(kind: FrameKind): boolean {
  return kind === FrameKind.Call || kind === FrameKind.PageCall
}

/** A message of these frames, which are of one engine; the room is `bytes`. */
export function messageOf(frames: readonly Frame[], bytes = 8192): Buffer {
  const [first = BASE] = frames
  const writer = new BatchWriter(bytes, first.sender)
  writer.begin(first.engine, first.epoch)
  for (const frame of frames) assert.ok(append(writer, frame), 'the message has no room for the frame')
  return Buffer.from(writer.bytes.subarray(0, writer.length))
}

export function append(writer: BatchWriter, frame: Frame): boolean {
  const { kind, call, generation, runMicros, body } = frame
  const form = frame.form | frame.large
  if (!isCall(kind)) return writer.reply(kind, call, generation, runMicros, form, body)
  if (frame.returns === 0) return writer.call({ ...frame, form }, Buffer.from(frame.name))
  const alone = messageOf([{ ...frame, returns: 0 }])
  return writer.returned(alone, 20, alone.byteLength, frame.returns)
}

/** What a reader makes of the message; the fields that a frame of its kind does not have are those of BASE. */
export function framesOf(bytes: Buffer, end: number = bytes.byteLength): Frame[] | DecodeError {
  const reader = new BatchReader(bytes, new NameCache())
  const fault = reader.read(end)
  if (fault !== undefined) {
    assert.equal(reader.left, 0)
    return fault
  }
  const frames: Frame[] = []
  for (let left = reader.left; reader.next(); left--) {
    assert.equal(reader.left, left - 1)
    const { kind, engine, epoch, sender, call, generation, priority, returns, wantsReply, form, large, bodyStart, bodyEnd } = reader
    const times = isCall(kind)
      ? { deadline: reader.deadline, calledAt: reader.calledAt, runMicros: 0, name: reader.name() }
      : { deadline: BASE.deadline, calledAt: BASE.calledAt, runMicros: reader.runMicros, name: '' }
    const body = Buffer.from(bytes.subarray(bodyStart, bodyEnd))
    frames.push({ kind, engine, epoch, sender, call, generation, priority, returns, wantsReply, form, large, body, ...times })
  }
  return frames
}

/** The frames of a message that has to be one. */
export function mustFrames(bytes: Buffer): Frame[] {
  const frames = framesOf(bytes)
  if (frames instanceof DecodeError) assert.fail(frames.reason)
  return frames
}

/** The value in the body of a frame. */
export function valueOf({ form, body }: Frame): unknown {
  const decoded = readBody(form, body, 0, body.byteLength)
  if (decoded instanceof DecodeError) assert.fail(decoded.reason)
  return decoded.value
}
