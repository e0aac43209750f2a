import '../../shared/bytes.ts'
import { TOKEN } from './byte-classes.ts'
import { Limits } from '../../shared/limits.ts'

/** Bits of connectionTokens. */
export const ConnectionToken = { Close: 1, KeepAlive: 2, Upgrade: 4 } as const

/** What Transfer-Encoding says: the one coding that npp reads, others that may be good ones, or nothing that gives a body an end. */
export const TransferCoding = { Chunked: 0, Other: 1, Malformed: 2 } as const
type TransferCoding = (typeof TransferCoding)[keyof typeof TransferCoding]

const SP = 32
const HTAB = 9
const COMMA = 44
const KEEP_ALIVE = Buffer.from('keep-alive')
const CLOSE = Buffer.from('close')
const UPGRADE = Buffer.from('upgrade')
const CHUNKED = Buffer.from('chunked')
const CONTINUE = Buffer.from('100-continue')

function equalsFolded(bytes: Buffer, start: number, end: number, lower: Buffer): boolean {
  if (end - start !== lower.length) return false
  for (let at = 0; at < lower.length; at++) {
    const byte = bytes[start + at]!
    if ((byte >= 65 && byte <= 90 ? byte | 0x20 : byte) !== lower[at]) return false
  }
  return true
}

/** What the Connection field asks for, as bits; -1 where it is not a list of tokens, of which some may be empty (RFC 9110 §7.6.1, §5.6.1). */
export function connectionTokens(bytes: Buffer, start: number, end: number): number {
  if (equalsFolded(bytes, start, end, KEEP_ALIVE)) return ConnectionToken.KeepAlive
  let bits = 0
  for (let at = start; ; at++) {
    at = afterSpace(bytes, at, end)
    const token = at
    while (at < end && TOKEN[bytes[at]!] === 1) at++
    bits |= connectionToken(bytes, token, at)
    at = afterSpace(bytes, at, end)
    if (at === end) return bits
    if (bytes[at] !== COMMA) return -1
  }
}

function connectionToken(bytes: Buffer, start: number, end: number): number {
  if (equalsFolded(bytes, start, end, CLOSE)) return ConnectionToken.Close
  if (equalsFolded(bytes, start, end, KEEP_ALIVE)) return ConnectionToken.KeepAlive
  return equalsFolded(bytes, start, end, UPGRADE) ? ConnectionToken.Upgrade : 0
}

function afterSpace(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++
  return at
}

/** Digits only, no sign, no list, exact in a double; -1 for anything else (RFC 9110 §8.6). */
export function contentLengthOf(bytes: Buffer, start: number, end: number): number {
  if (end === start || end - start > Limits.contentLengthDigits) return -1
  let length = 0
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
  }
  return length
}

/** True for 100-continue, the one expectation there is. */
export function isContinue(bytes: Buffer, start: number, end: number): boolean {
  return equalsFolded(bytes, start, end, CONTINUE)
}

const NAME = "[!#$%&'*+.^_`|~0-9a-z-]+"
const QUOTED = '"(?:[\\t !#-\\[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"'
const CODING = `(${NAME})((?:[ \\t]*;[ \\t]*${NAME}[ \\t]*=[ \\t]*(?:${NAME}|${QUOTED}))*)`
const LIST = new RegExp(`^${CODING}(?:[ \\t]*,[ \\t]*${CODING})*$`, 'i')
const MEMBERS = new RegExp(CODING, 'gi')

/**
 * What the Transfer-Encoding field says (RFC 9112 §6.1, §7). RFC 9110 §5.6.1 would have empty members of a list ignored; here a body's end
 * hangs on it, and they are refused, as are parameters of chunked.
 */
export function transferCodingOf(bytes: Buffer, start: number, end: number): TransferCoding {
  if (equalsFolded(bytes, start, end, CHUNKED)) return TransferCoding.Chunked
  const value = bytes.latin1Slice(start, end)
  if (!LIST.test(value)) return TransferCoding.Malformed
  const codings = Array.from(value.matchAll(MEMBERS), ([, name = '', parameters = '']) => ({ name: name.toLowerCase(), parameters }))
  const chunked = codings.findIndex(({ name }) => name === 'chunked')
  if (chunked === -1) return TransferCoding.Other
  return chunked === codings.length - 1 && codings[chunked]?.parameters === '' ? TransferCoding.Other : TransferCoding.Malformed
}
