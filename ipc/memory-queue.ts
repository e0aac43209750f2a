import { NppError } from '../shared/errors.ts'
import type { MessageQueue } from './message-queue.ts'

const PRIORITIES = 32

export interface MemoryQueueOptions {
  /** For messages to people; nothing is looked up by it. */
  readonly name: string
  readonly maxMessages: number
  /** Bytes. */
  readonly messageSize: number
}

/** A queue within this process; each `open` gives an end of it, as each opening of a POSIX queue does. */
export interface MemoryQueue {
  readonly name: string
  open(): MessageQueue
}

/** Makes a queue that lives in this process alone. Throws NppError NPP_QUEUE_ARGUMENT for sizes that are no integers from 1. */
export function createMemoryQueue(options: MemoryQueueOptions): MemoryQueue {
  const { name, maxMessages, messageSize } = options
  if (!Number.isSafeInteger(maxMessages) || maxMessages < 1 || !Number.isSafeInteger(messageSize) || messageSize < 1) {
    throw new NppError('NPP_QUEUE_ARGUMENT', `The queue ${name}: maxMessages and messageSize are integers from 1.`)
  }
  const store: Store = { name, maxMessages, messageSize, levels: Array.from({ length: PRIORITIES }, () => []), count: 0, ends: new Set() }
  return { name, open: () => new MemoryQueueEnd(store) }
}

interface Store {
  readonly name: string
  readonly maxMessages: number
  readonly messageSize: number
  /** Messages by priority, oldest first. */
  readonly levels: readonly Uint8Array[][]
  count: number
  readonly ends: Set<MemoryQueueEnd>
}

function isIndex(value: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= most
}

class MemoryQueueEnd implements MessageQueue {
  readonly name: string
  readonly maxMessages: number
  readonly messageSize: number
  readonly #store: Store
  #messages: (() => void) | undefined
  #drain: (() => void) | undefined
  #refused = false
  #turn: NodeJS.Immediate | undefined
  #closed = false

  constructor(store: Store) {
    this.name = store.name
    this.maxMessages = store.maxMessages
    this.messageSize = store.messageSize
    this.#store = store
    store.ends.add(this)
  }

  push(bytes: Uint8Array, start = 0, end: number = bytes.length, priority = 0): boolean {
    const store = this.#open()
    if (!(bytes instanceof Uint8Array)) throw this.#fault('a message is a Uint8Array')
    if (!isIndex(end, bytes.length) || !isIndex(start, end))
      throw this.#fault('start and end are integers, 0 <= start <= end <= length of the bytes')
    const level = isIndex(priority, PRIORITIES - 1) ? store.levels[priority] : undefined
    if (level === undefined) throw this.#fault('a priority is an integer from 0 to 31')
    if (end - start > store.messageSize) throw this.#fault('the message is longer than messageSize')
    this.#refused = store.count >= store.maxMessages
    if (this.#refused) {
      this.look()
      return false
    }
    // A copy; slice of a Buffer would be a view.
    level.push(new Uint8Array(bytes.subarray(start, end)))
    store.count++
    for (const other of store.ends) other.look()
    return true
  }

  shift(into: Uint8Array): number {
    const store = this.#open()
    if (!(into instanceof Uint8Array) || into.length < store.messageSize) {
      throw this.#fault('shift takes a Uint8Array of messageSize bytes or more')
    }
    const message = store.levels.findLast((level) => level.length > 0)?.shift()
    if (message === undefined) return -1
    into.set(message)
    store.count--
    for (const other of store.ends) other.look()
    return message.length
  }

  count(): number {
    return this.#open().count
  }

  onMessages(listener: (() => void) | undefined): void {
    this.#open()
    this.#messages = listener
    this.look()
  }

  onDrain(listener: (() => void) | undefined): void {
    this.#open()
    this.#drain = listener
    this.look()
  }

  cancelDrain(): void {
    this.#refused = false
  }

  close(): void {
    this.#closed = true
    this.#store.ends.delete(this)
    this.#messages = undefined
    this.#drain = undefined
    clearImmediate(this.#turn)
    this.#turn = undefined
  }

  /** Arms the next turn when there is something to tell in it. */
  look(): void {
    if (this.#turn === undefined && (this.#readable() || this.#writable())) this.#turn = setImmediate(() => this.#tell())
  }

  #tell(): void {
    this.#turn = undefined
    try {
      const writable = this.#writable()
      if (this.#readable()) this.#messages?.()
      // As with a POSIX queue: the first listener may have pushed, cancelled or closed.
      if (writable && this.#writable()) this.#drain?.()
    } finally {
      // Level-triggered: what is still ready is told again, also when a listener threw.
      this.look()
    }
  }

  #readable(): boolean {
    return this.#messages !== undefined && this.#store.count > 0
  }

  #writable(): boolean {
    return this.#refused && this.#drain !== undefined && this.#store.count < this.#store.maxMessages
  }

  #open(): Store {
    if (this.#closed) throw new NppError('NPP_QUEUE_CLOSED', `The queue ${this.name} was closed before this use.`)
    return this.#store
  }

  #fault(message: string): NppError {
    return new NppError('NPP_QUEUE_ARGUMENT', `The queue ${this.name}: ${message}.`)
  }
}
