import { STATUS_CODES } from 'node:http'
import '../../shared/bytes.ts'
import type { Clock } from '../../shared/clock.ts'
import { Limits } from '../../shared/limits.ts'
import { Framing, hasBody, type Answer } from './exchange.ts'
import type { SecurityFields } from './security-fields.ts'

/** What the header says of the connection: nothing, where the version's default holds (RFC 9112 §9.3). */
export const Persistence = { Default: 0, Close: 1, KeepAlive: 2 } as const
export type Persistence = (typeof Persistence)[keyof typeof Persistence]

/** What to say so that the client of this minor version of HTTP/1 knows. */
export function persistenceOf(close: boolean, minorVersion: number): Persistence {
  if (close) return Persistence.Close
  return minorVersion === 0 ? Persistence.KeepAlive : Persistence.Default
}

const PERSISTENCE_LINES = ['', 'Connection: close\r\n', 'Connection: keep-alive\r\n'] as const
const HEAD_END = '\r\n\r\n'
const CR = 13
const LF = 10
const ZERO = 48
/** Bytes of status line, Date, Connection and Content-Length. */
const HEAD_ALLOWANCE = 256
const MOST_UTF8_A_UNIT = 3
/** Prefixes kept at the most: a site that makes up content types must not fill the memory. */
const PREFIXES_KEPT = 64

/**
 * Turns responses into bytes, one after the other in an arena, so that all answers to one read leave in one write. The body is written
 * first, behind exactly the room that its header will take, and the header right before it: no length is measured twice, nothing is joined.
 */
export class ResponseWriter {
  /** What has been appended: bytes[0, cursor). */
  bytes: Buffer = Buffer.allocUnsafeSlow(Limits.outputArenaBytes)
  cursor = 0
  /** Bytes of the body of the last response. */
  bodyBytes = 0

  readonly #clock: Pick<Clock, 'wall'>
  readonly #security: SecurityFields
  /** Bytes of a head besides the fields of the handler and the type, at the most. */
  readonly #headBytes: number
  #secondEnd = 0
  #lastType: string | undefined
  #lastIsSecure = false
  #lastPrefix: Buffer = Buffer.alloc(0)
  #date = ''
  /** Heads up to and with 'Content-Length: ', by content type, of the plain 200 that most answers are. Good for a second. */
  readonly #prefixes = new Map<string, Buffer>()
  readonly #securePrefixes = new Map<string, Buffer>()

  constructor(clock: Pick<Clock, 'wall'>, security: SecurityFields) {
    this.#clock = clock
    this.#security = security
    this.#headBytes = HEAD_ALLOWANCE + security.secure.length
  }

  /** True when the arena has room left for the response; one that wants a buffer of its own never fits. */
  fits({ body, fieldLines, contentType }: Answer): boolean {
    const fieldBytes = fieldLines.length + contentType.length
    const most = typeof body === 'string' ? body.length * MOST_UTF8_A_UNIT : body.byteLength
    return (
      body.length <= Limits.arenaBodyBytes &&
      fieldBytes <= Limits.arenaFieldBytes &&
      this.bytes.byteLength - this.cursor - this.#headBytes >= most + fieldBytes
    )
  }

  /** Appends the response to the arena, which must have room. */
  append(response: Answer, persistence: Persistence, withoutBody: boolean): void {
    this.cursor = this.#put(this.bytes, this.cursor, response, persistence, withoutBody)
  }

  /** The response in a buffer of its own, which the caller keeps. */
  alone(response: Answer, persistence: Persistence, withoutBody: boolean): Buffer {
    const body = typeof response.body === 'string' ? Buffer.byteLength(response.body) : response.body.byteLength
    const bytes = Buffer.allocUnsafeSlow(response.fieldLines.length + response.contentType.length + this.#headBytes + body)
    return bytes.subarray(0, this.#put(bytes, 0, response, persistence, withoutBody))
  }

  /** Works in memory of the transport's, from which nothing has to be copied, instead of its own. */
  use(arena: Buffer): void {
    this.bytes = arena
    this.cursor = 0
  }

  /** Takes a new arena after the old one was handed away; `bytes[0, kept)` moves over. */
  renew(kept: number): void {
    const bytes = Buffer.allocUnsafeSlow(Limits.outputArenaBytes)
    this.bytes.copy(bytes, 0, 0, kept)
    this.bytes = bytes
    this.cursor = kept
  }

  /** Writes header and body to `target` from `at` on, and returns where they end. */
  #put(target: Buffer, at: number, response: Answer, persistence: Persistence, withoutBody: boolean): number {
    this.#refreshDate()
    if (!hasBody(response.statusCode)) {
      this.bodyBytes = 0
      // RFC 9110 §8.6: no Content-Length in 204; a 304 says nothing of a body that it has not. §15.3.6: 205 says that it has none.
      const length = response.statusCode === 205 ? 'Content-Length: 0\r\n' : ''
      const head = `${this.#headText(response, persistence)}${length}\r\n`
      return at + target.latin1Write(head, at, head.length)
    }
    if (response.fileBytes >= 0) {
      this.bodyBytes = withoutBody ? 0 : response.fileBytes
      const head = `${this.#headText(response, persistence)}Content-Length: ${response.fileBytes}${HEAD_END}`
      return at + target.latin1Write(head, at, head.length)
    }
    if (response.framing !== Framing.Length) {
      this.bodyBytes = 0
      const coding = response.framing === Framing.Chunked ? 'Transfer-Encoding: chunked\r\n' : ''
      const head = `${this.#headText(response, persistence)}${coding}\r\n`
      return at + target.latin1Write(head, at, head.length)
    }
    const plain =
      response.statusCode === 200 && persistence === Persistence.Default && response.fieldLines === '' && response.ownFields === 0
    const head = plain
      ? this.#plainPrefix(response.contentType, response.isSecure)
      : `${this.#headText(response, persistence)}Content-Length: `
    const digits = digitsOf(response.body.length)
    let bodyStart = at + head.length + digits + HEAD_END.length
    const length =
      typeof response.body === 'string' ? putText(target, bodyStart, response.body) : putBytes(target, bodyStart, response.body)
    const moreDigits = digitsOf(length) - digits
    if (moreDigits > 0) {
      // The text has characters of several bytes, and they carried its length over a power of ten.
      target.copyWithin(bodyStart + moreDigits, bodyStart, bodyStart + length)
      bodyStart += moreDigits
    }
    if (typeof head === 'string') target.latin1Write(head, at, head.length)
    else target.set(head, at)
    putLength(target, at + head.length, digits + moreDigits, length)
    this.bodyBytes = withoutBody ? 0 : length
    return withoutBody ? bodyStart : bodyStart + length
  }

  #plainPrefix(contentType: string, isSecure: boolean): Buffer {
    // Most answers have the type of the one before.
    if (contentType === this.#lastType && isSecure === this.#lastIsSecure) return this.#lastPrefix
    const prefixes = isSecure ? this.#securePrefixes : this.#prefixes
    let prefix = prefixes.get(contentType)
    if (prefix === undefined) {
      const security = this.#security.lines(isSecure, 0)
      prefix = Buffer.from(`HTTP/1.1 200 OK\r\nDate: ${this.#date}\r\n${typeLine(contentType)}${security}Content-Length: `, 'latin1')
      if (prefixes.size < PREFIXES_KEPT) prefixes.set(contentType, prefix)
    }
    this.#lastType = contentType
    this.#lastIsSecure = isSecure
    this.#lastPrefix = prefix
    return prefix
  }

  #headText(response: Answer, persistence: Persistence): string {
    const reason = STATUS_CODES[response.statusCode] ?? ''
    const security = this.#security.lines(response.isSecure, response.ownFields)
    return `HTTP/1.1 ${response.statusCode} ${reason}\r\nDate: ${this.#date}\r\n${PERSISTENCE_LINES[persistence]}${typeLine(response.contentType)}${security}${response.fieldLines}`
  }

  #refreshDate(): void {
    const now = this.#clock.wall()
    // A clock that was set back is followed too.
    if (now < this.#secondEnd && now >= this.#secondEnd - 1000) return
    const second = Math.floor(now / 1000)
    this.#secondEnd = second * 1000 + 1000
    this.#date = new Date(second * 1000).toUTCString()
    this.#prefixes.clear()
    this.#securePrefixes.clear()
    this.#lastType = undefined
  }
}

function typeLine(contentType: string): string {
  return contentType === '' ? '' : `Content-Type: ${contentType}\r\n`
}

/** Up to this length a loop is faster than the call that leaves JavaScript. */
const SHORT_TEXT = 32

function putText(target: Buffer, at: number, text: string): number {
  const { length } = text
  if (length > SHORT_TEXT || target.byteLength - at < length) return target.utf8Write(text, at, target.byteLength - at)
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    // What is not ASCII has several bytes: from the start again.
    if (code > 0x7f) return target.utf8Write(text, at, target.byteLength - at)
    target[at + index] = code
  }
  return length
}

function putBytes(target: Buffer, at: number, body: Uint8Array): number {
  target.set(body, at)
  return body.byteLength
}

function digitsOf(value: number): number {
  let digits = 1
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++
  return digits
}

/** The digits of Content-Length and the end of the header. */
function putLength(target: Buffer, at: number, digits: number, length: number): void {
  let rest = length
  for (let place = at + digits - 1; place >= at; place--) {
    const next = Math.floor(rest / 10)
    target[place] = ZERO + rest - next * 10
    rest = next
  }
  const end = at + digits
  target[end] = CR
  target[end + 1] = LF
  target[end + 2] = CR
  target[end + 3] = LF
}
