import { Interest, openQueue, unlinkQueue } from '../native/index.ts'
import type { QueueHandle } from '../native/index.ts'
import { NppError } from '../shared/errors.ts'
import type { MessageQueue } from './message-queue.ts'
import { defaultQueueSize } from './queue-limits.ts'

export interface PosixQueueOptions {
  /** A slash and 1 to 254 bytes without a further slash: mq_overview(7). */
  readonly name: string
  /** Create the queue where there is none. Default: false. */
  readonly create?: boolean
  /** With create: refuse a queue that exists. Default: false. */
  readonly exclusive?: boolean
  /** Permissions of a queue that is created, exact whatever the umask. Default: 0o600. */
  readonly mode?: number
  /** Messages that a created queue holds at the most. Default: defaultQueueSize. */
  readonly maxMessages?: number
  /** Bytes that a message of a created queue has at the most. Default: defaultQueueSize. */
  readonly messageSize?: number
}

const OWNER_ONLY = 0o600

/**
 * A POSIX message queue of this machine, between processes of one user. A queue that belongs to another user is refused, for root too:
 * whoever owns a queue may have left its name as a trap. Source: mq_overview(7).
 */
export class PosixQueue implements MessageQueue {
  readonly name: string
  readonly maxMessages: number
  readonly messageSize: number
  /** User id that owns the queue: that of this process. */
  readonly ownerUid: number
  /** The queue's file descriptor, good for a poll set until close. */
  readonly descriptor: number
  /** Whether this opening created the queue. */
  readonly created: boolean
  readonly #handle: QueueHandle
  #messages: (() => void) | undefined
  #drain: (() => void) | undefined
  #refused = false
  #interest: number = Interest.None
  #closed = false

  /**
   * Throws NppError NPP_QUEUE_LIMIT, NPP_QUEUE_PERMISSION, NPP_QUEUE_MISSING, NPP_QUEUE_EXISTS, NPP_QUEUE_ARGUMENT, NPP_QUEUE_FAILED, or
   * NPP_NATIVE_MISSING.
   */
  static open(options: PosixQueueOptions): PosixQueue {
    const { name, create = false, exclusive = false, mode = OWNER_ONLY } = options
    const size = create ? { ...defaultQueueSize(), ...given(options) } : { maxMessages: 0, messageSize: 0 }
    const handle = openQueue({ name, create, exclusive, mode, ...size })
    const uid = process.geteuid?.()
    if (handle.ownerUid !== uid) {
      handle.close()
      throw new NppError(
        'NPP_QUEUE_PERMISSION',
        `The queue ${name} belongs to user ${handle.ownerUid}, not to user ${uid} as which this process runs.`,
      )
    }
    return new PosixQueue(handle)
  }

  /** Removes the name; who has the queue open keeps it. False when there was no such name. Throws NppError NPP_QUEUE_PERMISSION and others. */
  static unlink(name: string): boolean {
    return unlinkQueue(name)
  }

  /** Use PosixQueue.open. */
  constructor(handle: QueueHandle) {
    this.name = handle.name
    this.maxMessages = handle.maxMessages
    this.messageSize = handle.messageSize
    this.ownerUid = handle.ownerUid
    this.descriptor = handle.descriptor
    this.created = handle.created
    this.#handle = handle
    handle.onReady((events) => {
      this.#ready(events)
    })
  }

  push(bytes: Uint8Array, start = 0, end: number = bytes.length, priority = 0): boolean {
    const taken = this.#handle.push(bytes, start, end, priority)
    if (taken === this.#refused) {
      this.#refused = !taken
      this.#watch()
    }
    return taken
  }

  shift(into: Uint8Array): number {
    return this.#handle.shift(into)
  }

  count(): number {
    return this.#handle.count()
  }

  onMessages(listener: (() => void) | undefined): void {
    this.#refuseWhenClosed()
    this.#messages = listener
    this.#watch()
  }

  onDrain(listener: (() => void) | undefined): void {
    this.#refuseWhenClosed()
    this.#drain = listener
    this.#watch()
  }

  cancelDrain(): void {
    this.#refused = false
    if (!this.#closed) this.#watch()
  }

  /**
   * Takes a lock on one offset of the queue, shared or exclusive; false when another opening of the queue holds one in the way. The kernel
   * gives it back when this opening ends, also by kill -9: so it tells others that this process lives. Source: fcntl(2), F_OFD_SETLK.
   */
  lock(offset: number, exclusive: boolean): boolean {
    return this.#handle.lock(offset, exclusive)
  }

  /** Gives a lock back; nothing happens where there is none. */
  unlock(offset: number): void {
    this.#handle.unlock(offset)
  }

  /** The first offset of some lock that another opening of the queue holds in [from, to], or -1; `to` 0 means to the end. */
  lockedIn(from: number, to: number): number {
    return this.#handle.lockedIn(from, to)
  }

  /** Whether the queue's name, or `name`, leads to this very queue, rather than to none or to one that was made later. */
  isCurrent(name: string = this.name): boolean {
    return this.#handle.isCurrent(name)
  }

  close(): void {
    this.#closed = true
    this.#messages = undefined
    this.#drain = undefined
    this.#handle.close()
  }

  #ready(events: number): void {
    if ((events & Interest.Readable) !== 0) this.#messages?.()
    // The first listener may have pushed, cancelled or closed.
    if ((events & Interest.Writable) !== 0 && this.#refused) this.#drain?.()
  }

  #watch(): void {
    const read = this.#messages === undefined ? Interest.None : Interest.Readable
    const write = this.#refused && this.#drain !== undefined ? Interest.Writable : Interest.None
    const interest = read | write
    if (interest === this.#interest) return
    this.#handle.setInterest(interest)
    this.#interest = interest
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new NppError('NPP_QUEUE_CLOSED', `The queue ${this.name} was closed before this use.`)
  }
}

function given({ maxMessages, messageSize }: PosixQueueOptions): { maxMessages?: number; messageSize?: number } {
  return { ...(maxMessages === undefined ? {} : { maxMessages }), ...(messageSize === undefined ? {} : { messageSize }) }
}
