import type { MessageQueue } from '../../ipc/message-queue.ts'

/** A queue that somebody floods: there is always another message. Throws when it is asked for more than any bound would allow. */
export class EndlessQueue implements MessageQueue {
  readonly name = 'endless'
  readonly maxMessages = 10
  readonly messageSize: number
  /** Messages that were taken. */
  taken = 0
  readonly #message: Buffer
  readonly #most: number
  #listener: (() => void) | undefined

  constructor(message: Buffer, messageSize: number, most = 100_000) {
    this.messageSize = messageSize
    this.#message = message
    this.#most = most
  }

  push(): boolean {
    return true
  }

  shift(into: Uint8Array): number {
    if (++this.taken > this.#most) throw new Error(`${this.#most} messages were taken in one go`)
    into.set(this.#message)
    return this.#message.byteLength
  }

  count(): number {
    return this.maxMessages
  }

  onMessages(listener: (() => void) | undefined): void {
    this.#listener = listener
  }

  /** A turn of the event loop in which there are messages. */
  turn(): void {
    this.#listener?.()
  }

  onDrain(): void {}
  cancelDrain(): void {}
  close(): void {}
}
