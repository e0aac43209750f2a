import { constants } from 'node:os'
import { Limits } from './limits.ts'
import type { LogOutput } from './log-output.ts'

const { EAGAIN, EINTR, ENOBUFS, ENOMEM, ENOSPC, EDQUOT, EFBIG } = constants.errno
/** No room for now: the reader is behind, or the kernel has no memory for it. */
const BUSY: ReadonlySet<number> = new Set([-EAGAIN, -EINTR, -ENOBUFS, -ENOMEM, 0])
/** A file that cannot grow until somebody clears up. */
const FULL: ReadonlySet<number> = new Set([-ENOSPC, -EDQUOT, -EFBIG])

const NEWLINE = 10
/** Milliseconds between two tries while the process waits, and at first while it does not. */
const LOOK_MS = 1

/** Lines, or the last part of them, on their way. */
interface Chunk {
  readonly bytes: Uint8Array
  /** Lines that were lost before, of which this chunk is the notice; 0 for any other. */
  readonly tells: number
}

/**
 * Writes lines in order, never a part of one alone, and holds nobody up: a reader that does not read is waited for briefly, then lines wait in
 * bounded memory, then they are lost and counted. Where nobody reads any more everything is dropped. Throws nothing.
 */
export class LogWriter {
  readonly #output: LogOutput
  readonly #notice: (lost: number) => string
  #lines = ''
  #waiting: Chunk[] = []
  #waitingBytes = 0
  /** What a thread is writing, and how large the file is once it has. */
  #beside: Chunk | undefined
  #besideSize = 0
  #isGone = false
  /** It was waited for in vain, and has not read all since. */
  #isStuck = false
  /** The last byte written was not the end of a line. */
  #isWithinLine = false
  #fullUntil = 0
  #lost = 0
  #timer: NodeJS.Timeout | undefined
  #retryMs = LOOK_MS

  /** `notice` is the line, with its newline, that says how many were lost; '' for none. */
  constructor(output: LogOutput, notice: (lost: number) => string) {
    this.#output = output
    this.#notice = notice
  }

  /** Whole lines, each with its newline. */
  write(lines: string): void {
    this.#lines += lines
    if (this.#lines.length >= Limits.logBufferLength) this.flush()
  }

  /** Begins to write what there is. */
  flush(): void {
    this.#take()
    if (this.#beside !== undefined || this.#timer !== undefined) return
    if (this.#output.writeBeside === undefined) this.#writeTurn()
    else if (this.#waiting.length > 0 && performance.now() >= this.#fullUntil) this.#writeBeside()
  }

  /** Writes what there is before this returns, as far as the output takes it; at the end of the process what it does not take is dropped. */
  flushSync(atEnd = false): void {
    const began = performance.now()
    let progress = began
    if (atEnd) this.#fullUntil = 0
    while (this.#hasSome()) {
      if (this.#isBesideOver() || (atEnd && performance.now() - progress >= Limits.logStallMs)) {
        // A file is written to also where a thread has not come to its part in time: nobody could do it later.
        const taken = this.#writeSome()
        if (taken > 0) {
          progress = performance.now()
          continue
        }
        if (!BUSY.has(taken)) return
      }
      const now = performance.now()
      const isOver = atEnd ? now - progress >= Limits.logStallMs || now - began >= Limits.logEndMs : now - began >= Limits.logStallMs
      if (isOver || (this.#isStuck && !atEnd)) {
        this.#isStuck = true
        if (atEnd) this.#dropAll()
        else if (this.#beside === undefined) this.#retry()
        return
      }
      Atomics.wait(PAUSE, 0, 0, LOOK_MS)
    }
  }

  /** What comes later is written all the same, when it is flushed. */
  close(): void {
    this.flushSync(true)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#output.close()
  }

  /** Puts the lines behind what waits. While something does, or the disk is full, they gather until they are worth a chunk. */
  #take(): void {
    const lines = this.#lines
    const isFull = performance.now() < this.#fullUntil
    if ((isFull || this.#waiting.length > 0) && lines.length < Limits.logBufferLength) return
    this.#lines = ''
    if (this.#isGone) return
    // A turn of the event loop may have brought more than it let us write.
    if (this.#isTooMuch(lines) && !this.#isStuck) this.flushSync()
    if (this.#isGone) return
    if (isFull || this.#isTooMuch(lines)) {
      this.#lost += countLines(Buffer.from(lines))
      return
    }
    if (this.#lost > 0) this.#put(this.#notice(this.#lost), this.#lost)
    this.#lost = 0
    this.#put(lines, 0)
  }

  #isTooMuch(lines: string): boolean {
    return this.#waitingBytes > 0 && this.#waitingBytes + lines.length > Limits.logWaitingBytes
  }

  #put(lines: string, tells: number): void {
    if (lines === '') return
    const bytes = Buffer.from(lines)
    this.#waiting.push({ bytes, tells })
    this.#waitingBytes += bytes.length
  }

  #hasSome(): boolean {
    if (this.#waiting.length === 0) this.#take()
    return this.#waiting.length > 0
  }

  /** Writes without waiting, a bounded part; the rest in a while. */
  #writeTurn(): void {
    let written = 0
    while (this.#hasSome()) {
      const taken = written < Limits.logWriteBytes ? this.#writeSome() : -EAGAIN
      if (taken > 0) written += taken
      else {
        if (BUSY.has(taken)) this.#retry()
        return
      }
    }
  }

  #retry(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.flush()
    }, this.#retryMs).unref()
    this.#retryMs = Math.min(this.#retryMs * 2, Limits.logRetryMs)
  }

  /** Writes of the first chunk what the output takes. */
  #writeSome(): number {
    const [chunk] = this.#waiting
    if (chunk === undefined) return 0
    if (performance.now() < this.#fullUntil) return -ENOSPC
    const taken = this.#output.write(chunk.bytes, this.#endOf(chunk.bytes))
    this.#waiting.shift()
    this.#waitingBytes -= chunk.bytes.length
    this.#settle(chunk, taken)
    return taken
  }

  /** Whole lines, as far as they fit into a write: others write to the same pipe, and would come in between. */
  #endOf(bytes: Uint8Array): number {
    const { atMost } = this.#output
    if (bytes.length <= atMost) return bytes.length
    const lines = bytes.lastIndexOf(NEWLINE, atMost - 1) + 1
    return lines > 0 ? lines : bytes.indexOf(NEWLINE) + 1 || bytes.length
  }

  #writeBeside(): void {
    const chunk = this.#next()
    this.#beside = chunk
    this.#besideSize = this.#output.size() + chunk.bytes.length
    this.#output.writeBeside?.(chunk.bytes, chunk.bytes.length, (taken) => {
      this.#beside = undefined
      this.#settle(chunk, taken)
      if (BUSY.has(taken)) this.#retry()
      else this.flush()
    })
  }

  /** Takes the first chunk from the list: with what follows, or without its end, so that it is worth a write and no more. */
  #next(): Chunk {
    const [first = NOTHING] = this.#waiting
    let { length } = first.bytes
    let count = 1
    for (const { bytes, tells } of this.#waiting.slice(1)) {
      if (first.tells + tells > 0 || length + bytes.length > Limits.logWriteBytes) break
      length += bytes.length
      count++
    }
    const taken = this.#waiting.splice(0, count).map(({ bytes }) => bytes)
    const all = count > 1 ? Buffer.concat(taken) : first.bytes
    const rest = all.subarray(Limits.logWriteBytes)
    if (rest.length > 0) this.#waiting.unshift({ ...first, bytes: rest })
    this.#waitingBytes -= all.length - rest.length
    return { ...first, bytes: all.subarray(0, Limits.logWriteBytes) }
  }

  /** Whether a thread has written all of its part, as far as the file shows: the event loop would know later only. */
  #isBesideOver(): boolean {
    return this.#beside === undefined || this.#output.size() >= this.#besideSize
  }

  /** After a try with this chunk, which is in the list no more. */
  #settle(chunk: Chunk, taken: number): void {
    const { bytes } = chunk
    const rest = taken > 0 ? bytes.subarray(taken) : bytes
    if (taken > 0) {
      this.#retryMs = LOOK_MS
      this.#isWithinLine = bytes[taken - 1] !== NEWLINE
    }
    if (rest.length > 0) {
      this.#waiting.unshift({ ...chunk, bytes: rest })
      this.#waitingBytes += rest.length
    } else if (this.#waiting.length === 0) this.#isStuck = false
    if (taken > 0 || BUSY.has(taken)) return
    if (FULL.has(taken)) this.#loseAll()
    else {
      this.#isGone = true
      this.#dropAll()
    }
  }

  /** Keeps but the rest of a line that was begun. */
  #loseAll(): void {
    const [first] = this.#waiting
    const begun = first !== undefined && this.#isWithinLine ? first.bytes.indexOf(NEWLINE) + 1 : 0
    for (const { bytes, tells } of this.#waiting) this.#lost += tells > 0 ? tells : countLines(bytes)
    this.#waiting = []
    this.#waitingBytes = 0
    if (first !== undefined && begun > 0) {
      this.#lost -= first.tells > 0 ? first.tells : 1
      this.#waiting = [{ ...first, bytes: first.bytes.subarray(0, begun) }]
      this.#waitingBytes = begun
    }
    this.#fullUntil = performance.now() + Limits.logFlushMs
  }

  #dropAll(): void {
    this.#lines = ''
    this.#waiting = []
    this.#waitingBytes = 0
  }
}

const NOTHING: Chunk = { bytes: new Uint8Array(0), tells: 0 }
const PAUSE = new Int32Array(new SharedArrayBuffer(4))

function countLines(bytes: Uint8Array): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}
