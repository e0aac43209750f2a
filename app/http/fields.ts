import '../../shared/bytes.ts'
import { NppError } from '../../shared/errors.ts'
import type { Exchange } from './exchange.ts'

/** The exchange, if it still has the fields of its request. */
export function readable(exchange: Exchange): Exchange {
  if (exchange.isReleased) throw readFirst()
  return exchange
}

/** The value of the field of this name, in lower case; several are joined. */
export function findField(exchange: Exchange, lowerName: string, separator: string): string | undefined {
  const { fields, fieldCount } = readable(exchange)
  let found: string | undefined
  for (let field = 0; field < fieldCount * 4; field += 4) {
    if ((fields[field + 1] ?? 0) - (fields[field] ?? 0) !== lowerName.length) continue
    if (!isNamed(exchange, fields[field] ?? 0, lowerName)) continue
    const value = sliceOf(exchange, field + 2)
    found = found === undefined ? value : found + separator + value
  }
  return found
}

/** All fields, name and value. One string is made of the header, and those are parts of it: one for each costs twice as much. */
export function fieldPairs(exchange: Exchange): (readonly [string, string])[] {
  const { bytes, base, fields, fieldCount, headerEnd } = readable(exchange)
  const header = bytes.latin1Slice(base, base + headerEnd)
  const pairs: (readonly [string, string])[] = []
  for (let at = 0; at < fieldCount * 4; at += 4)
    pairs.push([header.slice(fields[at], fields[at + 1]), header.slice(fields[at + 2], fields[at + 3])])
  return pairs
}

/** Compares bytes: most names of this length are of other fields, and making them text costs more than all the rest. */
function isNamed({ bytes, base }: Exchange, start: number, lowerName: string): boolean {
  for (let at = 0; at < lowerName.length; at++) {
    const byte = bytes[base + start + at] ?? 0
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== lowerName.charCodeAt(at)) return false
  }
  return true
}

/** The text between two offsets of the table, the first at this index. */
export function sliceOf({ bytes, base, fields }: Exchange, field: number): string {
  return bytes.latin1Slice(base + (fields[field] ?? 0), base + (fields[field + 1] ?? 0))
}

export function readFirst(): NppError {
  return new NppError(
    'NPP_ALREADY_ANSWERED',
    'the request was answered; read its fields, its id, its address, its signal and its body before answering',
  )
}
