import { BatchWriter } from '../ipc/batch-writer.ts'
import { bodyOf, encodeBody, formOf } from '../ipc/body.ts'
import { BodyForm, EncodeError, FrameKind, replyBytes } from '../ipc/frame.ts'
import type { MessageQueue } from '../ipc/message-queue.ts'
import type { Log } from '../shared/log.ts'
import type { RunningCall } from './running-call.ts'

/** Characters of a code and of a message that a failure carries at the most: they are for a log. */
const CODE_LENGTH = 100
const MESSAGE_LENGTH = 1000

/** Replies on their way to the engine: they gather in one message, which leaves when `flush` is called or when it is full. */
export class ReplyBox {
  readonly #replies: MessageQueue
  readonly #writer: BatchWriter
  readonly #log: Log
  readonly #emptied: () => void
  /** Messages that are complete and found no room. */
  #complete: Buffer[] = []
  /** The queue had no room when it was last asked. */
  #isBlocked = false
  #isClosed = false

  /** `emptied` is told when the queue has taken all that it had no room for. */
  constructor(replies: MessageQueue, log: Log, emptied: () => void) {
    this.#replies = replies
    this.#log = log
    this.#emptied = emptied
    this.#writer = new BatchWriter(replies.messageSize, process.pid)
    replies.onDrain(() => this.flush())
  }

  /** True while replies wait for room. */
  get isBlocked(): boolean {
    return this.#isBlocked
  }

  get isEmpty(): boolean {
    return this.#writer.frames === 0 && this.#complete.length === 0
  }

  /** Drops what it holds and whatever comes: the queue is closed, and nobody waits any more. */
  close(): void {
    this.#isClosed = true
    this.#replies.onDrain(undefined)
  }

  /** Puts the result of the call in. */
  reply(call: RunningCall, value: unknown, runMicros: number): void {
    const body = bodyOf(value)
    if (body instanceof EncodeError) {
      const reason = `the result of ${call.name} cannot be sent: ${body.reason}`
      this.#log.error({ service: call.name }, reason)
      this.failure(call, 'NPP_CALL_INPUT', reason, runMicros)
      return
    }
    if (!call.wantsReply) return
    const bytes = replyBytes(body.byteLength)
    if (bytes > this.#replies.messageSize) {
      const reason = `the result of ${call.name} takes ${bytes} bytes; a message holds ${this.#replies.messageSize}`
      this.#log.error({ service: call.name }, reason)
      this.failure(call, 'NPP_REPLY_TOO_LARGE', reason, runMicros)
      return
    }
    this.#put(call, call.kind === FrameKind.PageCall ? FrameKind.PageReply : FrameKind.Reply, formOf(value), body, runMicros)
  }

  /** Puts in that the call failed. */
  failure(call: RunningCall, code: string, message: string, runMicros: number): void {
    if (!call.wantsReply) return
    const shortCode = code.slice(0, CODE_LENGTH)
    // Half of the text each time: where queues are small, it may have no room as a whole.
    for (let length = MESSAGE_LENGTH; ; length >>= 1) {
      const body = encodeBody({ code: shortCode, message: message.slice(0, length) })
      if (body instanceof EncodeError) return
      if (length > 0 && replyBytes(body.byteLength) > this.#replies.messageSize) continue
      this.#put(call, FrameKind.Failure, BodyForm.Packed, body, runMicros)
      return
    }
  }

  /** Puts in what a service says of itself, for any engine. */
  announce(declaration: object): void {
    const body = encodeBody(declaration)
    if (!(body instanceof EncodeError)) this.#append(0, 0, FrameKind.Announcement, 0, 0, 0, BodyForm.Packed, body)
  }

  /** Sends what there is, as far as there is room. */
  flush(): void {
    if (this.#isClosed || this.isEmpty) return
    const replies = this.#replies
    while (this.#complete.length > 0) {
      if (!replies.push(this.#complete[0]!)) return
      this.#complete.shift()
    }
    const writer = this.#writer
    if (writer.frames > 0) {
      if (!replies.push(writer.bytes, 0, writer.length)) {
        this.#isBlocked = true
        return
      }
      writer.begin(writer.engine, writer.epoch)
    }
    if (!this.#isBlocked) return
    this.#isBlocked = false
    replies.cancelDrain()
    this.#emptied()
  }

  #put(to: RunningCall, kind: FrameKind, form: BodyForm, body: Uint8Array, runMicros: number): void {
    this.#append(to.engine, to.epoch, kind, to.call, to.generation, runMicros, form, body)
  }

  #append(
    engine: number,
    epoch: number,
    kind: FrameKind,
    call: number,
    generation: number,
    runMicros: number,
    form: BodyForm,
    body: Uint8Array,
  ): void {
    if (this.#isClosed) return
    const writer = this.#writer
    if (engine !== writer.engine || epoch !== writer.epoch) {
      this.#completeMessage()
      writer.begin(engine, epoch)
    }
    if (writer.reply(kind, call, generation, runMicros, form, body)) return
    this.#completeMessage()
    writer.reply(kind, call, generation, runMicros, form, body)
  }

  /** Sends the message in the making, or puts it aside where there is no room. */
  #completeMessage(): void {
    const writer = this.#writer
    if (writer.frames === 0) return
    this.flush()
    if (writer.frames === 0) return
    this.#complete.push(Buffer.from(writer.bytes.subarray(0, writer.length)))
    writer.begin(writer.engine, writer.epoch)
  }
}
