import '../../shared/bytes.ts'
import { Limits } from '../../shared/limits.ts'

/** Bits of connectionTokens. */
export const ConnectionToken = { Close: 1, KeepAlive: 2, Upgrade: 4 } as const

const KEEP_ALIVE = Buffer.from('keep-alive')
const CHUNKED = Buffer.from('chunked')

function equalsFolded(bytes: Buffer, start: number, end: number, lower: Buffer): boolean {
  if (end - start !== lower.length) return false
  for (let at = 0; at < lower.length; at++) if ((bytes[start + at]! | 0x20) !== lower[at]) return false
  return true
}

/** What the Connection field asks for, as bits (RFC 9110 §7.6.1: a list of tokens without regard to case). */
export function connectionTokens(bytes: Buffer, start: number, end: number): number {
  if (equalsFolded(bytes, start, end, KEEP_ALIVE)) return ConnectionToken.KeepAlive
  let bits = 0
  for (const token of bytes.latin1Slice(start, end).toLowerCase().split(',')) {
    const name = token.trim()
    if (name === 'close') bits |= ConnectionToken.Close
    else if (name === 'keep-alive') bits |= ConnectionToken.KeepAlive
    else if (name === 'upgrade') bits |= ConnectionToken.Upgrade
  }
  return bits
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

/** True for the one transfer coding that npp reads. */
export function isChunkedOnly(bytes: Buffer, start: number, end: number): boolean {
  return equalsFolded(bytes, start, end, CHUNKED)
}
