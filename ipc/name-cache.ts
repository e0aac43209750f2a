import '../shared/bytes.ts'

interface Known {
  readonly bytes: Uint8Array
  readonly name: string
}

/** Names a cache holds: sites have fewer services, and whoever sends others is to fill no memory. */
const MOST_NAMES = 1024

/** Names of services as they come in frames, decoded once each: to compare a few bytes costs less than to make a string of them. */
export class NameCache {
  readonly #known = new Map<number, Known>()

  /** bytes[start, end) as UTF-8. */
  find(bytes: Buffer, start: number, end: number): string {
    let hash = end - start
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0
    const known = this.#known.get(hash)
    if (known !== undefined && isSame(known.bytes, bytes, start, end)) return known.name
    const name = bytes.utf8Slice(start, end)
    if (this.#known.size >= MOST_NAMES) this.#known.clear()
    this.#known.set(hash, { bytes: Uint8Array.from(bytes.subarray(start, end)), name })
    return name
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.byteLength !== end - start) return false
  for (let at = start; at < end; at++) if (known[at - start] !== bytes[at]) return false
  return true
}
