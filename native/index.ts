import { errnoOf, messageOf, NppError } from '../shared/errors.ts'
import { addon, type AddonQueue } from './addon.ts'
import { queueBytes, readQueueLimits } from './queue-limits.ts'

export { addonPath, loadAddon } from './addon.ts'
export { NetHandle, NetEvent, NetLayout, NetCommand, NetSent, openNet } from './net.ts'
export type { NetCounters } from './net.ts'
export { isProcessAlive, pollProcess, startOfProcess, watchProcess } from './process-watch.ts'
export type { ProcessWatch, ProcessWatchOptions } from './process-watch.ts'
export {
  createSharedMemory,
  openSharedMemory,
  readSharedMemory,
  SHARED_MEMORY_FOLDER,
  sharedMemoryError,
  sharedMemoryPath,
  unlinkSharedMemory,
} from './shared-memory.ts'
export type { SharedMemoryHandle } from './shared-memory.ts'
export { queueBytes, readQueueLimits } from './queue-limits.ts'
export type { QueueLimits } from './queue-limits.ts'
export { writeNow } from './write-now.ts'

/** What a queue's readiness is watched for, and what onReady is told; a mask. As UV_READABLE and UV_WRITABLE of libuv. */
export const Interest = { None: 0, Readable: 1, Writable: 2 } as const

const OpenFlag = { Create: 1, Exclusive: 2 } as const

/** How to open a queue. `maxMessages`, `messageSize` (bytes) and `mode` (exact, whatever the umask) matter only when it is created. */
export interface QueueOpening {
  /** A slash and 1 to 254 bytes without a further slash: mq_overview(7). */
  readonly name: string
  readonly create: boolean
  /** With create: refuse a queue that exists. */
  readonly exclusive: boolean
  readonly mode: number
  readonly maxMessages: number
  readonly messageSize: number
}

function sayLimit(limit: number | undefined): string {
  if (limit === undefined) return 'unknown'
  return limit === Infinity ? 'unlimited' : String(limit)
}

function limitError(cause: unknown, opening: QueueOpening): NppError {
  const limits = readQueueLimits()
  if (limits.userBytes === undefined && errnoOf(cause) === 'EMFILE') {
    return new NppError(
      'NPP_QUEUE_LIMIT',
      `Opening the queue ${opening.name} failed: this process has no file descriptor left (ulimit -n).`,
      { cause },
    )
  }
  const { maxMessages, messageSize } = opening
  // mq_open(3) has no error of its own for RLIMIT_MSGQUEUE; descriptors were left, or the limits could not have been read.
  const advice =
    errnoOf(cause) === 'EMFILE'
      ? 'RLIMIT_MSGQUEUE is the one that is too small: raise it (LimitMSGQUEUE= of a systemd unit, msgqueue in limits.conf), or remove queues that nobody uses.'
      : 'Raise the one that is too small, or remove queues that nobody uses.'
  return new NppError(
    'NPP_QUEUE_LIMIT',
    `The system allows no queue ${opening.name} of ${maxMessages} messages of ${messageSize} bytes (${errnoOf(cause)}): it needs ` +
      `${queueBytes(maxMessages, messageSize)} bytes. Limits: ulimit -q (RLIMIT_MSGQUEUE, bytes in all queues of this user) ${sayLimit(limits.userBytes)}; ` +
      `sysctl fs.mqueue.msg_max ${sayLimit(limits.maxMessages)}, fs.mqueue.msgsize_max ${sayLimit(limits.messageSize)}, ` +
      `fs.mqueue.queues_max ${sayLimit(limits.queuesMax)}. ${advice}`,
    { cause },
  )
}

/** The NppError for what the addon threw; `what` says which operation on which queue. */
function translated(cause: unknown, what: string): NppError {
  const code = errnoOf(cause)
  const text = `${what}: ${messageOf(cause)}`
  switch (code) {
    case 'NPP_QUEUE_ARGUMENT':
    case 'NPP_QUEUE_CLOSED':
      return new NppError(code, text, { cause })
    case 'EACCES':
    case 'EPERM':
      return new NppError('NPP_QUEUE_PERMISSION', text, { cause })
    case 'ENOENT':
      return new NppError('NPP_QUEUE_MISSING', text, { cause })
    case 'EEXIST':
      return new NppError('NPP_QUEUE_EXISTS', text, { cause })
    default:
      return cause instanceof NppError ? cause : new NppError('NPP_QUEUE_FAILED', text, { cause })
  }
}

const LIMIT_ERRNOS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOSPC', 'EINVAL', 'EOVERFLOW'])

function ignore(): void {}

/**
 * An open POSIX message queue: bytes and a descriptor, nothing more. Every method throws NppError: NPP_QUEUE_ARGUMENT for an argument it
 * cannot take, NPP_QUEUE_CLOSED after close, NPP_QUEUE_FAILED when the system refuses. Source: mq_overview(7).
 */
export class QueueHandle {
  readonly name: string
  readonly descriptor: number
  /** User id that owns the queue. */
  readonly ownerUid: number
  readonly maxMessages: number
  readonly messageSize: number
  /** Whether this opening created it. */
  readonly created: boolean
  readonly #queue: AddonQueue

  /** Use openQueue. */
  constructor(name: string, queue: AddonQueue) {
    this.name = name
    this.descriptor = queue.descriptor
    this.ownerUid = queue.ownerUid
    this.maxMessages = queue.maxMessages
    this.messageSize = queue.messageSize
    this.created = queue.created
    this.#queue = queue
    queue.onReady = ignore
  }

  /** mq_send of bytes[start, end); false when the queue is full. Priority 0 to 31. */
  push(bytes: Uint8Array, start: number, end: number, priority: number): boolean {
    try {
      return this.#queue.push(bytes, start, end, priority)
    } catch (error) {
      throw translated(error, `push to ${this.name}`)
    }
  }

  /** mq_receive into `into`, of messageSize bytes or more; the length of the message, -1 when the queue is empty. */
  shift(into: Uint8Array): number {
    try {
      return this.#queue.shift(into)
    } catch (error) {
      throw translated(error, `shift from ${this.name}`)
    }
  }

  /** Messages in the queue now. */
  count(): number {
    try {
      return this.#queue.count()
    } catch (error) {
      throw translated(error, `count of ${this.name}`)
    }
  }

  /**
   * Who is told, on every turn of the event loop, for which of the Interest bits the queue is ready. What it throws goes to
   * 'uncaughtException'. While there is interest the event loop keeps the process and the queue alive.
   */
  onReady(listener: (events: number) => void): void {
    const { name } = this
    this.#queue.onReady = (events) => {
      if (events < 0) throw new NppError('NPP_QUEUE_FAILED', `Waiting for the queue ${name} failed (errno ${-events}).`)
      listener(events)
    }
  }

  /** `mask` of Interest bits. Within onReady the change is made, once, when the listener returns. */
  setInterest(mask: number): void {
    try {
      this.#queue.setInterest(mask)
    } catch (error) {
      throw translated(error, `waiting for ${this.name}`)
    }
  }

  /**
   * Takes an open file description lock (fcntl(2)) on one offset of the queue, shared or exclusive; false when another opening of the queue
   * holds one in the way. The kernel gives it back when this opening ends, by close or by the end of the process.
   */
  lock(offset: number, exclusive: boolean): boolean {
    try {
      return this.#queue.lock(offset, exclusive)
    } catch (error) {
      throw translated(error, `lock on ${this.name}`)
    }
  }

  /** Gives a lock back; nothing happens where there is none. */
  unlock(offset: number): void {
    try {
      this.#queue.unlock(offset)
    } catch (error) {
      throw translated(error, `unlock on ${this.name}`)
    }
  }

  /** The offset of some lock that another opening of the queue holds in [from, to], -1 where there is none; `to` 0 is the end. */
  lockedIn(from: number, to: number): number {
    try {
      return this.#queue.lockedIn(from, to)
    } catch (error) {
      throw translated(error, `locks on ${this.name}`)
    }
  }

  /** Whether `name` leads to this very queue, rather than to none or to one made later. */
  isCurrent(name: string): boolean {
    try {
      return this.#queue.isCurrent(name)
    } catch (error) {
      throw translated(error, `look for ${name}`)
    }
  }

  /** Ends readiness and gives the descriptor back. Closing twice does nothing. */
  close(): void {
    try {
      this.#queue.close()
    } catch (error) {
      throw translated(error, `close of ${this.name}`)
    }
  }
}

/**
 * mq_open for reading and writing, non-blocking, closed on exec. Throws NppError NPP_QUEUE_LIMIT, NPP_QUEUE_PERMISSION, NPP_QUEUE_MISSING,
 * NPP_QUEUE_EXISTS, NPP_QUEUE_ARGUMENT, NPP_QUEUE_FAILED or NPP_NATIVE_MISSING.
 */
export function openQueue(opening: QueueOpening): QueueHandle {
  const { Queue } = addon()
  const { name, create, exclusive, mode, maxMessages, messageSize } = opening
  const flags = (create ? OpenFlag.Create : 0) | (exclusive ? OpenFlag.Exclusive : 0)
  try {
    return new QueueHandle(name, new Queue(name, flags, mode, maxMessages, messageSize))
  } catch (error) {
    // The addon has checked the name and the numbers, so that EINVAL means sizes over the limits: mq_open(3).
    if (LIMIT_ERRNOS.has(errnoOf(error))) throw limitError(error, opening)
    throw translated(error, `Opening the queue ${name} failed`)
  }
}

/** mq_unlink: the name goes at once, the queue with its last opening. False when there was no such name. */
export function unlinkQueue(name: string): boolean {
  const native = addon()
  try {
    return native.unlinkQueue(name)
  } catch (error) {
    throw translated(error, `Unlinking the queue ${name} failed`)
  }
}
