import '../../shared/bytes.ts'
import type { Exchange } from './exchange.ts'
import { routingPathOf } from './path.ts'

/** A request target as text, and its path for routing; undefined where it is no path. */
export interface Target {
  readonly raw: string
  readonly path: string | undefined
  /** What is left of requests for it that were answered: Exchange.ended. */
  ended: Exchange | undefined
}

/** Longer ones, mostly with a query, seldom come twice. */
const LONGEST = 64
const PLACES = 256 // a power of two, so that a mask finds the place

/**
 * Targets as strings. The same few are asked for again and again: comparing the bytes with a string that is there costs a tenth of making
 * one, finding its path and hashing it for the router. A place holds one target; another that falls on it takes it over.
 */
export class TargetCache {
  readonly #places: (Target | undefined)[] = Array.from({ length: PLACES })

  /** The target bytes[start, end), whose path ends at `pathEnd`. */
  find(bytes: Buffer, start: number, pathEnd: number, end: number): Target {
    const length = end - start
    if (length > LONGEST) return make(bytes, start, pathEnd, end)
    const place = (length * 31 + bytes[end - 1]! * 7 + bytes[start + (length >> 1)]!) & (PLACES - 1)
    const kept = this.#places[place]
    if (kept !== undefined && isSame(bytes, start, length, kept.raw)) return kept
    return (this.#places[place] = make(bytes, start, pathEnd, end))
  }
}

function isSame(bytes: Buffer, start: number, length: number, text: string): boolean {
  if (text.length !== length) return false
  for (let at = 0; at < length; at++) if (bytes[start + at] !== text.charCodeAt(at)) return false
  return true
}

function make(bytes: Buffer, start: number, pathEnd: number, end: number): Target {
  const raw = bytes.latin1Slice(start, end)
  return { raw, path: routingPathOf(pathEnd === end ? raw : raw.slice(0, pathEnd - start)), ended: undefined }
}
