import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Packr } from 'msgpackr'
import { decodeBody, encodeBody } from '../../ipc/body.ts'
import { DecodeError, EncodeError } from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import { SeededRandom } from '../support/random-bytes.ts'

function encode(value: unknown): Buffer {
  const bytes = encodeBody(value)
  if (bytes instanceof EncodeError) assert.fail(bytes.reason)
  return bytes
}

function decode(bytes: Uint8Array): unknown {
  const decoded = decodeBody(bytes)
  if (decoded instanceof DecodeError) assert.fail(decoded.reason)
  return decoded.value
}

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value }
  return value
}

const VALUES: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['false', false],
  ...[
    0,
    1,
    -1,
    31,
    -32,
    -33,
    127,
    128,
    -128,
    -129,
    255,
    256,
    32_767,
    -32_768,
    65_535,
    65_536,
    2 ** 31,
    -(2 ** 31),
    2 ** 32 - 1,
    2 ** 32,
  ].map((number): [string, unknown] => [`the number ${number}`, number]),
  ...[Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, Number.MAX_VALUE, Number.MIN_VALUE, 0.1, Infinity, -Infinity, Number.NaN].map(
    (number): [string, unknown] => [`the number ${number}`, number],
  ),
  ...[0n, 5n, -5n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n].map((number): [string, unknown] => [`the bigint ${number}`, number]),
  ...['', 'a', 'ü€\u{1f600}', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(255), 'x'.repeat(256), 'é'.repeat(40_000), '\0\r\n'].map(
    (text): [string, unknown] => [`a text of ${text.length}`, text],
  ),
  ...[0, 1, 255, 256, 65_536].map((length): [string, unknown] => [`a Buffer of ${length}`, Buffer.alloc(length, 0xee)]),
  ['an empty array', []],
  ['an array', [1, 'a', null, undefined, [true]]],
  ['an array of 16', Array.from({ length: 16 }, (_, index) => index)],
  ['an array of 70,000', Array.from({ length: 70_000 }, (_, index) => index)],
  ['an empty object', {}],
  ['an object', { a: 1, b: { c: [{}] }, 'ü ': undefined }],
  ['an object of 16', Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, index]))],
  ['an object of 60,000', Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [`k${index}`, index]))],
  ['equal objects, which are no references', [{ a: 1 }, { a: 1 }, { a: 1 }]],
  ['a Date', new Date('2026-01-02T03:04:05.678Z')],
  ['a Date before 1970', new Date(-1)],
  ['a Date of whole seconds', new Date(1000)],
  ['a Date far away', new Date(8.64e15)],
  ['as deep as is allowed', nested(Limits.callDepth - 1)],
]

describe('a body brings over', () => {
  for (const [rule, value] of VALUES) it(rule, () => assert.deepEqual(decode(encode(value)), value))

  it('minus zero as zero, as JSON does', () => assert.equal(decode(encode(-0)), 0))

  it('a Uint8Array, as a Buffer of the same bytes', () => {
    const value = decode(encode(new Uint8Array([1, 2, 3]).subarray(1)))
    assert.ok(Buffer.isBuffer(value))
    assert.deepEqual([...value], [2, 3])
  })

  it('the own enumerable properties of an instance', () => {
    class Point {
      x = 1
      get y(): number {
        return 2
      }
    }
    assert.deepEqual(decode(encode(new Point())), { x: 1 })
  })

  it('every message on its own: none depends on one before it', () => {
    const first = encode({ a: 1, b: 2, c: 3 })
    const second = encode({ a: 4, b: 5, c: 6 })
    assert.deepEqual(decode(second), { a: 4, b: 5, c: 6 })
    assert.deepEqual(decode(first), { a: 1, b: 2, c: 3 })
    // Encoding goes on without touching what was given out.
    for (let round = 0; round < 10_000; round++) encode({ round, text: 'x'.repeat(100) })
    assert.deepEqual(decode(first), { a: 1, b: 2, c: 3 })
  })
})

const self: { self?: unknown } = {}
self.self = self
const UNSENDABLE: readonly (readonly [string, unknown, string])[] = [
  ['a function', () => 1, 'the value is a function'],
  ['a symbol', Symbol('s'), 'the value is a symbol'],
  ['a function within', { a: [0, { b: () => 1 }] }, 'a[1].b is a function'],
  ['a Map', { m: new Map([[1, 2]]) }, 'm is a Map'],
  ['a Set', new Set([1]), 'the value is a Set'],
  ['a Promise', Promise.resolve(1), 'the value is a Promise'],
  ['an Error', new TypeError('x'), 'the value is a TypeError'],
  ['a RegExp', /x/, 'the value is a RegExp'],
  ['an ArrayBuffer', new ArrayBuffer(1), 'the value is a ArrayBuffer'],
  ['a typed array of more than bytes', [new Float64Array(1)], '[0] is a Float64Array'],
  ['a DataView', new DataView(new ArrayBuffer(1)), 'the value is a DataView'],
  ['a bigint of 65 bits', 2n ** 64n, 'bigint of more than 64 bits'],
  ['a negative bigint of 65 bits', { n: -(2n ** 63n) - 1n }, 'n is a bigint of more than 64 bits'],
  ['an object of more than 65,535 keys', Object.fromEntries(Array.from({ length: 65_536 }, (_, index) => [index, 0])), 'too large'],
  ['what refers to itself', self, 'nested deeper'],
  ['what is nested too deep', nested(Limits.callDepth + 1), 'nested deeper'],
]

describe('a body refuses', () => {
  for (const [rule, value, reason] of UNSENDABLE)
    it(`${rule}, and names it`, () => {
      const error = encodeBody(value)
      if (!(error instanceof EncodeError)) assert.fail('it was encoded')
      assert.ok(error.reason.includes(reason), error.reason)
    })

  it('an object whose getter throws', () => {
    const error = encodeBody({
      get broken(): never {
        throw new Error('the getter fails')
      },
    })
    if (!(error instanceof EncodeError)) assert.fail('it was encoded')
    assert.equal(error.reason, 'the getter fails')
  })
})

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const HOSTILE: readonly (readonly [string, Buffer])[] = [
  ['no bytes', hex('')],
  ['two values', hex('01 02')],
  ['a byte that the format never uses', hex('c1')],
  ['an array longer than the body', hex('dd ffffffff')],
  ['a map longer than the body', hex('df ffffffff')],
  ['arrays within arrays, each longer than the rest', hex('dd 00ffffff dd 00ffffff')],
  ['a text longer than the body', hex('db ffffffff 61')],
  ['bytes longer than the body', hex('c6 ffffffff 61')],
  ['a number that is cut off', hex('cb 0000')],
  ['a map with a map as a key', hex('81 80 01')],
  ['a map with nil as a key', hex('81 c0 01')],
  ['a map with a float as a key', hex('81 cb 3ff0000000000000 01')],
  ['a map with bytes as a key', hex('81 c4 01 61 01')],
  ['a map with half a pair', hex('81 a1 61')],
  ['nesting without end', Buffer.alloc(100_000, 0x91)],
  ['an extension of msgpackr: a record definition', hex('d4 72 40 91 a1 61 01')],
  ['an extension of msgpackr: a reference', hex('d6 70 00000001')],
  ['an extension of msgpackr: an error', hex('d4 65 00')],
  ['an extension of msgpackr: a set', hex('d4 73 00 90')],
  ['an extension of msgpackr: a regular expression', hex('d4 78 00 92 a1 61 a1 67')],
  ['an extension of msgpackr: bundled strings', hex('d6 62 00000000')],
  ['an extension of 16 bytes', Buffer.concat([hex('d8 01'), Buffer.alloc(16)])],
  ['an extension of a length of 16 bits', hex('c8 0001 01 00')],
  ['an extension of a length of 32 bits', hex('c9 ffffffff 01')],
  ['a timestamp of a wrong length', hex('c7 0b ff 0000000000000000000000')],
]

/** A value or a DecodeError, and no prototype that is not plain. */
function assertTotal(bytes: Buffer): boolean {
  const decoded = decodeBody(bytes)
  if (decoded instanceof DecodeError) {
    assert.notEqual(decoded.reason, '')
    return false
  }
  assertPlain(decoded.value)
  return true
}

function assertPlain(value: unknown): void {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || value instanceof Date) return
  const prototype: unknown = Object.getPrototypeOf(value)
  assert.ok(prototype === Object.prototype || prototype === Array.prototype || prototype === null, 'a value came with a class of its own')
  for (const item of Object.values(value)) assertPlain(item)
}

describe('a hostile body', () => {
  for (const [rule, bytes] of HOSTILE) it(`is refused: ${rule}`, () => assert.ok(decodeBody(bytes) instanceof DecodeError))

  it('is refused at every truncation of a good one', () => {
    for (const [rule, value] of VALUES) {
      const bytes = encode(value)
      if (bytes.byteLength > 5000) continue
      for (let length = 0; length < bytes.byteLength; length++)
        assert.ok(decodeBody(bytes.subarray(0, length)) instanceof DecodeError, `${rule}, ${length} bytes`)
    }
  })

  it('gives a value or is refused at any change of a single byte of a good one', () => {
    for (const [, value] of VALUES) {
      const bytes = encode(value)
      if (bytes.byteLength > 300) continue
      for (let at = 0; at < bytes.byteLength; at++) {
        const original = bytes[at] ?? 0
        for (let change = 1; change < 256; change++) {
          bytes[at] = original ^ change
          assertTotal(bytes)
        }
        bytes[at] = original
      }
    }
  })

  it('gives a value or is refused, 100,000 times', () => {
    const random = new SeededRandom(0x6e7070)
    let values = 0
    for (let round = 0; round < 100_000; round++) if (assertTotal(random.bytes(1 + random.below(40)))) values++
    assert.ok(values > 1000, `${values} had a value`)
  })

  it('makes nobody allocate for what it only announces', () => {
    const before = process.memoryUsage()
    for (let round = 0; round < 1000; round++) for (const [, bytes] of HOSTILE) decodeBody(bytes)
    const after = process.memoryUsage()
    assert.ok(after.arrayBuffers - before.arrayBuffers < 50_000_000)
    assert.ok(after.rss - before.rss < 500_000_000)
  })

  it('pollutes no prototype', () => {
    for (const key of ['__proto__', 'constructor', 'prototype']) {
      const bytes = new Packr({ useRecords: false }).pack(JSON.parse(`{"${key}":{"polluted":1,"toString":2}}`))
      const value = decode(bytes)
      assert.equal(Reflect.get({}, 'polluted'), undefined)
      assert.equal(typeof Reflect.get({}, 'toString'), 'function')
      assert.equal(Object.getPrototypeOf(value), Object.prototype)
      if (key === '__proto__') assert.equal(Reflect.get(Object(value), 'polluted'), undefined)
    }
  })
})
