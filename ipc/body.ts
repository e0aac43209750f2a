import { Packr } from 'msgpackr'
import { messageOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { BodyForm, DecodeError, EncodeError } from './frame.ts'

// Records off: with them a message could define structures for later ones, and a body must be readable on its own. Buffers inside are copied,
// as the bytes they came in are those of the next message soon.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  largeBigIntToString: false,
  moreTypes: false,
  structuredClone: false,
  copyBuffers: true,
})

const NO_BODY = new Uint8Array(0)

/** What came out of a body. */
export interface Decoded {
  readonly value: unknown
}

/** Puts a value into MessagePack: what JSON can say, and Date, bigint (64 bits), undefined, Buffer and Uint8Array. */
export function encodeBody(value: unknown): Buffer | EncodeError {
  try {
    // Inside, as a getter of the site's may throw.
    const fault = isSendable(value, 0) ? undefined : findUnsendable(value, '', 0)
    return fault === undefined ? pack(value) : new EncodeError(fault)
  } catch (error) {
    return new EncodeError(messageOf(error))
  }
}

/** msgpackr keeps the memory of the largest value for those that come; that of a large one is not to stay for as long as the process runs. */
function pack(value: unknown): Buffer {
  const bytes = packr.pack(value)
  if (bytes.byteLength > Limits.spillBytes) packr.useBuffer(Buffer.allocUnsafeSlow(PACK_BYTES))
  return bytes
}

/** What msgpackr begins with. */
const PACK_BYTES = 8192

/** Takes a value out of MessagePack, which is bytes[start, end). Total: hostile bytes give a DecodeError. Nothing of it is a view of `bytes`. */
export function decodeBody(bytes: Uint8Array, start = 0, end: number = bytes.byteLength): Decoded | DecodeError {
  const fault = skim(bytes, start, end)
  if (fault !== undefined) return new DecodeError(fault)
  const length = end - start
  let source = bytes
  range.start = start
  range.end = end
  if (length < SMALL_BYTES) {
    for (let at = 0; at < length; at++) SMALL[at] = bytes[start + at]!
    source = SMALL
    range.start = 0
    range.end = length
  }
  try {
    const value: unknown = packr.unpack(source, range)
    return { value }
  } catch (error) {
    return new DecodeError(messageOf(error))
  }
}

/**
 * msgpackr takes the strings of a source by a call out of JavaScript, which pays for long ones only: it asks where the source ends, and so a
 * small body is given as a source of its own, at the beginning.
 */
const SMALL_BYTES = 140
const SMALL = Buffer.alloc(SMALL_BYTES)

/** For the decoder; one object for all, as it is read before anything else happens. */
const range = { start: 0, end: 0 }

/** The form in which a value travels: bytes as they are, where the value is nothing but bytes. */
export function formOf(value: unknown): BodyForm {
  if (value === undefined) return BodyForm.None
  if (!(value instanceof Uint8Array)) return BodyForm.Packed
  return Buffer.isBuffer(value) ? BodyForm.Buffer : BodyForm.Bytes
}

/** The bytes in which a value travels, in the form that `formOf` tells. Those of a Uint8Array are the value's own. */
export function bodyOf(value: unknown): Uint8Array | EncodeError {
  if (value === undefined) return NO_BODY
  return value instanceof Uint8Array ? value : encodeBody(value)
}

/** The value that came as bytes[start, end) in this form. Total, and nothing of it is a view of `bytes`. */
export function readBody(form: BodyForm, bytes: Buffer, start: number, end: number): Decoded | DecodeError {
  if (form === BodyForm.None) return NOTHING
  if (form === BodyForm.Packed) return decodeBody(bytes, start, end)
  const part = bytes.subarray(start, end)
  return { value: form === BodyForm.Buffer ? Buffer.from(part) : new Uint8Array(part) }
}

/** As readBody, of bytes that are nobody else's: a Buffer or Uint8Array has them as its memory. */
export function ownBody(form: BodyForm, bytes: Buffer): Decoded | DecodeError {
  if (form === BodyForm.None) return NOTHING
  if (form === BodyForm.Packed) return decodeBody(bytes)
  return { value: form === BodyForm.Buffer ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
}

const NOTHING: Decoded = { value: undefined }

/** What would arrive as something else. A Promise among them: somebody forgot an await. */
const UNSENDABLE = [Map, Set, WeakMap, WeakSet, ArrayBuffer, Error, RegExp, Promise]

/** Whether a value can travel: most can, and `findUnsendable` keeps a path for the message. */
function isSendable(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
      return true
    case 'object':
      break
    default:
      return false // A bigint may, but is rare.
  }
  if (value === null) return true
  if (depth >= Limits.callDepth) return false
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (!isSendable(value[index], depth + 1)) return false
    return true
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  for (const item of Object.values(value)) if (!isSendable(item, depth + 1)) return false
  return true
}

/** Finds what cannot travel, so that the message can name it; msgpackr would send a function as undefined and a Map as an object. */
function findUnsendable(value: unknown, path: string, depth: number): string | undefined {
  switch (typeof value) {
    case 'function':
    case 'symbol':
      return `${path === '' ? 'the value' : path} is a ${typeof value}`
    case 'object':
      break
    case 'bigint':
      return BigInt.asIntN(64, value) === value || BigInt.asUintN(64, value) === value
        ? undefined
        : `${path === '' ? 'the value' : path} is a bigint of more than 64 bits`
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
      return undefined
  }
  if (value === null || value instanceof Uint8Array || value instanceof Date) return undefined
  if (depth >= Limits.callDepth) return `${path} is nested deeper than ${Limits.callDepth}, or refers to itself`
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const fault = findUnsendable(item, `${path}[${index}]`, depth + 1)
      if (fault !== undefined) return fault
    }
    return undefined
  }
  if (UNSENDABLE.some((type) => value instanceof type) || ArrayBuffer.isView(value)) {
    return `${path === '' ? 'the value' : path} is a ${value.constructor.name}; send an array, a plain object or a Buffer`
  }
  for (const [key, item] of Object.entries(value)) {
    const fault = findUnsendable(item, path === '' ? key : `${path}.${key}`, depth + 1)
    if (fault !== undefined) return fault
  }
  return undefined
}

const Token = { Value: 0, Key: 1, Array: 2, Map: 3, Bad: 4 } as const
type Token = (typeof Token)[keyof typeof Token]

/**
 * Walks over MessagePack without building anything and says what is wrong with it: a length that the bytes cannot hold makes the decoder
 * allocate for it, nesting costs it stack, and extensions would let a message define code. https://github.com/msgpack/msgpack/blob/master/spec.md
 */
function skim(bytes: Uint8Array, start: number, end: number): string | undefined {
  // Items that each open array or map still wants; a map wants two a pair.
  let top = 0
  LEFT[0] = 1
  MAPS[0] = 0
  let at = start
  while (top >= 0) {
    const wanted = LEFT[top]!
    if (wanted === 0) {
      top--
      continue
    }
    LEFT[top] = wanted - 1
    if (at >= end) return 'the body ends early'
    const lead = bytes[at]!
    const sizeBytes = SIZE_BYTES[lead]!
    if (at + 1 + sizeBytes > end) return 'the body ends early'
    let size = 0
    for (let index = 1; index <= sizeBytes; index++) size = size * 256 + bytes[at + index]!
    const token = TOKENS[lead]!
    if (MAPS[top] === 1 && wanted % 2 === 0 && token !== Token.Key) return 'a map has a key that is not a string or a number'
    const count = lead >= 0x80 && lead < 0xa0 ? lead & 0x0f : size
    at += 1 + sizeBytes
    if (token === Token.Array || token === Token.Map) {
      const items = token === Token.Map ? count * 2 : count
      if (items > end - at) return 'an array or map is longer than the body'
      if (top + 1 >= Limits.callDepth) return `nested deeper than ${Limits.callDepth}`
      top++
      LEFT[top] = items
      MAPS[top] = token === Token.Map ? 1 : 0
    } else if (token === Token.Bad) {
      return `a type that npp does not send: 0x${lead.toString(16)}`
    } else {
      const extra = EXTRA_BYTES[lead]!
      if (extra > 0 && (lead === 0xc7 || lead >= 0xd4) && lead <= 0xd8) {
        const type = at < end ? (bytes[at]! << 24) >> 24 : -128
        // -1 is a timestamp and, one byte long, 0 is undefined.
        if (type !== -1 && !(type === 0 && lead === 0xd4)) return `extension ${type} is not one that npp sends`
        if (lead === 0xc7 && size !== 12) return 'a timestamp of a wrong length'
      }
      at += extra + size + (lead >= 0xa0 && lead < 0xc0 ? lead & 0x1f : 0)
      if (at > end) return 'the body ends early'
    }
  }
  return at === end ? undefined : 'bytes follow the body'
}

const LEFT = new Float64Array(Limits.callDepth)
const MAPS = new Uint8Array(Limits.callDepth)

/** Per lead byte: what it begins, how many bytes of length follow it, and how many further bytes belong to it. */
const TOKENS = new Uint8Array(256)
const SIZE_BYTES = new Uint8Array(256)
const EXTRA_BYTES = new Uint8Array(256)

function fill(from: number, to: number, token: Token, sizeBytes = 0, extra = 0): void {
  TOKENS.fill(token, from, to + 1)
  SIZE_BYTES.fill(sizeBytes, from, to + 1)
  EXTRA_BYTES.fill(extra, from, to + 1)
}

fill(0x00, 0x7f, Token.Key) // positive fixint
fill(0x80, 0x8f, Token.Map)
fill(0x90, 0x9f, Token.Array)
fill(0xa0, 0xbf, Token.Key) // fixstr
fill(0xc0, 0xc0, Token.Value) // nil
fill(0xc1, 0xc1, Token.Bad) // never used by the format; msgpackr gives it a meaning of its own
fill(0xc2, 0xc3, Token.Value) // false, true
fill(0xc4, 0xc4, Token.Value, 1) // bin 8, 16, 32
fill(0xc5, 0xc5, Token.Value, 2)
fill(0xc6, 0xc6, Token.Value, 4)
fill(0xc7, 0xc7, Token.Value, 1, 1) // ext 8, and its type
fill(0xc8, 0xc9, Token.Bad) // ext 16, 32
fill(0xca, 0xca, Token.Value, 0, 4) // float 32, 64
fill(0xcb, 0xcb, Token.Value, 0, 8)
fill(0xcc, 0xcc, Token.Key, 0, 1) // uint 8 to 64
fill(0xcd, 0xcd, Token.Key, 0, 2)
fill(0xce, 0xce, Token.Key, 0, 4)
fill(0xcf, 0xcf, Token.Value, 0, 8)
fill(0xd0, 0xd0, Token.Key, 0, 1) // int 8 to 64
fill(0xd1, 0xd1, Token.Key, 0, 2)
fill(0xd2, 0xd2, Token.Key, 0, 4)
fill(0xd3, 0xd3, Token.Value, 0, 8)
fill(0xd4, 0xd4, Token.Value, 0, 2) // fixext 1 to 8, and their type
fill(0xd5, 0xd5, Token.Value, 0, 3)
fill(0xd6, 0xd6, Token.Value, 0, 5)
fill(0xd7, 0xd7, Token.Value, 0, 9)
fill(0xd8, 0xd8, Token.Bad) // fixext 16
fill(0xd9, 0xd9, Token.Key, 1) // str 8, 16, 32
fill(0xda, 0xda, Token.Key, 2)
fill(0xdb, 0xdb, Token.Key, 4)
fill(0xdc, 0xdc, Token.Array, 2)
fill(0xdd, 0xdd, Token.Array, 4)
fill(0xde, 0xde, Token.Map, 2)
fill(0xdf, 0xdf, Token.Map, 4)
fill(0xe0, 0xff, Token.Key) // negative fixint
