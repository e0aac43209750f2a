import { Readable } from 'node:stream'
import '../../shared/bytes.ts'
import { NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'

/** What a body may be made of, piece by piece. */
export type BodySource = Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>

/** Where the pieces of a body go. */
export interface BodySink {
  /** The client has not taken what was written; `drained` of the stream tells when it has. */
  readonly isBlocked: boolean
  /** The sink has the bytes to itself. */
  write(bytes: Buffer): void
  /** The body is complete. */
  finished(): void
  /** The source threw, or made what no body is made of: the body will not be completed. */
  failed(error: unknown): void
  /** The source failed after its client had gone, which hurts nobody. */
  failedLate(error: unknown): void
}

const LAST_CHUNK = Buffer.from('0\r\n\r\n')
/** What a piece costs, however small it is. */
const PIECE_COST = 64

export function isBodySource(value: unknown): value is BodySource {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)
}

/** Gives up a source that nobody has begun to read. */
export function abandon(source: BodySource): void {
  if (source instanceof Readable) source.destroy()
}

/**
 * Writes what a source makes, in chunks (RFC 9112 §7.1) or as it is, and asks for no more than the client takes. The source is told when
 * nobody listens any more: `return` of its iterator is called.
 */
export class BodyStream {
  /** Bytes of the body that were written. */
  bodyBytes = 0
  readonly #source: BodySource
  readonly #isChunked: boolean
  readonly #sink: BodySink
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown>
  #isOver = false
  #goOn: (() => void) | undefined

  constructor(source: BodySource, isChunked: boolean, sink: BodySink) {
    this.#source = source
    this.#isChunked = isChunked
    this.#sink = sink
    this.#iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  }

  /** Begins; resolves when the body is over, however it ended. Never rejects. */
  async run(): Promise<void> {
    try {
      await this.#pump()
    } catch (error) {
      if (this.#isOver) this.#sink.failedLate(error)
      else {
        this.#isOver = true
        this.#release()
        this.#sink.failed(error)
      }
    }
  }

  /** The client has taken what was written. */
  drained(): void {
    this.#goOn?.()
  }

  /** The client is gone. */
  gone(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#goOn?.()
    this.#release()
  }

  async #pump(): Promise<void> {
    let cost = 0
    for (;;) {
      // A source that waits for nothing would keep all others from being served.
      if (cost >= Limits.streamTurnBytes) {
        cost = 0
        await new Promise<void>((resolve) => {
          setImmediate(resolve)
        })
      }
      if (this.#sink.isBlocked && !this.#isOver) {
        await new Promise<void>((resolve) => {
          this.#goOn = resolve
        })
        this.#goOn = undefined
      }
      if (this.#isOver) return
      const { done, value } = await this.#iterator.next()
      if (this.#isOver) return
      if (done === true) {
        this.#isOver = true
        if (this.#isChunked) this.#sink.write(Buffer.from(LAST_CHUNK))
        this.#sink.finished()
        return
      }
      cost += this.#write(value) + PIECE_COST
    }
  }

  #write(value: unknown): number {
    if (typeof value !== 'string' && !(value instanceof Uint8Array))
      throw new NppError('NPP_HANDLER_FAILED', `res.stream was given a piece that is neither a string nor bytes, but ${typeof value}`)
    const length = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
    // A chunk of no bytes would be the last one.
    if (length === 0) return 0
    const size = this.#isChunked ? `${length.toString(16)}\r\n` : ''
    const bytes = Buffer.allocUnsafeSlow(size.length + length + (this.#isChunked ? 2 : 0))
    bytes.latin1Write(size, 0, size.length)
    if (typeof value === 'string') bytes.utf8Write(value, size.length, length)
    else bytes.set(value, size.length)
    if (this.#isChunked) bytes.latin1Write('\r\n', size.length + length, 2)
    this.bodyBytes += length
    this.#sink.write(bytes)
    return length
  }

  /** A generator that waits inside `next` hears of `return` only when that is over; a stream of Node's is ended from outside. */
  #release(): void {
    if (this.#source instanceof Readable) this.#source.destroy()
    const told = this.#iterator.return?.()
    if (told instanceof Promise) told.catch((error: unknown) => this.#sink.failedLate(error))
  }
}
