import { HEX_VALUE, REG_NAME } from './byte-classes.ts'

const PERCENT = 37
const DOT = 46
const ZERO = 48
const COLON = 58
const BRACKET = 91
const BRACKET_END = 93
const PORT_DIGITS = 5
const HIGHEST_PORT = 65_535
const HIGHEST_OCTET = 255

/**
 * True for uri-host [ ":" port ] (RFC 9110 §7.2): a name, an IPv4 address, or an IPv6 address in brackets. No user information, no zone, none
 * of the address forms to come (IPvFuture), and no empty host, which http does not have (RFC 9110 §4.2.1).
 */
export function isAuthority(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end && REG_NAME[bytes[at]!] === 1) at++
  if (at === end) return end > start
  if (bytes[at] === COLON) return at > start && isPort(bytes, at + 1, end)
  return at === start && bytes[at] === BRACKET ? isBracketed(bytes, at + 1, end) : isEscapedName(bytes, at, end)
}

/** RFC 3986 §3.2.3 port: it may be empty. Five digits hold all there are; more of them would only be zeros. */
function isPort(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > PORT_DIGITS) return false
  return end === start || numberAt(bytes, start, end) <= HIGHEST_PORT
}

/** The number of digits that are nothing but digits; Infinity for anything else. */
function numberAt(bytes: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return Infinity
    value = value * 10 + digit
  }
  return end === start ? Infinity : value
}

/** The rest of a name with an escape in it, and a port. */
function isEscapedName(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end) {
    const byte = bytes[at]!
    if (REG_NAME[byte] === 1) at++
    else if (byte === PERCENT && at + 2 < end && HEX_VALUE[bytes[at + 1]!] !== 255 && HEX_VALUE[bytes[at + 2]!] !== 255) at += 3
    else return byte === COLON && isPort(bytes, at + 1, end)
  }
  return true
}

/** An IPv6 address, the bracket that ends it, and a port. */
function isBracketed(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end && bytes[at] !== BRACKET_END) at++
  if (at === end || !isIpv6(bytes, start, at)) return false
  return at + 1 === end || (bytes[at + 1] === COLON && isPort(bytes, at + 2, end))
}

/** RFC 3986 §3.2.2 IPv6address: eight groups, or fewer with one '::' among them; an IPv4 address at the end counts for two. */
function isIpv6(bytes: Buffer, start: number, end: number): boolean {
  let groups = 0
  let isShortened = false
  let at = start
  if (at + 1 < end && bytes[at] === COLON && bytes[at + 1] === COLON) {
    isShortened = true
    at += 2
  }
  while (at < end) {
    const from = at
    while (at < end && HEX_VALUE[bytes[at]!] !== 255) at++
    if (at < end && bytes[at] === DOT) return isIpv4(bytes, from, end) && hasAllGroups(groups + 2, isShortened)
    if (at === from || at - from > 4) return false
    groups++
    if (at === end) return hasAllGroups(groups, isShortened)
    if (bytes[at] !== COLON || ++at === end) return false
    if (bytes[at] === COLON) {
      if (isShortened) return false
      isShortened = true
      at++
    }
  }
  return isShortened && hasAllGroups(groups, true)
}

function hasAllGroups(groups: number, isShortened: boolean): boolean {
  return isShortened ? groups < 8 : groups === 8
}

/** RFC 3986 §3.2.2 IPv4address: four octets without leading zeros, which some read as octal. */
function isIpv4(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  for (let octet = 1; octet <= 4; octet++) {
    const from = at
    while (at < end && bytes[at] !== DOT) at++
    if (at - from > 3 || numberAt(bytes, from, at) > HIGHEST_OCTET || (at - from > 1 && bytes[from] === ZERO)) return false
    if (octet < 4 && at++ === end) return false
  }
  return at === end
}
