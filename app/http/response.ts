import { NppError } from '../../shared/errors.ts'
import { AnswerState } from './answer-state.ts'
import { abandon, isBodySource, type BodySource } from './body-stream.ts'
import { isSecureClient } from './client.ts'
import { serializeCookie, type CookieOptions } from './cookies.ts'
import type { Exchange } from './exchange.ts'
import { checkToken, checkValue, percentEncoded, textOf } from './field-text.ts'
import { securityFieldOf } from './security-fields.ts'
import type { TakenConnection } from './taken-connection.ts'

/** Fields that say how the message is framed: the engine alone knows. */
const ENGINE_FIELDS = new Set(['connection', 'content-length', 'date', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'])

/** The answer of a handler, as the handler holds it; the engine turns it into bytes when it is complete. */
export class HttpResponse {
  #exchange: Exchange

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  get answered(): boolean {
    return this.#exchange.answered
  }

  status(code: number): this {
    const exchange = changeable(this.#exchange)
    if (!Number.isInteger(code) || code < 200 || code > 599)
      throw new NppError('NPP_HEADER_INVALID', `status ${String(code)} is not a whole number from 200 to 599`)
    exchange.statusCode = code
    return this
  }

  header(name: string, value: string): this {
    const exchange = changeable(this.#exchange)
    const lower = textOf('a field name', name).toLowerCase()
    if (ENGINE_FIELDS.has(lower)) throw new NppError('NPP_HEADER_INVALID', `the field ${name} is set by the engine`)
    checkToken('field name', name)
    const given = textOf(`the value of ${name}`, value)
    // What is escaped in a location already stays: encodeURI would escape its % again.
    const text = lower === 'location' ? given.replaceAll(NOT_IN_A_URL, (part) => percentEncoded('a location', part)) : given
    checkValue(name, text)
    const security = securityFieldOf(lower)
    exchange.ownFields |= security
    if (lower === 'content-type') exchange.contentType = text
    // Empty, a security field says nothing: the answer goes without it.
    else if (security === 0 || text !== '') exchange.fieldLines += `${name}: ${text}\r\n`
    return this
  }

  type(contentType: string): this {
    const exchange = changeable(this.#exchange)
    checkValue('Content-Type', textOf('a type', contentType))
    exchange.contentType = contentType
    return this
  }

  cookie(name: string, value: string, options?: CookieOptions): this {
    const exchange = changeable(this.#exchange)
    const isSecure = exchange.state === AnswerState.Expired || isSecureClient(exchange)
    exchange.fieldLines += `Set-Cookie: ${serializeCookie(name, value, options, isSecure)}\r\n`
    return this
  }

  write(text: string | { toString(): string }): this {
    const exchange = changeable(this.#exchange)
    exchange.isWritten = true
    if (typeof exchange.body === 'string') exchange.body += String(text)
    return this
  }

  text(body: string): void {
    answer(this.#exchange, bodyText(body), 'text/plain; charset=utf-8')
  }

  html(body: string | { toString(): string }): void {
    answer(this.#exchange, String(body), 'text/html; charset=utf-8')
  }

  json(value: unknown): void {
    const text: unknown = JSON.stringify(value)
    if (typeof text !== 'string') throw new NppError('NPP_HANDLER_FAILED', 'res.json was given a value that JSON cannot say')
    answer(this.#exchange, text, 'application/json; charset=utf-8')
  }

  send(bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array)) throw new NppError('NPP_HANDLER_FAILED', 'res.send was given something other than a Uint8Array')
    answer(this.#exchange, bytes, 'application/octet-stream')
  }

  sendFile(path: string): void {
    const exchange = changeable(this.#exchange)
    if (exchange.state === AnswerState.Expired) return
    if (exchange.contentType === '') exchange.contentType = 'application/octet-stream'
    exchange.state = AnswerState.Sending
    exchange.context.sendFile(exchange, path)
  }

  stream(source: BodySource): void {
    const exchange = changeable(this.#exchange)
    if (!isBodySource(source))
      throw new NppError('NPP_HANDLER_FAILED', 'res.stream was given what is not iterable, neither for nor for await')
    if (exchange.isWritten) throw new NppError('NPP_HANDLER_FAILED', 'res.write and res.stream do not go together: let the source make all')
    if (exchange.state === AnswerState.Expired) {
      abandon(source)
      return
    }
    if (exchange.contentType === '') exchange.contentType = 'application/octet-stream'
    exchange.state = AnswerState.Sending
    exchange.context.stream(exchange, source)
  }

  detach(): Promise<TakenConnection> {
    const exchange = changeable(this.#exchange)
    if (exchange.state === AnswerState.Expired)
      return Promise.reject(new NppError('NPP_CLIENT_GONE', 'the connection cannot be taken over: its request has expired'))
    exchange.state = AnswerState.Sending
    return exchange.context.detach(exchange)
  }

  redirect(location: string, code = 302): void {
    if (!Number.isInteger(code) || code < 300 || code > 399)
      throw new NppError('NPP_HEADER_INVALID', `${String(code)} is not a status that redirects`)
    this.header('Location', location).status(code)
    answer(this.#exchange, '', '')
  }

  /** Completes an answer that was made by `write` alone. */
  finish(): void {
    answer(this.#exchange, '', 'text/html; charset=utf-8')
  }

  /** An answer to the same request that goes nowhere by itself: see answerAs. */
  successor(): Exchange {
    return this.#exchange.successor()
  }

  /** Answers with what `page` says, in place of whatever was set before. */
  answerAs(page: Exchange): void {
    const exchange = changeable(this.#exchange)
    exchange.takeAnswer(page)
    answer(exchange, '', '')
  }

  /** From here on the response is this one; what it was belongs to another. */
  become(exchange: Exchange): void {
    this.#exchange = exchange
  }
}

// Functions rather than private methods, for which each object would have a field of its own more.

/** What comes too late for an expired request is dropped without a word: the handler could not know. */
function changeable(exchange: Exchange): Exchange {
  if (exchange.state === AnswerState.Answered || exchange.state === AnswerState.Sending)
    throw new NppError('NPP_ALREADY_ANSWERED', 'the request was answered before; a handler answers once')
  return exchange
}

function answer(exchange: Exchange, body: string | Uint8Array, contentType: string): void {
  changeable(exchange)
  if (exchange.state === AnswerState.Expired) return
  const written = exchange.body
  if (written === '') exchange.body = body
  else if (typeof written === 'string')
    exchange.body = typeof body === 'string' ? written + body : Buffer.concat([Buffer.from(written), body])
  if (exchange.contentType === '') exchange.contentType = contentType
  exchange.state = AnswerState.Answered
  exchange.context.answered(exchange)
}

/** A body of another type has no length that the header could say. */
function bodyText(body: unknown): string {
  if (typeof body !== 'string') throw new NppError('NPP_HANDLER_FAILED', `res.text was given something of type ${typeof body}`)
  return body
}

/** Spaces and what is not ASCII. */
const NOT_IN_A_URL = /[ \u0080-\u{10ffff}]+/gu
