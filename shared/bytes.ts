/*
 * The methods below Buffer's toString and write, one an encoding: they skip the look-up of the encoding's name, which on a short string costs
 * more than the copying. Node has had them since 0.x without documenting them; undici and ws rely on them too.
 */
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string
    utf8Slice(start: number, end: number): string
    /** Returns the bytes written, at most `length`; characters above U+00FF lose their upper byte. */
    latin1Write(text: string, offset: number, length: number): number
    /** Returns the bytes written, at most `length`; writes no part of a character. */
    utf8Write(text: string, offset: number, length: number): number
  }
}

/** The same bytes as a Buffer, without copying. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
