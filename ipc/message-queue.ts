/**
 * A bounded queue of messages between processes, as POSIX message queues are. Two implementations, posix-queue and memory-queue, pass the
 * same contract tests.
 *
 * Readiness is level-triggered: while the queue holds messages and reading is on, `messages` is told on every turn of the event loop;
 * after a push was refused, `drain` is told on every turn with room until a push is made or `cancelDrain` is called. No wake-up is lost,
 * whatever other processes do between a call and the next wait.
 */
export interface MessageQueue {
  /** As given to open, for messages to people. */
  readonly name: string
  /** Messages that the queue holds at the most. */
  readonly maxMessages: number
  /** Bytes that a message may have at the most. */
  readonly messageSize: number

  /**
   * Puts `bytes[start, end)` into the queue as one message; true when it is in, false when the queue was full, and then `drain` will be
   * told. Priority 0 (default) to 31; higher comes out first. Throws NppError NPP_QUEUE_ARGUMENT for a message over messageSize, and
   * NPP_QUEUE_CLOSED after close.
   */
  push(bytes: Uint8Array, start?: number, end?: number, priority?: number): boolean

  /** Takes the next message into `into`, which has at least messageSize bytes. Returns its length in bytes, or -1 when the queue is empty. */
  shift(into: Uint8Array): number

  /** Messages in the queue now. */
  count(): number

  /** Who is told of readiness; undefined (the state after open) for nobody, which lets the process end. */
  onMessages(listener: (() => void) | undefined): void
  onDrain(listener: (() => void) | undefined): void
  /** Forgets that a push was refused: the caller has nothing to push any more. */
  cancelDrain(): void

  /** Stops all readiness and gives the descriptor back. Closing twice does nothing. */
  close(): void
}
