import '../../shared/bytes.ts'
import { NppError, messageOf } from '../../shared/errors.ts'
import { addressOfClient, hostOfClient, isSecureClient } from './client.ts'
import { parseCookies } from './cookies.ts'
import type { CallAsync } from '../api.ts'
import type { Exchange } from './exchange.ts'
import { fieldPairs, findField, readFirst } from './fields.ts'
import type { Method } from './parser.ts'
import { decoded } from './path.ts'

/**
 * A request as its handler holds it, over the bytes it was parsed from: strings are made when they are asked for. Once it is answered and the
 * handler has returned, fields that were not read are refused, as their bytes may be another client's.
 */
export class HttpRequest {
  #exchange: Exchange

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  get method(): Method {
    return this.#exchange.method
  }

  get target(): string {
    return this.#exchange.target.raw
  }

  get path(): string {
    const path = this.#exchange.target.path ?? ''
    return decoded(path) ?? path
  }

  get params(): Readonly<Record<string, string>> {
    return this.#exchange.params
  }

  get query(): URLSearchParams {
    const exchange = this.#exchange
    if (exchange.query !== undefined) return exchange.query
    const mark = this.target.indexOf('?')
    const query = new URLSearchParams(mark === -1 ? '' : this.target.slice(mark + 1))
    // A URLSearchParams can be changed: it is not for the next one to find.
    if (!exchange.isShared) exchange.query = query
    return query
  }

  get ip(): string {
    return addressOfClient(own(this.#exchange))
  }

  get protocol(): 'http' | 'https' {
    return isSecureClient(own(this.#exchange)) ? 'https' : 'http'
  }

  get host(): string {
    return hostOfClient(own(this.#exchange))
  }

  get id(): string {
    if (this.#exchange.id === '') this.#exchange.id = own(this.#exchange).context.nextRequestId()
    return this.#exchange.id
  }

  get signal(): AbortSignal {
    const exchange = own(this.#exchange)
    exchange.aborter ??= new AbortController()
    return exchange.aborter.signal
  }

  get body(): Buffer {
    const body = bodyOf(this.#exchange)
    const exchange = this.#exchange
    if (!exchange.isVolatile || exchange.isBodyCopied || body.byteLength === 0) return body
    // A handler may keep it; the transport's next read would write over it. Who only asks for json() or form() pays no copy.
    exchange.isBodyCopied = true
    exchange.requestBody = Buffer.from(body)
    return exchange.requestBody
  }

  get headers(): Iterable<readonly [string, string]> {
    return fieldPairs(this.#exchange)
  }

  get cookies(): ReadonlyMap<string, string> {
    // RFC 6265 §5.4 sends one Cookie field; HTTP/2 gateways may split it, and '; ' joins it again (RFC 9113 §8.2.3).
    this.#exchange.cookies ??= parseCookies(findField(this.#exchange, 'cookie', '; '))
    return this.#exchange.cookies
  }

  header(name: string): string | undefined {
    return findField(this.#exchange, name.toLowerCase(), ', ')
  }

  json(): unknown {
    const body = bodyOf(this.#exchange)
    const text = body.utf8Slice(0, body.byteLength)
    try {
      const value: unknown = JSON.parse(text)
      return value
    } catch (error) {
      throw new NppError('NPP_BAD_BODY', `the body is not JSON: ${messageOf(error)}`)
    }
  }

  form(): URLSearchParams {
    const type = this.header('content-type') ?? ''
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
      throw new NppError('NPP_BAD_BODY', `the body is ${type === '' ? 'of no type' : type}, not application/x-www-form-urlencoded`)
    }
    const body = bodyOf(this.#exchange)
    return new URLSearchParams(body.utf8Slice(0, body.byteLength))
  }

  get callAsync(): CallAsync {
    return this.#exchange.context.callAsync
  }

  /** From here on the request is this one; what it was belongs to another. */
  become(exchange: Exchange): void {
    this.#exchange = exchange
  }
}

// Functions rather than private methods, for which each object would have a field of its own more.

function bodyOf(exchange: Exchange): Buffer {
  // What was asked for before the answer is the handler's; anything else is another client's by now.
  if (exchange.isReleased && exchange.isVolatile && !exchange.isBodyCopied && exchange.requestBody.byteLength > 0) throw readFirst()
  return exchange.requestBody
}

function own(exchange: Exchange): Exchange {
  if (exchange.isShared) throw readFirst()
  return exchange
}
