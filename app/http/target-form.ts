import { isAuthority } from './authority.ts'
import { isName } from './known-bytes.ts'

const ASTERISK = 42
const SLASH = 47
const QUESTION_MARK = 63
const HTTP = Buffer.from('http://')
const HTTPS = Buffer.from('https://')

/**
 * True for a target in a form other than origin form, the usual one: '*' alone (RFC 9112 §3.2.4), or an absolute URI of http or https whose
 * authority names no user (RFC 9112 §3.2.2, RFC 9110 §4.2.4). `bytes[start, pathEnd)` is followed by the space or '?' that ends it.
 */
export function isOtherForm(bytes: Buffer, start: number, pathEnd: number): boolean {
  if (bytes[start] === ASTERISK) return pathEnd === start + 1 && bytes[pathEnd] !== QUESTION_MARK
  const authority = start + schemeLength(bytes, start, pathEnd)
  if (authority === start) return false
  let end = authority
  while (end < pathEnd && bytes[end] !== SLASH) end++
  return isAuthority(bytes, authority, end)
}

/** Bytes of the scheme with '://' behind it; 0 for another scheme. */
function schemeLength(bytes: Buffer, start: number, end: number): number {
  for (const scheme of [HTTP, HTTPS]) if (end - start > scheme.length && isName(bytes, start, scheme)) return scheme.length
  return 0
}
