import { addon } from './addon.ts'

/**
 * Writes of bytes[start, end) what a socket or a pipe takes at once, whether or not it is set to wait: the flag O_NONBLOCK is shared with whoever
 * else has the descriptor. Returns the bytes taken, or the errno as a negative number, EAGAIN where there is no room. Of what is no socket it
 * takes 4096 bytes at the most (PIPE_BUF), and where several processes write to one pipe that waits, it may wait nevertheless: such a pipe is
 * better opened anew. Throws NppError NPP_NATIVE_MISSING, or a TypeError for arguments that are none. Source: send(2), pipe(7).
 */
export function writeNow(descriptor: number, bytes: Uint8Array, start: number, end: number): number {
  return addon().writeNow(descriptor, bytes, start, end)
}
