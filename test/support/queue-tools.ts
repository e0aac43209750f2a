import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PosixQueue } from '../../ipc/posix-queue.ts'

/** Long enough for any machine that is merely slow: only a stall reaches it. */
export const STALL_MS = 60_000

/** A queue name that no other run has; the queue is unlinked when the test ends, however it ends. */
export function uniqueName(context: { after(cleanUp: () => void): void }): string {
  const name = `/npp-test-${process.pid}-${randomBytes(6).toString('hex')}`
  context.after(() => {
    PosixQueue.unlink(name)
  })
  return name
}

/** Resolves when the condition holds, looking once a turn of the event loop; rejects after STALL_MS. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + STALL_MS
  while (!condition()) {
    if (Date.now() > end) throw new Error(`stalled: ${what}`)
    await nextTurn()
  }
}

/** Holds this process up, as a long handler does, until the condition holds. */
export function blockUntil(condition: () => boolean, what: string): void {
  const end = Date.now() + STALL_MS
  const cell = new Int32Array(new SharedArrayBuffer(4))
  while (!condition()) {
    if (Date.now() > end) throw new Error(`stalled: ${what}`)
    Atomics.wait(cell, 0, 0, 0.05)
  }
}

export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn()
}

/** A message of `length` bytes that carries a number and is filled with what follows from it. */
export function numbered(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(number & 0xff)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

/** The number of such a message; throws when a byte is not as it was sent. */
export function numberOf(bytes: Uint8Array): number {
  const number = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0)
  for (const byte of bytes.subarray(4)) {
    if (byte !== (number & 0xff)) throw new Error(`message ${number} was damaged`)
  }
  return number
}

export interface QueueChild {
  readonly process: ChildProcess
  /** The next line that the child reports; rejects when it ends without one. */
  report(): Promise<string>
  /** Resolves with the exit code, or the signal that ended it. */
  ended(): Promise<number | string>
}

/** Starts test/support/queue-child in the role given; killed when the test ends. */
export function startQueueChild(context: { after(cleanUp: () => void): void }, ...args: readonly string[]): QueueChild {
  const child = fork(fileURLToPath(new URL('./queue-child.js', import.meta.url)), args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
  const reports: string[] = []
  let errors = ''
  let end: number | string | undefined
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  child.on('message', (message) => {
    if (typeof message === 'string') reports.push(message)
  })
  child.once('close', (code, signal) => {
    end = code ?? signal ?? 'unknown'
  })
  context.after(() => {
    child.kill('SIGKILL')
  })
  return {
    process: child,
    async report() {
      await until(() => reports.length > 0 || end !== undefined, `report of ${args.join(' ')}`)
      const report = reports.shift()
      if (report === undefined) throw new Error(`the child ${args.join(' ')} ended with ${end}: ${errors}`)
      return report
    },
    async ended() {
      if (end === undefined) await once(child, 'close', { signal: AbortSignal.timeout(STALL_MS) })
      return end ?? 'unknown'
    },
  }
}
