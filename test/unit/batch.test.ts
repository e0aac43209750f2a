import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BatchReader } from '../../ipc/batch-reader.ts'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import {
  BATCH_HEADER_BYTES,
  BodyForm,
  DecodeError,
  FrameKind,
  LARGE_MASK,
  PART,
  PART_HEADER_BYTES,
  REFERENCE_BYTES,
  SPILLED,
  callBytes,
  messageLengthOf,
  replyBytes,
} from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { Limits } from '../../shared/limits.ts'
import { BASE, append, framesOf, isCall, messageOf, mustFrames, valueOf, type Frame } from '../support/frames.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const U32 = 2 ** 32 - 1
const MOST: Frame = {
  kind: FrameKind.PageCall,
  engine: 0xffff,
  epoch: U32,
  sender: U32,
  call: U32,
  generation: U32,
  priority: 31,
  returns: 255,
  wantsReply: false,
  deadline: Number.MAX_VALUE,
  calledAt: Number.MAX_VALUE,
  runMicros: 0,
  name: 'ü'.repeat(127),
  form: BodyForm.Bytes,
  large: 0,
  body: Buffer.alloc(1000, 0xff),
}
const LEAST: Frame = {
  kind: FrameKind.Call,
  engine: 0,
  epoch: 0,
  sender: 0,
  call: 0,
  generation: 0,
  priority: 0,
  returns: 0,
  wantsReply: true,
  deadline: 0,
  calledAt: 0,
  runMicros: 0,
  name: '',
  form: BodyForm.None,
  large: 0,
  body: Buffer.alloc(0),
}
const REPLY: Frame = { ...BASE, kind: FrameKind.Reply, priority: 0, name: '', runMicros: 123_456 }

/** The body of a part that says of itself that it is bytes [start, start + length) of so many. */
function partBody(total: number, start: number, length: number): Buffer {
  const body = Buffer.alloc(PART_HEADER_BYTES + length, 0xaa)
  body.writeUInt32LE(total)
  body.writeUInt32LE(start, 4)
  return body
}
const SPILLED_CALL: Frame = { ...BASE, large: SPILLED, body: Buffer.alloc(REFERENCE_BYTES, 0xff) }
const SPILLED_REPLY: Frame = { ...REPLY, large: SPILLED, body: Buffer.alloc(REFERENCE_BYTES, 0xff), form: BodyForm.Buffer }
const PARTED: Frame = { ...REPLY, large: PART, body: partBody(10, 4, 6), form: BodyForm.Bytes }

const ofKind = (kind: FrameKind): Frame => (isCall(kind) ? { ...BASE, kind } : { ...REPLY, kind })
const VALID: readonly Frame[] = [
  BASE,
  MOST,
  LEAST,
  { ...REPLY, runMicros: U32 },
  ...Object.values(FrameKind).map(ofKind),
  SPILLED_CALL,
  SPILLED_REPLY,
  PARTED,
  { ...SPILLED_CALL, kind: FrameKind.PageCall, wantsReply: false, returns: 2 },
  { ...PARTED, kind: FrameKind.PageReply, body: partBody(U32, U32 - 1, 1) },
  ...Object.values(BodyForm).map((form) => ({ ...BASE, form, body: form === BodyForm.None ? Buffer.alloc(0) : BASE.body })),
]

/** Frames or a DecodeError, and nothing of them outside the bytes. */
function assertTotal(bytes: Buffer): boolean {
  const reader = new BatchReader(bytes, new NameCache())
  const fault = reader.read(bytes.byteLength)
  if (fault !== undefined) {
    assert.notEqual(fault.reason, '')
    assert.equal(reader.next(), false)
    return false
  }
  let end = BATCH_HEADER_BYTES
  while (reader.next()) {
    assert.ok(reader.frameStart === end && reader.bodyStart > end && reader.bodyEnd >= reader.bodyStart)
    reader.name()
    if (reader.large === 0) reader.body()
    else if (reader.large === PART) assert.ok(reader.partStart < reader.partEnd && reader.partEnd <= reader.payloadBytes)
    else assert.equal(reader.bodyEnd - reader.bodyStart, REFERENCE_BYTES)
    end = reader.bodyEnd
  }
  assert.equal(end, bytes.byteLength)
  return true
}

describe('a message', () => {
  for (const [index, frame] of VALID.entries())
    it(`brings a frame back as it went, ${index}`, () => assert.deepEqual(framesOf(messageOf([frame])), [frame]))

  it('brings many frames back in their order', () => {
    const calls = Array.from({ length: 100 }, (_, call) => ({ ...BASE, call, name: `service ${call % 7}`, body: Buffer.alloc(call, call) }))
    assert.deepEqual(framesOf(messageOf(calls, 65_536)), calls)
    const replies = Array.from({ length: 100 }, (_, call) => ({ ...REPLY, call, body: Buffer.alloc(call + 1, call) }))
    assert.deepEqual(framesOf(messageOf(replies, 65_536)), replies)
  })

  it('of a call has the bytes that the table says', () => {
    assert.equal(
      messageOf([{ ...BASE, returns: 9, wantsReply: false }]).toString('hex'),
      [
        '4e505066', // magic
        '03', // version
        '00',
        '0100', // engine
        '04000000', // epoch
        '05000000', // sender
        '0100', // frames
        '0000',
        '01', // kind
        '05', // flags: MessagePack, no reply
        '06', // priority
        '09', // returns
        '02000000', // call
        '03000000', // generation
        '02000000', // body length
        '0300', // name length
        '0000',
        '0000000000001a40', // deadline
        '0000000000001640', // called at
        '73756d', // name
        '0708', // body
      ].join(''),
    )
  })

  it('of a reply has the bytes that the table says', () => {
    assert.equal(
      messageOf([{ ...REPLY, runMicros: 1000 }]).toString('hex'),
      '4e505066' +
        '03' +
        '00' +
        '0100' +
        '04000000' +
        '05000000' +
        '0100' +
        '0000' +
        '02010000' +
        '02000000' +
        '03000000' +
        '02000000' +
        'e8030000' +
        '0708',
    )
  })

  it('of a part of a reply has the bytes that the table says', () => {
    const writer = new BatchWriter(200, BASE.sender)
    writer.begin(BASE.engine, BASE.epoch)
    assert.equal(writer.part(FrameKind.Reply, 2, 3, 1000, BodyForm.Buffer, Buffer.from([1, 2, 3, 4, 5]), 3), 2)
    assert.equal(
      writer.bytes.subarray(BATCH_HEADER_BYTES, writer.length).toString('hex'),
      ['02120000', '02000000', '03000000', '0a000000', 'e8030000', '05000000', '03000000', '0405'].join(''),
    )
  })

  it('takes the bytes that are foretold', () => {
    assert.equal(messageOf([BASE]).byteLength, callBytes(3, 2))
    assert.equal(messageOf([REPLY]).byteLength, replyBytes(2))
  })

  it('is read out of a larger buffer, up to the length given', () => {
    const bytes = Buffer.concat([messageOf([BASE, BASE]), Buffer.alloc(50, 0xee)])
    assert.deepEqual(framesOf(bytes, bytes.byteLength - 50), [BASE, BASE])
    assert.ok(framesOf(bytes) instanceof DecodeError)
  })
})

describe('the writer', () => {
  it('takes frames until one does not fit, and leaves the others as they are', () => {
    for (const frame of [BASE, REPLY, { ...BASE, returns: 1 }]) {
      const one = messageOf([frame]).byteLength - BATCH_HEADER_BYTES
      const writer = new BatchWriter(BATCH_HEADER_BYTES + one * 3 + one - 1, BASE.sender)
      writer.begin(BASE.engine, BASE.epoch)
      let count = 0
      while (append(writer, frame)) count++
      assert.deepEqual([count, writer.frames, writer.length], [3, 3, BATCH_HEADER_BYTES + one * 3])
      assert.deepEqual(framesOf(Buffer.from(writer.bytes.subarray(0, writer.length))), [frame, frame, frame])
    }
  })

  it('begins again with nothing of the message before', () => {
    const writer = new BatchWriter(200, BASE.sender)
    writer.begin(9, 9)
    assert.equal(append(writer, MOST), false)
    assert.ok(append(writer, { ...BASE, body: Buffer.alloc(100, 0xee) }))
    writer.begin(BASE.engine, BASE.epoch)
    assert.ok(append(writer, BASE))
    assert.deepEqual(mustFrames(Buffer.from(writer.bytes.subarray(0, writer.length))), [BASE])
  })

  it('counts no more frames than its header can say', () => {
    const writer = new BatchWriter(4_000_000, 1)
    writer.begin(1, 1)
    for (let frame = 0; frame < 65_535; frame++) assert.ok(append(writer, LEAST))
    assert.equal(append(writer, LEAST), false)
    assert.equal(mustFrames(Buffer.from(writer.bytes.subarray(0, writer.length))).length, 65_535)
  })
})

describe('a body', () => {
  it('of bytes is copied out of the message, as the type that it was', () => {
    for (const [form, type] of [
      [BodyForm.Buffer, Buffer],
      [BodyForm.Bytes, Uint8Array],
    ] as const) {
      const bytes = messageOf([{ ...BASE, form }])
      const reader = new BatchReader(bytes, new NameCache())
      assert.equal(reader.read(bytes.byteLength), undefined)
      reader.next()
      const decoded = reader.body()
      bytes.fill(0)
      assert.ok(!(decoded instanceof DecodeError) && decoded.value instanceof Uint8Array)
      assert.equal(Object.getPrototypeOf(decoded.value), type.prototype)
      assert.deepEqual([...decoded.value], [7, 8])
    }
  })

  it('of none is undefined', () => assert.equal(valueOf(LEAST), undefined))
})

const AT = BATCH_HEADER_BYTES
/** [rule, offset, bytes that are put there]. */
const DAMAGED: readonly (readonly [string, number, readonly number[]])[] = [
  ['another magic', 0, [0]],
  ['the version before', 4, [2]],
  ['reserved bytes of the header that are used', 5, [1]],
  ['no frame', 16, [0]],
  ['fewer frames than there are', 16, [1]],
  ['more frames than there are', 16, [3]],
  ['as many frames as can be said', 16, [0xff, 0xff]],
  ['other reserved bytes of the header that are used', 18, [1]],
  ['kind 0', AT, [0]],
  ['an unknown kind', AT, [7]],
  ['an unknown flag', AT + 1, [0x21]],
  ['a spilled body without the room of a reference', AT + 1, [SPILLED | 1]],
  ['a call that comes in parts', AT + 1, [PART | 1]],
  ['a body that is said to be none', AT + 1, [0]],
  ['a priority over 31', AT + 2, [32]],
  ['a longer body', AT + 12, [3]],
  ['a shorter body', AT + 12, [1]],
  ['a body as long as can be said', AT + 12, [0xff, 0xff, 0xff, 0xff]],
  ['a longer name', AT + 16, [4]],
  ['a name over the limit', AT + 16, [0, 1]],
  ['reserved bytes that are used', AT + 18, [1]],
  ['a deadline that is no number', AT + 20, [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]],
  ['an endless deadline', AT + 20, [0, 0, 0, 0, 0, 0, 0xf0, 0x7f]],
  ['a negative deadline', AT + 20, [0, 0, 0, 0, 0, 0, 0xf0, 0xbf]],
  ['a time of the call that is no number', AT + 28, [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]],
]

describe('the reader refuses', () => {
  for (const [rule, offset, bytes] of DAMAGED)
    it(rule, () => {
      const damaged = messageOf([BASE, BASE])
      damaged.set(bytes, offset)
      assert.ok(framesOf(damaged) instanceof DecodeError)
    })

  it('every truncation of a message, and every addition', () => {
    for (const frame of VALID) {
      const bytes = messageOf([frame, LEAST])
      for (let length = 0; length < bytes.byteLength; length++) {
        assert.ok(framesOf(bytes.subarray(0, length)) instanceof DecodeError)
        assert.ok(framesOf(bytes, length) instanceof DecodeError)
      }
      assert.ok(framesOf(Buffer.concat([bytes, Buffer.from([0])])) instanceof DecodeError)
    }
  })

  it('a length outside the buffer', () => {
    const bytes = messageOf([BASE])
    for (const end of [-1, bytes.byteLength + 1, 0.5, Number.NaN, Infinity]) assert.ok(framesOf(bytes, end) instanceof DecodeError)
  })

  it('a message as a whole, when only its last frame is wrong', () => {
    const bytes = messageOf([BASE, BASE, BASE])
    bytes[bytes.byteLength - 41] = 9
    assert.ok(framesOf(bytes) instanceof DecodeError)
  })
})

/** [rule, frame]. */
const IMPOSSIBLE: readonly (readonly [string, Frame])[] = [
  ['a spilled announcement', { ...SPILLED_REPLY, kind: FrameKind.Announcement }],
  ['a spilled failure', { ...SPILLED_REPLY, kind: FrameKind.Failure }],
  ['a reference that is short', { ...SPILLED_REPLY, body: Buffer.alloc(REFERENCE_BYTES - 1) }],
  ['a reference that is long', { ...SPILLED_CALL, body: Buffer.alloc(REFERENCE_BYTES + 1) }],
  ['a spilled payload without a form', { ...SPILLED_CALL, form: BodyForm.None, body: Buffer.alloc(0) }],
  ['a part without a form', { ...PARTED, form: BodyForm.None, body: Buffer.alloc(0) }],
  ['a payload that is both', { ...REPLY, large: LARGE_MASK, body: partBody(12, 0, 12) }],
  ['a failure in parts', { ...PARTED, kind: FrameKind.Failure }],
  ['an announcement in parts', { ...PARTED, kind: FrameKind.Announcement }],
  ['a call in parts', { ...PARTED, kind: FrameKind.Call }],
  ['a part that is empty', { ...PARTED, body: partBody(10, 10, 0) }],
  ['a part without its header', { ...PARTED, body: Buffer.alloc(PART_HEADER_BYTES - 1) }],
  ['a part that ends behind its payload', { ...PARTED, body: partBody(10, 4, 7) }],
  ['a part that begins behind its payload', { ...PARTED, body: partBody(10, U32, 1) }],
  ['a part of nothing', { ...PARTED, body: partBody(0, 0, 1) }],
]

describe('the reader refuses', () => {
  for (const [rule, frame] of IMPOSSIBLE)
    it(rule, () => {
      assert.ok(framesOf(messageOf([frame])) instanceof DecodeError)
      assert.ok(framesOf(messageOf([BASE, frame])) instanceof DecodeError)
    })
})

describe('a payload in parts', () => {
  it('fills messages that others share, and comes together again', () => {
    const payload = new SeededRandom(3).bytes(1000)
    const into = Buffer.alloc(payload.byteLength)
    const writer = new BatchWriter(300, 1)
    let sent = 0
    let messages = 0
    while (sent < payload.byteLength) {
      writer.begin(1, 1)
      if (messages++ === 1) assert.ok(append(writer, { ...REPLY, body: Buffer.alloc(100) }))
      sent += writer.part(FrameKind.Reply, 2, 3, 4, BodyForm.Bytes, payload, sent)
      const reader = new BatchReader(Buffer.from(writer.bytes), new NameCache())
      assert.equal(reader.read(writer.length), undefined)
      while (reader.next()) if (reader.large === PART) reader.copyPart(into)
      assert.equal(reader.partEnd, sent)
      assert.equal(reader.payloadBytes, payload.byteLength)
    }
    assert.deepEqual([into.equals(payload), messages], [true, 5])
  })

  it('is not begun where there is hardly room, unless it ends there or the message has nothing else', () => {
    const room = replyBytes(PART_HEADER_BYTES)
    const small = replyBytes(0) - BATCH_HEADER_BYTES
    const put = (left: number, others: boolean, bytes: number): number => {
      const writer = new BatchWriter(room + (others ? small : 0) + left, 1)
      writer.begin(1, 1)
      if (others) assert.ok(append(writer, { ...REPLY, form: BodyForm.None, body: Buffer.alloc(0) }))
      const before = [writer.length, writer.frames]
      const sent = writer.part(FrameKind.Reply, 1, 1, 1, BodyForm.Bytes, Buffer.alloc(bytes), 0)
      if (sent === 0) assert.deepEqual([writer.length, writer.frames], before)
      return sent
    }
    assert.deepEqual([put(63, true, 1000), put(64, true, 1000), put(63, true, 63), put(1, true, 1)], [0, 64, 63, 1])
    assert.deepEqual([put(1, false, 1000), put(0, false, 1000)], [1, 0])
  })
})

describe('the reader never throws', () => {
  it('at any change of a single byte', () => {
    for (const frames of [[BASE, REPLY], [LEAST], [SPILLED_CALL, SPILLED_REPLY, PARTED]]) {
      const bytes = messageOf(frames)
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
    const head = messageOf([BASE]).subarray(0, AT)
    let messages = 0
    for (let round = 0; round < 100_000; round++) {
      const bytes = random.bytes(random.below(150))
      if (round % 2 === 0) bytes.set(head.subarray(0, bytes.byteLength))
      if (round % 4 === 0 && bytes.byteLength >= callBytes(0, 0)) {
        // With lengths that add up, so that the way behind the checks is walked too.
        const rest = bytes.byteLength - callBytes(0, 0)
        const name = random.below(rest + 1)
        bytes.set([random.below(2) * 3 + 1, 1 + random.below(7), random.below(32)], AT)
        bytes.writeUInt32LE(rest - name, AT + 12)
        bytes.writeUInt32LE(name, AT + 16)
        bytes.writeDoubleLE(random.below(1e6), AT + 20)
        bytes.writeDoubleLE(random.below(1e6), AT + 28)
      }
      if (assertTotal(bytes)) messages++
    }
    assert.ok(messages > 1000, `${messages} were messages`)
  })

  it('at 100,000 good messages with a few bytes changed', () => {
    const random = new SeededRandom(7)
    const good = VALID.map((frame, index) => messageOf(index % 2 === 0 ? [frame, BASE, frame] : [frame]))
    for (let round = 0; round < 100_000; round++) {
      const bytes = Buffer.from(good[round % good.length] ?? [])
      // The head most of all: a change within a body is no news.
      for (let changes = random.below(4); changes >= 0; changes--) bytes[random.below(Math.min(bytes.byteLength, 140))] = random.below(256)
      assertTotal(bytes)
    }
  })
})

/** Where the frames of a good message begin, and where the last ends. */
function boundsOf(bytes: Buffer): number[] {
  const reader = new BatchReader(bytes, new NameCache())
  assert.equal(reader.read(bytes.byteLength), undefined)
  const bounds = [AT]
  while (reader.next()) bounds.push(reader.bodyEnd)
  return bounds
}

describe('a message whose parts are cut, doubled, exchanged and glued', () => {
  const random = new SeededRandom(0xfade)
  const good = VALID.map((frame, index) => messageOf([frame, ...VALID.slice(0, index % 4)]))
  const piece = (bytes: Buffer): Buffer => {
    const start = random.below(bytes.byteLength + 1)
    return bytes.subarray(start, start + random.below(bytes.byteLength - start + 1))
  }
  const any = (): Buffer => good[random.below(good.length)] ?? assert.fail()
  const wholeFrame = (): Buffer => {
    const bytes = any()
    const bounds = boundsOf(bytes)
    const index = random.below(bounds.length - 1)
    return bytes.subarray(bounds[index], bounds[index + 1])
  }

  it('is frames within it or a fault, and its length is within the buffer', () => {
    let messages = 0
    for (let round = 0; round < 50_000; round++) {
      const parts = [
        any().subarray(0, AT),
        ...Array.from({ length: random.below(5) }, () => (random.below(8) === 0 ? piece(any()) : wholeFrame())),
      ]
      const bytes = Buffer.concat(parts)
      // Half of them say how many parts there are, so that the way behind the checks is walked too.
      if (round % 2 === 0) bytes.writeUInt16LE(parts.length - 1, 16)
      if (random.below(4) === 0) bytes[random.below(bytes.byteLength)] = random.below(256)
      const isMessage = assertTotal(bytes)
      // What a service had taken is looked for in its inbox without a length: behind it lies what was there before.
      const inbox = Buffer.concat([bytes, piece(any())])
      const length = messageLengthOf(inbox)
      assert.ok(Number.isInteger(length) && length >= 0 && length <= inbox.byteLength)
      if (!isMessage) continue
      messages++
      assert.equal(length, bytes.byteLength)
    }
    assert.ok(messages > 5000, `${messages} were messages`)
  })

  it('keeps the frames that were glued as they were', () => {
    for (let round = 0; round < 2000; round++) {
      const frames = Array.from({ length: 1 + random.below(5) }, wholeFrame)
      const bytes = Buffer.concat([good[0]?.subarray(0, AT) ?? assert.fail(), ...frames])
      bytes.writeUInt16LE(frames.length, 16)
      const bounds = boundsOf(bytes)
      for (const [index, frame] of frames.entries()) assert.deepEqual(bytes.subarray(bounds[index], bounds[index + 1]), frame)
      assert.equal(bounds.length, frames.length + 1)
    }
  })
})

describe('the names of a reader', () => {
  it('are those of the bytes, however many there are and whatever they have in common', () => {
    const cache = new NameCache()
    const names = Array.from({ length: 5000 }, (_, index) => `name ${index % 2500}`)
    // 'Aa' and 'BB' have the same hash by 31.
    for (const name of ['Aa', 'BB', 'Aa', 'AaAa', 'BBBB', 'AaBB', '', 'ü', ...names, 'Aa']) {
      const bytes = Buffer.from(`<${name}>`)
      assert.equal(cache.find(bytes, 1, bytes.byteLength - 1), name)
    }
  })

  it('stay what they were when their bytes are written over', () => {
    const cache = new NameCache()
    const bytes = Buffer.from('sum')
    assert.equal(cache.find(bytes, 0, 3), 'sum')
    bytes.write('max')
    assert.equal(cache.find(bytes, 0, 3), 'max')
    assert.equal(cache.find(Buffer.from('sum'), 0, 3), 'sum')
  })

  it('are as long as they may be', () => assert.ok(Buffer.byteLength(MOST.name) <= Limits.serviceNameBytes))
})
