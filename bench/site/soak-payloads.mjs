// What calls of the soak carry: each names its own id, so that an answer to another call is known for one.

const longest = 400
const pads = Array.from({ length: longest }, (_, length) => 'x'.repeat(length))

export function textOf(id) {
  return `${id} ${pads[(id * 7919) % longest]}`
}

export function bytesOf(id, length) {
  const bytes = Buffer.alloc(length, id & 0xff)
  bytes.writeDoubleLE(id, 0)
  bytes.writeDoubleLE(id, length - 8)
  return bytes
}

/** What the services make of either. */
export function mirroredText(text) {
  return `${text}:${text.length}`
}

export function mirrorBytes(bytes) {
  bytes[8] ^= 0xff
  return bytes
}

export function isMirrored(bytes, id, length) {
  return Buffer.isBuffer(bytes) && bytes.equals(mirrorBytes(bytesOf(id, length)))
}
