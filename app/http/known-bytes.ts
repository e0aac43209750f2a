/** What a header says most often, recognised as bytes. */

const CR = 13
const LF = 10
const ZERO = 48

/** Names of the fields that the parser acts on, in lower case. */
export const HOST_NAME: Buffer = Buffer.from('host')
export const EXPECT_NAME: Buffer = Buffer.from('expect')
export const CONNECTION_NAME: Buffer = Buffer.from('connection')
export const CONTENT_LENGTH_NAME: Buffer = Buffer.from('content-length')
export const TRANSFER_ENCODING_NAME: Buffer = Buffer.from('transfer-encoding')

/** Compares a name with one in lower case, without regard to case. Their lengths are the same. */
export function isName(bytes: Buffer, start: number, name: Buffer): boolean {
  for (let at = 0; at < name.length; at++) {
    const byte = bytes[start + at]!
    if ((byte >= 65 && byte <= 90 ? byte | 0x20 : byte) !== name[at]) return false
  }
  return true
}

export const VERSION: Buffer = Buffer.from('HTTP/1.1')
/** Where its digits stand. */
export const MAJOR = 5
export const MINOR = 7
/** Bytes of the version with CR LF. */
export const WHOLE_VERSION = 10

/** True for HTTP/1.0 or HTTP/1.1 with CR LF, all of it there. Anything else is looked at byte by byte, for what is wrong with it. */
export function isHttp1(bytes: Buffer, at: number): boolean {
  return (
    bytes[at] === 72 &&
    bytes[at + 1] === 84 &&
    bytes[at + 2] === 84 &&
    bytes[at + 3] === 80 &&
    bytes[at + 4] === 47 &&
    bytes[at + 5] === 49 &&
    bytes[at + 6] === 46 &&
    (bytes[at + 7] === 49 || bytes[at + 7] === ZERO) &&
    bytes[at + 8] === CR &&
    bytes[at + 9] === LF
  )
}

/**
 * Where the first byte stands that is no space or visible ASCII, or a little before: four bytes at a time, as values are most of a header. A
 * byte below 0x20 borrows from the upper bit when 0x20 is taken away, 0x7f carries into it, and the others have it.
 */
export function endOfVisible(view: DataView, start: number, limit: number): number {
  let at = start
  for (; at + 4 <= limit; at += 4) {
    const four = view.getInt32(at)
    if ((((four - 0x20202020) | (four + 0x01010101) | four) & 0x80808080) !== 0) break
  }
  return at
}
