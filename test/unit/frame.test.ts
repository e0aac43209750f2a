import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  DecodeError,
  EncodeError,
  FRAME_HEADER_BYTES,
  FrameKind,
  decodeFrame,
  encodeFrame,
  frameBytes,
  type Frame,
} from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const U32 = 2 ** 32 - 1
const BASE: Frame = {
  kind: FrameKind.Call,
  engine: 1,
  call: 2,
  generation: 3,
  epoch: 4,
  sender: 5,
  deadline: 6.5,
  name: 'sum',
  body: Buffer.from([7, 8]),
}
const MOST: Frame = {
  kind: FrameKind.PageReply,
  engine: 0xffff,
  call: U32,
  generation: U32,
  epoch: U32,
  sender: U32,
  deadline: Number.MAX_VALUE,
  name: 'ü'.repeat(127),
  body: Buffer.alloc(1000, 0xff),
}
const LEAST: Frame = {
  kind: FrameKind.Call,
  engine: 0,
  call: 0,
  generation: 0,
  epoch: 0,
  sender: 0,
  deadline: 0,
  name: '',
  body: Buffer.alloc(0),
}

function encode(frame: Frame): Buffer {
  const bytes = Buffer.alloc(frameBytes(frame.name, frame.body))
  assert.equal(encodeFrame(bytes, frame), bytes.byteLength)
  return bytes
}

const VALID: readonly Frame[] = [BASE, MOST, LEAST, ...Object.values(FrameKind).map((kind): Frame => ({ ...BASE, kind }))]

/** A Frame or a DecodeError, and nothing of it outside the bytes. */
function assertTotal(bytes: Buffer): void {
  const frame = decodeFrame(bytes)
  if (frame instanceof DecodeError) assert.notEqual(frame.reason, '')
  else assert.equal(frame.body.buffer, bytes.buffer)
}

describe('a frame', () => {
  for (const [index, frame] of VALID.entries())
    it(`comes back as it went, ${index}`, () => assert.deepEqual(decodeFrame(encode(frame)), { ...frame, body: Buffer.from(frame.body) }))

  it('has the bytes that the table says', () => {
    assert.equal(
      encode(BASE).toString('hex'),
      [
        '4e505066', // magic
        '01', // version
        '01', // kind
        '0100', // engine
        '02000000', // call
        '03000000', // generation
        '04000000', // epoch
        '05000000', // sender
        '0000000000001a40', // deadline
        '0300', // name length
        '0000',
        '02000000', // body length
        '73756d', // name
        '0708', // body
      ].join(''),
    )
  })

  it('is read out of a larger buffer, up to the length given', () => {
    const bytes = Buffer.concat([encode(BASE), Buffer.alloc(50, 0xee)])
    assert.deepEqual(decodeFrame(bytes, bytes.byteLength - 50), { ...BASE, body: Buffer.from(BASE.body) })
    assert.ok(decodeFrame(bytes) instanceof DecodeError)
  })

  it('is written over what was in the buffer', () => {
    const bytes = Buffer.alloc(200, 0xee)
    const length = encodeFrame(bytes, BASE)
    if (length instanceof EncodeError) assert.fail(length.reason)
    assert.deepEqual(bytes.subarray(0, length), encode(BASE))
    assert.equal(bytes[length], 0xee)
  })
})

const UNENCODABLE: readonly (readonly [string, Partial<Frame>])[] = [
  ['a name over the limit', { name: 'n'.repeat(Limits.serviceNameBytes + 1) }],
  ['a name over the limit in UTF-8', { name: 'ü'.repeat(128) }],
  ['a negative call', { call: -1 }],
  ['a call over 32 bits', { call: 2 ** 32 }],
  ['a call with decimals', { call: 0.5 }],
  ['a generation over 32 bits', { generation: 2 ** 32 }],
  ['an epoch that is none', { epoch: Number.NaN }],
  ['a negative sender', { sender: -1 }],
  ['an engine over 16 bits', { engine: 0x10000 }],
  ['a negative engine', { engine: -1 }],
  ['an endless deadline', { deadline: Infinity }],
  ['a negative deadline', { deadline: -1 }],
  ['a deadline that is none', { deadline: Number.NaN }],
  ['a body that does not fit', { body: Buffer.alloc(200) }],
]

describe('encodeFrame refuses', () => {
  for (const [rule, part] of UNENCODABLE)
    it(rule, () => {
      const into = Buffer.alloc(200)
      assert.ok(encodeFrame(into, { ...BASE, ...part }) instanceof EncodeError)
      assert.deepEqual(into, Buffer.alloc(200), 'nothing is written')
    })

  it('a buffer that is one byte short', () => {
    const bytes = frameBytes(BASE.name, BASE.body)
    assert.ok(encodeFrame(Buffer.alloc(bytes - 1), BASE) instanceof EncodeError)
    assert.equal(encodeFrame(Buffer.alloc(bytes), BASE), bytes)
  })
})

/** [rule, offset, bytes that are put there]. */
const DAMAGED: readonly (readonly [string, number, readonly number[]])[] = [
  ['another magic', 0, [0]],
  ['another version', 4, [2]],
  ['kind 0', 5, [0]],
  ['an unknown kind', 5, [6]],
  ['a deadline that is no number', 24, [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]],
  ['an endless deadline', 24, [0, 0, 0, 0, 0, 0, 0xf0, 0x7f]],
  ['a negative deadline', 24, [0, 0, 0, 0, 0, 0, 0xf0, 0xbf]],
  ['a longer name', 32, [4]],
  ['a name over the limit', 32, [0, 1]],
  ['reserved bytes that are used', 34, [1]],
  ['a longer body', 36, [3]],
  ['a shorter body', 36, [1]],
  ['a body as long as can be said', 36, [0xff, 0xff, 0xff, 0xff]],
]

describe('decodeFrame refuses', () => {
  for (const [rule, offset, bytes] of DAMAGED)
    it(rule, () => {
      const damaged = encode(BASE)
      damaged.set(bytes, offset)
      assert.ok(decodeFrame(damaged) instanceof DecodeError)
    })

  it('every truncation of a frame, and every addition', () => {
    for (const frame of VALID) {
      const bytes = encode(frame)
      for (let length = 0; length < bytes.byteLength; length++) {
        assert.ok(decodeFrame(bytes.subarray(0, length)) instanceof DecodeError)
        assert.ok(decodeFrame(bytes, length) instanceof DecodeError)
      }
      assert.ok(decodeFrame(Buffer.concat([bytes, Buffer.from([0])])) instanceof DecodeError)
    }
  })

  it('a length outside the buffer', () => {
    const bytes = encode(BASE)
    for (const end of [-1, bytes.byteLength + 1, 0.5, Number.NaN, Infinity]) assert.ok(decodeFrame(bytes, end) instanceof DecodeError)
  })
})

describe('decodeFrame never throws', () => {
  it('at any change of a single byte', () => {
    for (const frame of [BASE, LEAST]) {
      const bytes = encode(frame)
      for (let at = 0; at < bytes.byteLength; at++) {
        const original = bytes[at] ?? 0
        for (let value = 0; value < 256; value++) {
          bytes[at] = value
          assertTotal(bytes)
        }
        bytes[at] = original
      }
    }
  })

  it('at 100,000 messages of random bytes, half of them with a good beginning', () => {
    const random = new SeededRandom(0x6e7070)
    const head = encode(BASE).subarray(0, 6)
    let frames = 0
    for (let round = 0; round < 100_000; round++) {
      const bytes = random.bytes(random.below(120))
      if (round % 2 === 0) bytes.set(head.subarray(0, bytes.byteLength))
      if (round % 4 === 0 && bytes.byteLength >= FRAME_HEADER_BYTES) {
        // With lengths that add up, so that the way behind the checks is walked too.
        bytes.writeDoubleLE(random.below(1e6), 24)
        const name = random.below(bytes.byteLength - FRAME_HEADER_BYTES + 1)
        bytes.writeUInt32LE(name, 32)
        bytes.writeUInt32LE(bytes.byteLength - FRAME_HEADER_BYTES - name, 36)
      }
      assertTotal(bytes)
      if (!(decodeFrame(bytes) instanceof DecodeError)) frames++
    }
    assert.ok(frames > 1000, `${frames} were frames`)
  })
})
