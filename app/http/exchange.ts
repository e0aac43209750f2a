import type { NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import type { CallAsync } from '../api.ts'
import { AnswerState } from './answer-state.ts'
import type { TrustedPeers } from './client.ts'
import { METHODS, type Method, type RequestParser } from './parser.ts'
import type { BodySource } from './body-stream.ts'
import type { Target } from './target-cache.ts'
import type { TakenConnection } from './taken-connection.ts'

/** What a request and its answer need of the engine. */
export interface ExchangeContext {
  /** Whose word on the client is taken; undefined where nobody's is. */
  readonly trustedPeers: TrustedPeers | undefined
  /** True for a connection by TLS. */
  isSecure(slot: number, generation: number): boolean
  /** Address of the other end of the connection, '' when it is gone. */
  addressOf(slot: number, generation: number): string
  nextRequestId(): string
  readonly callAsync: CallAsync
  /** The answer is complete. */
  answered(exchange: Exchange): void
  /** The answer is the file at this path. */
  sendFile(exchange: Exchange, path: string): void
  /** The answer is what the source makes. */
  stream(exchange: Exchange, source: BodySource): void
  /** The connection is the handler's, once it is free. */
  detach(exchange: Exchange): Promise<TakenConnection>
}

/** How the receiver finds the end of a body: by Content-Length, by the last chunk, or by the end of the connection. */
export const Framing = { Length: 0, Chunked: 1, Close: 2 } as const
export type Framing = (typeof Framing)[keyof typeof Framing]

/** RFC 9110 §15.3.5, §15.3.6, §15.4.5: answers of these have none, whatever the handler gives. */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 205 && status !== 304
}

/** What the response writer turns into bytes. */
export interface Answer {
  readonly statusCode: number
  /** Content-Type; '' for none. */
  readonly contentType: string
  /** What follows the header. */
  readonly body: string | Uint8Array
  /** Further fields, as the lines of the header that they become. */
  readonly fieldLines: string
  /** Bytes of the file that follows the header instead of a body; -1 without one. */
  readonly fileBytes: number
  readonly framing: Framing
  /** The client came by HTTPS. */
  readonly isSecure: boolean
  /** Security fields that the handler has set, or left out: bits of securityFieldOf. */
  readonly ownFields: number
}

/** The parameters of a path that has none. */
export const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})

export const NO_BYTES: Buffer = Buffer.alloc(0)
const HEAD_LINE = /^(?:\r\n)*HEAD /
const HEAD_LINE_BYTES = 'HEAD '.length
const NO_FIELDS = new Int32Array(0)
const NO_TARGET: Target = { raw: '', path: '', ended: undefined }

/**
 * A request and its answer, as data. HttpRequest and HttpResponse are what a handler holds of it: each is one reference, so that a request
 * which is answered at once costs two small objects, and this one serves the next. Where anything of it must outlive the answer it is given
 * away instead, and the engine takes a new one.
 */
export class Exchange implements Answer {
  readonly context: ExchangeContext
  /** The connection that waits. */
  slot = 0
  generation = 0
  /** When the request was complete, in milliseconds of the monotonic clock. */
  startedAt = 0

  // The request.
  method: Method = 'GET'
  target: Target = NO_TARGET
  params: Readonly<Record<string, string>> = NO_PARAMS
  minorVersion = 1
  keepAlive = true
  requestBody: Buffer = NO_BYTES
  /** The request's bytes are overwritten later, its body too unless it was copied. */
  isVolatile = false
  isBodyCopied = false
  /** The bytes are another request's by now. */
  isReleased = false
  /** It stands for all requests of its target that are over. */
  isShared = false
  id = ''
  query: URLSearchParams | undefined
  cookies: ReadonlyMap<string, string> | undefined
  /** For whoever wants to know when nobody waits for the answer any more. */
  aborter: AbortController | undefined
  /** Gives up the call that makes the answer, where one does. */
  giveUp: (() => void) | undefined
  bytes: Buffer = NO_BYTES
  base = 0
  fields: Int32Array = NO_FIELDS
  fieldCount = 0
  headerEnd = 0

  // The answer.
  statusCode = 200
  contentType = ''
  body: string | Uint8Array = ''
  fieldLines = ''
  fileBytes = -1
  framing: Framing = Framing.Length
  /** Set before the answer is put out, where there is HTTPS or a proxy that may say so; elsewhere it stays false. */
  isSecure = false
  ownFields = 0
  state: AnswerState = AnswerState.Open
  /** `write` was used: the end of the handler answers then. */
  isWritten = false

  constructor(context: ExchangeContext) {
    this.context = context
  }

  /** Takes up the request that `parser` has found at `bytes[base]`. It must be new, or `isReusable` after its last. */
  begin(slot: number, generation: number, parser: RequestParser, bytes: Buffer, base: number, target: Target, isVolatile: boolean): void {
    this.slot = slot
    this.generation = generation
    this.method = METHODS[parser.method] ?? 'GET'
    this.target = target
    this.minorVersion = parser.minorVersion
    this.keepAlive = parser.keepAlive
    if (parser.bodyEnd !== parser.bodyStart) this.requestBody = bytes.subarray(base + parser.bodyStart, base + parser.bodyEnd)
    this.isVolatile = isVolatile
    this.bytes = bytes
    this.base = base
    this.fields = parser.fields
    this.fieldCount = parser.fieldCount
    this.headerEnd = parser.headerEnd
    this.state = AnswerState.Open
    this.clearAnswer()
  }

  /** Takes up what `parser` has found of a request that begins at `bytes[base]` and was refused: perhaps not all of its fields. */
  beginRefused(parser: RequestParser, bytes: Buffer, base: number): void {
    this.bytes = bytes
    this.base = base
    this.fields = parser.fields
    this.fieldCount = parser.fieldCount
    // RFC 9112 §6.3: a client that has sent HEAD waits for no body, and would take one for the next answer.
    const end = Math.min(base + Limits.leadingEmptyBytes + HEAD_LINE_BYTES, bytes.byteLength)
    if (HEAD_LINE.test(bytes.latin1Slice(base, end))) this.method = 'HEAD'
  }

  /** Forgets what the handler has set. */
  clearAnswer(): void {
    this.statusCode = 200
    this.contentType = ''
    this.body = ''
    this.fieldLines = ''
    this.fileBytes = -1
    this.framing = Framing.Length
    this.ownFields = 0
    this.isWritten = false
  }

  /** Says what the other one says. */
  takeAnswer(other: Exchange): void {
    this.statusCode = other.statusCode
    this.contentType = other.contentType
    this.body = other.body
    this.fieldLines = other.fieldLines
    this.ownFields = other.ownFields
  }

  get answered(): boolean {
    return this.state !== AnswerState.Open
  }

  /** Takes the answer away from the handler, whose own then goes nowhere: its deadline has passed, or its client has. */
  expire(reason: NppError): void {
    this.state = AnswerState.Expired
    this.abort(reason)
    this.giveUp?.()
  }

  /** Tells who makes the answer that it should end. */
  abort(reason: NppError): void {
    this.aborter?.abort(reason)
  }

  /** Makes the request independent of the parser, and of bytes that are overwritten, for a handler that answers later. */
  retain(): void {
    this.fields = this.fields.slice(0, this.fieldCount * 4)
    if (!this.isVolatile) return
    this.bytes = Buffer.from(this.bytes.subarray(this.base, this.base + this.headerEnd))
    this.base = 0
    if (!this.isBodyCopied && this.requestBody.byteLength > 0) this.requestBody = Buffer.from(this.requestBody)
    this.isBodyCopied = true
  }

  /** Ends the reading of fields: the table belongs to the next request, whose client must not be seen here. */
  release(): void {
    this.isReleased = true
    this.bytes = NO_BYTES
    this.fields = NO_FIELDS
  }

  /** True when nothing of the request would be missed but what `ended` has: the next request may have this object. */
  get isReusable(): boolean {
    return (
      this.params === NO_PARAMS &&
      this.requestBody === NO_BYTES &&
      this.id === '' &&
      this.query === undefined &&
      this.cookies === undefined &&
      this.aborter === undefined
    )
  }

  /**
   * What a handler sees of a request that it has answered and whose exchange serves another: method, target and path. All requests of the
   * same target share it.
   */
  ended(): Exchange {
    const { ended } = this.target
    if (ended?.method === this.method) return ended
    const fresh = new Exchange(this.context)
    fresh.method = this.method
    fresh.target = this.target
    fresh.state = AnswerState.Answered
    fresh.isShared = true
    fresh.release()
    this.target.ended = fresh
    return fresh
  }

  /** Another answer to the same request, for when this one has expired. */
  successor(): Exchange {
    const next = new Exchange(this.context)
    next.slot = this.slot
    next.generation = this.generation
    next.startedAt = this.startedAt
    next.method = this.method
    next.target = this.target
    next.minorVersion = this.minorVersion
    next.keepAlive = this.keepAlive
    next.id = this.id
    // The fields of one that was retained stay readable: the answer goes by what they ask for.
    next.bytes = this.bytes
    next.base = this.base
    next.fields = this.fields
    next.headerEnd = this.headerEnd
    next.fieldCount = this.fieldCount
    next.isReleased = this.isReleased
    return next
  }
}
