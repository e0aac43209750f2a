/** Which bytes may stand where, one table a grammar rule: the parser asks them a byte at a time. 1 is yes, 0 is no. */

function tableOf(allowed: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (allowed(byte) ? 1 : 0))
}

function isAlphanumeric(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}

function oneOf(characters: string): (byte: number) => boolean {
  return (byte) => characters.includes(String.fromCharCode(byte))
}

const isTokenMark = oneOf("!#$%&'*+-.^_`|~")
const isRefusedInPath = oneOf('"#<>?\\')
const isRefusedInQuery = oneOf('"#<>')
const isNameMark = oneOf("-._~!$&'()*+,;=")

/** RFC 9110 §5.6.2 tchar: methods and field names. */
export const TOKEN: Uint8Array = tableOf((byte) => isAlphanumeric(byte) || isTokenMark(byte))

/**
 * Bytes of a path before its '?'. Wider than RFC 3986 pchar by [ ] ^ ` { | }, which clients send unescaped, and no wider: '#' never travels, and
 * a backslash is a slash to some and a letter to others.
 */
export const PATH: Uint8Array = tableOf((byte) => byte > 0x20 && byte < 0x7f && !isRefusedInPath(byte))

/** Bytes of a query: those of a path, '?' and the backslash, which browsers leave as it is there. */
export const QUERY: Uint8Array = tableOf((byte) => byte > 0x20 && byte < 0x7f && !isRefusedInQuery(byte))

/** RFC 9110 §5.5 field-value: visible ASCII, obs-text, space and tab. */
export const FIELD_VALUE: Uint8Array = tableOf((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f))

/** RFC 3986 §3.2.2 reg-name, but for its escapes: names and IPv4 addresses. */
export const REG_NAME: Uint8Array = tableOf((byte) => isAlphanumeric(byte) || isNameMark(byte))

/** Value of a hexadecimal digit, 255 for any other byte. */
export const HEX_VALUE: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = Number.parseInt(String.fromCharCode(byte), 16)
  return Number.isNaN(digit) ? 255 : digit
})

/** True when every character of the text is allowed by the table. */
export function isMadeOf(text: string, table: Uint8Array): boolean {
  for (let at = 0; at < text.length; at++) if (table[text.charCodeAt(at)] !== 1) return false
  return true
}
