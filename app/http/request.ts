import '../../shared/bytes.ts'
import { NppError, messageOf } from '../../shared/errors.ts'
import { parseCookies } from './cookies.ts'
import { METHODS, type Method, type RequestParser } from './parser.ts'
import { decoded } from './path.ts'

const NO_FIELDS = new Int32Array(0)

/** What a request needs of the engine. */
export interface RequestContext {
  /** Address of the client's end of the connection, '' when it is gone. */
  addressOf(connection: number, generation: number): string
  nextRequestId(): string
  call(name: string, input: unknown, options: { readonly timeoutMs?: number } | undefined): Promise<unknown>
}

/**
 * A request over the bytes it was parsed from. Strings are made when they are asked for. While its handler runs the first time it reads the
 * parser's own table of fields; `retain` gives it a table of its own, `release` ends its reading.
 */
export class HttpRequest {
  readonly method: Method
  readonly target: string
  /** What the router matched: the path, still percent-encoded. */
  readonly routingPath: string
  params: Readonly<Record<string, string>> = {}

  readonly #context: RequestContext
  readonly #connection: number
  readonly #generation: number
  #bytes: Buffer
  #base: number
  #fields: Int32Array
  readonly #fieldCount: number
  readonly #headerEnd: number
  #body: Buffer
  readonly #isVolatile: boolean
  #isBodyCopied = false
  #released = false
  #id = ''
  #query: URLSearchParams | undefined
  #cookies: ReadonlyMap<string, string> | undefined

  /** `rawTarget` and `routingPath` are made by the engine, which needs them for the route. `isVolatile`: the bytes are overwritten later. */
  constructor(
    context: RequestContext,
    connection: number,
    generation: number,
    parser: RequestParser,
    bytes: Buffer,
    base: number,
    rawTarget: string,
    routingPath: string,
    isVolatile = false,
  ) {
    this.method = METHODS[parser.method] ?? 'GET'
    this.target = rawTarget
    this.routingPath = routingPath
    this.#context = context
    this.#connection = connection
    this.#generation = generation
    this.#bytes = bytes
    this.#base = base
    this.#fields = parser.fields
    this.#fieldCount = parser.fieldCount
    this.#headerEnd = parser.headerEnd
    this.#isVolatile = isVolatile
    this.#body = parser.bodyEnd === parser.bodyStart ? EMPTY : bytes.subarray(base + parser.bodyStart, base + parser.bodyEnd)
  }

  get path(): string {
    return decoded(this.routingPath) ?? this.routingPath
  }

  get query(): URLSearchParams {
    if (this.#query === undefined) {
      const mark = this.target.indexOf('?')
      this.#query = new URLSearchParams(mark === -1 ? '' : this.target.slice(mark + 1))
    }
    return this.#query
  }

  get ip(): string {
    return this.#context.addressOf(this.#connection, this.#generation)
  }

  get id(): string {
    if (this.#id === '') this.#id = this.#context.nextRequestId()
    return this.#id
  }

  get body(): Buffer {
    const body = this.#readBody()
    if (!this.#isVolatile || this.#isBodyCopied || body.byteLength === 0) return body
    // A handler may keep it; the transport's next read would write over it. Who only asks for json() or form() pays no copy.
    this.#isBodyCopied = true
    this.#body = Buffer.from(body)
    return this.#body
  }

  get headers(): Iterable<readonly [string, string]> {
    const pairs: (readonly [string, string])[] = []
    for (let field = 0; field < this.#fieldsToRead() * 4; field += 4) pairs.push([this.#slice(field), this.#slice(field + 2)])
    return pairs
  }

  get cookies(): ReadonlyMap<string, string> {
    // RFC 6265 §5.4 sends one Cookie field; HTTP/2 gateways may split it, and '; ' joins it again (RFC 9113 §8.2.3).
    this.#cookies ??= parseCookies(this.#find('cookie', '; '))
    return this.#cookies
  }

  header(name: string): string | undefined {
    return this.#find(name.toLowerCase(), ', ')
  }

  json(): unknown {
    const body = this.#readBody()
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
    const body = this.#readBody()
    return new URLSearchParams(body.utf8Slice(0, body.byteLength))
  }

  callAsync(name: string, input?: unknown, options?: { readonly timeoutMs?: number }): Promise<unknown> {
    return this.#context.call(name, input, options)
  }

  /** Makes the request independent of the parser, for a handler that answers later. `volatile`: the bytes are overwritten too. */
  retain(volatile: boolean): void {
    this.#fields = this.#fields.slice(0, this.#fieldCount * 4)
    if (!volatile) return
    this.#bytes = Buffer.from(this.#bytes.subarray(this.#base, this.#base + this.#headerEnd))
    this.#base = 0
    if (!this.#isBodyCopied && this.#body.byteLength > 0) this.#body = Buffer.from(this.#body)
    this.#isBodyCopied = true
  }

  /** Ends the reading of fields: the table belongs to the next request, whose client must not be seen here. */
  release(): void {
    this.#released = true
    this.#bytes = EMPTY
    this.#fields = NO_FIELDS
  }

  #readBody(): Buffer {
    // What was asked for before the answer is the handler's; anything else is another client's by now.
    if (this.#released && this.#isVolatile && !this.#isBodyCopied && this.#body.byteLength > 0)
      throw new NppError('NPP_ALREADY_ANSWERED', READ_FIRST)
    return this.#body
  }

  #fieldsToRead(): number {
    if (this.#released) throw new NppError('NPP_ALREADY_ANSWERED', READ_FIRST)
    return this.#fieldCount
  }

  #slice(field: number): string {
    return this.#bytes.latin1Slice(this.#base + (this.#fields[field] ?? 0), this.#base + (this.#fields[field + 1] ?? 0))
  }

  #find(lowerName: string, separator: string): string | undefined {
    const count = this.#fieldsToRead()
    let found: string | undefined
    for (let field = 0; field < count * 4; field += 4) {
      if ((this.#fields[field + 1] ?? 0) - (this.#fields[field] ?? 0) !== lowerName.length) continue
      if (this.#slice(field).toLowerCase() !== lowerName) continue
      const value = this.#slice(field + 2)
      found = found === undefined ? value : found + separator + value
    }
    return found
  }
}

const EMPTY = Buffer.alloc(0)
const READ_FIRST = 'the request was answered; read its fields and its body before answering'
