import { NppError } from '../../shared/errors.ts'
import { FIELD_VALUE, TOKEN, isMadeOf } from './byte-classes.ts'
import { serializeCookie, type CookieOptions } from './cookies.ts'

/** Who is told that a response is complete. */
export interface ResponseSink {
  answered(response: HttpResponse): void
}

/** Fields that say how the message is framed: the engine alone knows. */
const ENGINE_FIELDS = new Set(['connection', 'content-length', 'date', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'])

const State = { Open: 0, Answered: 1, Expired: 2 } as const
type State = (typeof State)[keyof typeof State]

/** The answer of a handler, as data; the engine turns it into bytes when it is complete. */
export class HttpResponse {
  statusCode = 200
  /** Content-Type; '' for none. */
  contentType = ''
  /** What follows the header. */
  body: string | Uint8Array = ''
  /** Further fields, as the lines of the header that they become. */
  fieldLines = ''
  /** Slot and generation of the connection that waits. */
  readonly connection: number
  readonly generation: number

  readonly #sink: ResponseSink
  #state: State = State.Open
  #written = false

  constructor(sink: ResponseSink, connection: number, generation: number) {
    this.#sink = sink
    this.connection = connection
    this.generation = generation
  }

  get answered(): boolean {
    return this.#state !== State.Open
  }

  /** True when `write` was used: the end of the handler answers then. */
  get written(): boolean {
    return this.#written
  }

  status(code: number): this {
    this.#mustBeOpen()
    if (!Number.isInteger(code) || code < 200 || code > 599)
      throw new NppError('NPP_HEADER_INVALID', `status ${code} is not a whole number from 200 to 599`)
    this.statusCode = code
    return this
  }

  header(name: string, value: string): this {
    this.#mustBeOpen()
    const lower = name.toLowerCase()
    if (ENGINE_FIELDS.has(lower)) throw new NppError('NPP_HEADER_INVALID', `the field ${name} is set by the engine`)
    if (name === '' || !isMadeOf(name, TOKEN)) throw new NppError('NPP_HEADER_INVALID', `field name ${JSON.stringify(name)} is not a token`)
    // Refused, never stripped: CR LF here would let a value write further fields, or a response of its own.
    // What is escaped in a location already stays: encodeURI would escape its % again.
    const text = lower === 'location' ? value.replaceAll(NOT_IN_A_URL, encodeURIComponent) : value
    checkValue(name, text)
    if (lower === 'content-type') this.contentType = value
    else this.fieldLines += `${name}: ${text}\r\n`
    return this
  }

  type(contentType: string): this {
    this.#mustBeOpen()
    checkValue('Content-Type', contentType)
    this.contentType = contentType
    return this
  }

  cookie(name: string, value: string, options?: CookieOptions): this {
    this.#mustBeOpen()
    const cookie = serializeCookie(name, value, options)
    checkValue('Set-Cookie', cookie) // A site in JavaScript may give any text as sameSite.
    this.fieldLines += `Set-Cookie: ${cookie}\r\n`
    return this
  }

  write(text: string | { toString(): string }): this {
    this.#mustBeOpen()
    this.#written = true
    if (typeof this.body === 'string') this.body += String(text)
    return this
  }

  text(body: string): void {
    this.#answer(body, 'text/plain; charset=utf-8')
  }

  html(body: string | { toString(): string }): void {
    this.#answer(String(body), 'text/html; charset=utf-8')
  }

  json(value: unknown): void {
    const text: unknown = JSON.stringify(value)
    if (typeof text !== 'string') throw new NppError('NPP_HANDLER_FAILED', 'res.json was given a value that JSON cannot say')
    this.#answer(text, 'application/json; charset=utf-8')
  }

  send(bytes: Uint8Array): void {
    this.#answer(bytes, 'application/octet-stream')
  }

  redirect(location: string, code = 302): void {
    if (code < 300 || code > 399) throw new NppError('NPP_HEADER_INVALID', `${code} is not a status that redirects`)
    this.status(code).header('Location', location)
    this.#answer('', '')
  }

  /** Completes an answer that was made by `write` alone. */
  finish(): void {
    this.#answer('', 'text/html; charset=utf-8')
  }

  /** Takes the answer away from the handler, whose own then goes nowhere: its deadline has passed, or its client has. */
  expire(): void {
    this.#state = State.Expired
  }

  /** Forgets what the handler had set, to make room for an error page. False when the request is answered already. */
  restart(): boolean {
    if (this.#state !== State.Open) return false
    this.statusCode = 200
    this.contentType = ''
    this.fieldLines = ''
    this.body = ''
    this.#written = false
    return true
  }

  /** What comes too late for an expired request is dropped without a word: the handler could not know. */
  #mustBeOpen(): void {
    if (this.#state === State.Answered)
      throw new NppError('NPP_ALREADY_ANSWERED', 'the request was answered before; a handler answers once')
  }

  #answer(body: string | Uint8Array, contentType: string): void {
    this.#mustBeOpen()
    if (this.#state === State.Expired) return
    if (typeof body !== 'string')
      this.body = typeof this.body === 'string' && this.body !== '' ? Buffer.concat([Buffer.from(this.body), body]) : body
    else if (typeof this.body === 'string') this.body += body
    if (this.contentType === '') this.contentType = contentType
    this.#state = State.Answered
    this.#sink.answered(this)
  }
}

function checkValue(name: string, value: string): void {
  if (!isMadeOf(value, FIELD_VALUE)) {
    throw new NppError(
      'NPP_HEADER_INVALID',
      `the value of ${name} has a character that may not stand in a field: control characters never, others only up to U+00FF`,
    )
  }
}

/** Spaces and what is not ASCII. */
const NOT_IN_A_URL = /[ \u0080-\u{10ffff}]+/gu
