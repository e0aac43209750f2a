import { BatchWriter } from '../ipc/batch-writer.ts'
import { bodyOf, encodeBody, formOf } from '../ipc/body.ts'
import { BodyForm, EncodeError, FrameKind, SPILLED, replyBytes } from '../ipc/frame.ts'
import type { MessageQueue } from '../ipc/message-queue.ts'
import type { PayloadStore } from '../ipc/payload-store.ts'
import { messageOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { Log } from '../shared/log.ts'
import type { RunningCall } from './running-call.ts'

/** Characters of a code and of a message that a failure carries at the most: they are for a log. */
const CODE_LENGTH = 100
const MESSAGE_LENGTH = 1000
/** In place of the bytes of a result. */
export const FAILURE = -1

/** A reply that is sent in parts. */
interface PartedReply {
  readonly to: RunningCall
  readonly kind: FrameKind
  readonly form: BodyForm
  payload: Uint8Array
  readonly runMicros: number
  /** Bytes that are in messages. */
  sent: number
}

/**
 * Replies on their way to the engine: they gather in one message, which leaves when `flush` is called or when it is full. A large one is spilled,
 * or takes as many messages as it needs, which leave at once.
 */
export class ReplyBox {
  /** Bytes of the result that was put in last, or FAILURE. */
  lastBytes = 0
  readonly #replies: MessageQueue
  readonly #writer: BatchWriter
  readonly #log: Log
  readonly #emptied: () => void
  readonly #payloads: PayloadStore | undefined
  readonly #mostBytes: number
  /** Messages that are complete and found no room. */
  #complete: Buffer[] = []
  /** Replies that are not all in messages; they follow the message in the making. */
  #parted: PartedReply[] = []
  #isSpillFailing = false
  /** The queue had no room when it was last asked. */
  #isBlocked = false
  #isClosed = false

  /** `emptied` is told when the queue has taken all that it had no room for. Without `payloads` a reply has the size of a message at the most. */
  constructor(replies: MessageQueue, log: Log, emptied: () => void, payloads?: PayloadStore) {
    this.#replies = replies
    this.#log = log
    this.#emptied = emptied
    this.#payloads = payloads
    this.#mostBytes = payloads?.mostBytes ?? Infinity
    this.#writer = new BatchWriter(replies.messageSize, process.pid)
    replies.onDrain(() => this.flush())
  }

  /** True while replies wait for room. */
  get isBlocked(): boolean {
    return this.#isBlocked
  }

  get isEmpty(): boolean {
    return this.#writer.frames === 0 && this.#complete.length === 0 && this.#parted.length === 0
  }

  /** Drops what it holds and whatever comes: the queue is closed, and nobody waits any more. */
  close(): void {
    this.#isClosed = true
    this.#parted = []
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
    this.lastBytes = body.byteLength
    if (!call.wantsReply) return
    const kind = call.kind === FrameKind.PageCall ? FrameKind.PageReply : FrameKind.Reply
    if (replyBytes(body.byteLength) > this.#replies.messageSize || body.byteLength > this.#mostBytes)
      this.#putLarge(call, kind, formOf(value), body, runMicros)
    else this.#put(call, kind, formOf(value), body, runMicros)
  }

  /** Puts in that the call failed. */
  failure(call: RunningCall, code: string, message: string, runMicros: number): void {
    this.lastBytes = FAILURE
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

  /** Puts in what a service says of itself, for any engine; undefined says that the process is here. */
  announce(declaration: object | undefined): void {
    const body = bodyOf(declaration)
    if (!(body instanceof EncodeError)) this.#append(0, 0, FrameKind.Announcement, 0, 0, 0, formOf(declaration), body)
  }

  #putLarge(call: RunningCall, kind: FrameKind, form: BodyForm, payload: Uint8Array, runMicros: number): void {
    if (this.#isClosed) return
    const bytes = payload.byteLength
    if (this.#payloads === undefined || bytes > this.#mostBytes) {
      const bound = this.#payloads === undefined ? `a message holds ${this.#replies.messageSize}` : `maxCallBytes allows ${this.#mostBytes}`
      const reason = `the result of ${call.name} has ${bytes} bytes; ${bound}`
      this.#log.error({ service: call.name }, reason)
      this.failure(call, 'NPP_REPLY_TOO_LARGE', reason, runMicros)
      return
    }
    const reference = bytes > Limits.spillBytes ? this.#spill(this.#payloads, payload) : undefined
    if (reference !== undefined) {
      this.#append(call.engine, call.epoch, kind, call.call, call.generation, runMicros, form | SPILLED, reference)
      return
    }
    const parted = { to: call, kind, form, payload, runMicros, sent: 0 }
    this.#parted.push(parted)
    this.flush()
    // What the service has replied as bytes it may change once it goes on. MessagePack is ours.
    if (form === BodyForm.Packed || parted.sent === bytes) return
    parted.payload = new Uint8Array(payload)
  }

  /** Undefined where there is no room in memory: the reply then takes longer, but is not lost. */
  #spill(payloads: PayloadStore, payload: Uint8Array): Uint8Array | undefined {
    try {
      const reference = payloads.put(payload)
      this.#isSpillFailing = false
      return reference
    } catch (error) {
      if (!this.#isSpillFailing) this.#log.warn({ reason: messageOf(error) }, 'large replies travel in messages: they cannot be spilled')
      this.#isSpillFailing = true
      return undefined
    }
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
    for (;;) {
      this.#putParts()
      if (writer.frames === 0) break
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

  /** Puts parts into the message in the making, as far as it has room. */
  #putParts(): void {
    const writer = this.#writer
    while (this.#parted.length > 0) {
      const reply = this.#parted[0]!
      const { to, kind, form, payload, runMicros } = reply
      if (to.engine !== writer.engine || to.epoch !== writer.epoch) {
        if (writer.frames > 0) return
        writer.begin(to.engine, to.epoch)
      }
      const put = writer.part(kind, to.call, to.generation, runMicros, form, payload, reply.sent)
      reply.sent += put
      if (reply.sent < payload.byteLength) return
      this.#parted.shift()
    }
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
    form: number,
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
