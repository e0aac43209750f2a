import { performance } from 'node:perf_hooks'

export const largeBytes = 2 ** 20

/** Calls the service again and again for so long, so many at a time, and tells how much came back. */
export async function measureLargeReplies(callAsync, inFlight, milliseconds) {
  const begun = performance.now()
  let next = 0
  let replies = 0
  let bytes = 0
  let wrong = 0
  const callAgain = async () => {
    while (performance.now() - begun < milliseconds) {
      const id = next++
      const reply = await callAsync('large', id)
      if (!isReplyTo(reply, id)) wrong++
      replies++
      bytes += reply.byteLength
    }
  }
  try {
    await Promise.all(Array.from({ length: inFlight }, callAgain))
  } catch (error) {
    return { failure: `${error.code ?? error.name}: ${error.message}` }
  }
  return { replies, bytes, wrong, seconds: (performance.now() - begun) / 1000 }
}

// The same memory each time: making it is no part of what is measured. The reply is written to at both ends, so that it is known for its own.
const buffer = Buffer.alloc(largeBytes, 'npp')

export function largeReply(id) {
  buffer.writeUInt32LE(id, 0)
  buffer.writeUInt32LE(id, largeBytes - 4)
  return buffer
}

function isReplyTo(reply, id) {
  return reply.byteLength === largeBytes && reply.readUInt32LE(0) === id && reply.readUInt32LE(largeBytes - 4) === id
}
