/** Bytes that differ with each seed, and nowhere repeat soon: a part that is missing, or in a wrong place, shows. */
export function patternOf(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length)
  let state = (seed * 2_654_435_761 + 1) >>> 0
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4))
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  bytes.fill(seed & 0xff, words.byteLength)
  return bytes
}
