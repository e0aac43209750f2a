import { NppError } from '../shared/errors.ts'
import { priorityOf } from './frame.ts'
import type { MessageQueue } from './message-queue.ts'
import { PosixQueue } from './posix-queue.ts'

/*
 * Who lives is told by locks on the queues themselves, which the kernel takes back when a process dies, however it dies: the engine holds byte 0,
 * each service the byte 2 + its pid. No file has to be written, and none is left behind. On byte 1 of the request queue the engine says that
 * the rest is there too: before, the other names may lead to what the engine before it left.
 */
export const ENGINE_LOCK = 0
export const READY_LOCK = 1
export const FIRST_SERVICE_LOCK = 2
export const TO_THE_END = 0
export const NOBODY = -1

/** The queue under a name, made and locked by this process; undefined where another engine has it, or was quicker. */
export function claimQueue(
  name: string,
  size: { readonly maxMessages?: number; readonly messageSize?: number } = {},
): PosixQueue | undefined {
  const found = PosixQueue.open({ name, create: true, ...size })
  // Between open and lock somebody may have removed the name: then this queue is nobody's.
  if (!found.lock(ENGINE_LOCK, true) || !found.isCurrent()) {
    found.close()
    return undefined
  }
  if (found.created) return found
  // A dead engine left it. Services may be attached to it that do not know yet: whatever they take from it or put into it shall be nobody's.
  PosixQueue.unlink(name)
  found.close()
  let fresh: PosixQueue
  try {
    fresh = PosixQueue.open({ name, create: true, exclusive: true, ...size })
  } catch (error) {
    if (error instanceof NppError && error.code === 'NPP_QUEUE_EXISTS') return undefined
    throw error
  }
  if (fresh.lock(ENGINE_LOCK, true)) return fresh
  fresh.close()
  return undefined
}

/**
 * An engine's end of a queue that outlives the loss of its name: when the name was removed, `renew` makes a queue under it again. What is
 * pushed goes into the newest; what lies in the former ones is taken too, for as long as services have them.
 */
export class OwnedQueue implements MessageQueue {
  readonly name: string
  readonly maxMessages: number
  readonly messageSize: number
  #queue: PosixQueue
  #former: PosixQueue[] = []
  #messages: (() => void) | undefined
  #drain: (() => void) | undefined
  /** The last push was refused, and nobody has forgotten it. */
  #refused = false
  readonly #forwards: boolean
  #isReady = false
  /** A message of a former queue that the newest had no room for. */
  #inHand: Buffer | undefined

  /** `queue` was made by claimQueue. What lies in former queues is forwarded, for others to take, or is for us. */
  constructor(queue: PosixQueue, forwards: boolean) {
    this.#forwards = forwards
    this.name = queue.name
    this.maxMessages = queue.maxMessages
    this.messageSize = queue.messageSize
    this.#queue = queue
  }

  /** Whether there are queues that had the name before. */
  get hasFormer(): boolean {
    return this.#former.length > 0
  }

  isCurrent(): boolean {
    return this.#queue.isCurrent()
  }

  /** Lets services attach: all that they need is there. */
  open(): void {
    this.#isReady = this.#queue.lock(READY_LOCK, true)
  }

  /**
   * Makes a queue under the name again; false where another engine has one there. Throws NppError NPP_QUEUE_LIMIT and others as
   * PosixQueue.open does; then all is as it was.
   */
  renew(): boolean {
    const { name, maxMessages, messageSize } = this
    const fresh = claimQueue(name, { maxMessages, messageSize })
    if (fresh === undefined) return false
    const before = this.#queue
    this.#former.push(before)
    this.#queue = fresh
    if (this.#isReady) fresh.lock(READY_LOCK, true)
    before.onDrain(undefined)
    before.cancelDrain()
    fresh.onMessages(this.#messages)
    fresh.onDrain(this.#drain)
    // There is room where there was none.
    if (this.#refused) setImmediate(() => this.#drain?.())
    return true
  }

  /**
   * Puts what lies in former queues into the newest; false where that has no room left. Before each push, so that nobody who has waited longer
   * is overtaken, and now and then.
   */
  forward(): boolean {
    for (const former of this.#former) {
      for (;;) {
        this.#inHand ??= take(former)
        if (this.#inHand === undefined) break
        if (!this.#queue.push(this.#inHand, 0, this.#inHand.byteLength, priorityOf(this.#inHand))) {
          if (!this.#refused) this.#queue.cancelDrain()
          return false
        }
        this.#inHand = undefined
      }
    }
    return true
  }

  /** Closes the former queues that no service has and nothing lies in. */
  closeUnused(): void {
    if (this.#inHand !== undefined) return
    this.#former = this.#former.filter((queue) => {
      // In this order: what a service puts in before it goes is seen.
      if (isUsed(queue) || queue.count() > 0) return true
      queue.close()
      return false
    })
  }

  /** Whether a service has the queue open, or one that had its name before. */
  isUsed(): boolean {
    return isUsed(this.#queue) || this.#former.some(isUsed)
  }

  /** Pids of the services that have. */
  users(): number[] {
    const pids = [this.#queue, ...this.#former].flatMap((queue) =>
      lockedOffsets(queue, FIRST_SERVICE_LOCK, TO_THE_END).map((offset) => offset - FIRST_SERVICE_LOCK),
    )
    return [...new Set(pids)]
  }

  push(bytes: Uint8Array, start?: number, end?: number, priority?: number): boolean {
    const isNext = this.#former.length === 0 || !this.#forwards || this.#forwardFirst()
    const taken = isNext && this.#queue.push(bytes, start, end, priority)
    this.#refused = !taken
    return taken
  }

  shift(into: Uint8Array): number {
    const length = this.#queue.shift(into)
    return length !== -1 || this.#former.length === 0 ? length : this.#shiftFormer(into)
  }

  count(): number {
    return this.#former.reduce((sum, queue) => sum + queue.count(), this.#queue.count())
  }

  onMessages(listener: (() => void) | undefined): void {
    this.#messages = listener
    this.#queue.onMessages(listener)
    for (const queue of this.#former) queue.onMessages(listener)
  }

  onDrain(listener: (() => void) | undefined): void {
    this.#drain = listener
    this.#queue.onDrain(listener)
  }

  cancelDrain(): void {
    this.#refused = false
    this.#queue.cancelDrain()
  }

  close(): void {
    this.#messages = undefined
    this.#drain = undefined
    for (const queue of [this.#queue, ...this.#former.splice(0)]) queue.close()
  }

  /** Removes the name, unless it leads to another's queue by now, and closes. */
  end(): void {
    if (this.#queue.isCurrent()) PosixQueue.unlink(this.name)
    this.close()
  }

  /** False means that the queue has refused a message, and so tells of room. */
  #forwardFirst(): boolean {
    this.#refused = true
    return this.forward()
  }

  #shiftFormer(into: Uint8Array): number {
    for (const queue of this.#former) {
      const length = queue.shift(into)
      if (length !== -1) return length
    }
    return -1
  }
}

/** A copy of the next message, undefined where there is none. */
function take(queue: PosixQueue): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(queue.messageSize)
  const length = queue.shift(bytes)
  return length === -1 ? undefined : bytes.subarray(0, length)
}

function isUsed(queue: PosixQueue): boolean {
  return queue.lockedIn(FIRST_SERVICE_LOCK, TO_THE_END) !== NOBODY
}

/** All offsets that others have locked in [from, to]. A query finds some lock in a range, so the rest on both sides is asked again. */
function lockedOffsets(queue: PosixQueue, from: number, to: number): number[] {
  const found = queue.lockedIn(from, to)
  if (found === NOBODY || found < from) return []
  const before = found > from ? lockedOffsets(queue, from, found - 1) : []
  const after = to === TO_THE_END || found < to ? lockedOffsets(queue, found + 1, to) : []
  return [...before, found, ...after]
}
