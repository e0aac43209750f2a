import { asBuffer } from '../shared/bytes.ts'
import { NppError } from '../shared/errors.ts'
import { isThenable } from '../shared/thenable.ts'
import type { ForwardedAnswer, ForwardedRequest, PageHandler, PageRequest, PageResponse } from '../shared/services.ts'

/** Runs a page service on a forwarded request; what it leaves in the response is the answer. Throws NPP_CALL_INPUT for what is no request. */
export function runPage(page: PageHandler, input: unknown): ForwardedAnswer | Promise<ForwardedAnswer> {
  if (!isForwardedRequest(input)) throw new NppError('NPP_CALL_INPUT', 'a page was called with something other than a request: use forward')
  const response = new ServicePageResponse()
  const result = page(new ServicePageRequest(input), response)
  return isThenable(result) ? Promise.resolve(result).then(() => response.answer()) : response.answer()
}

class ServicePageRequest implements PageRequest {
  readonly method: string
  readonly target: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly headers: readonly (readonly [string, string])[]
  readonly ip: string
  readonly protocol: 'http' | 'https'
  readonly host: string
  readonly body: Buffer
  #query: URLSearchParams | undefined

  constructor(request: ForwardedRequest) {
    this.method = request.method
    this.target = request.target
    this.path = request.path
    this.params = request.params
    this.headers = request.headers
    this.ip = request.ip
    this.protocol = request.protocol
    this.host = request.host
    this.body = asBuffer(request.body)
  }

  get query(): URLSearchParams {
    const mark = this.target.indexOf('?')
    this.#query ??= new URLSearchParams(mark === -1 ? '' : this.target.slice(mark + 1))
    return this.#query
  }

  header(name: string): string | undefined {
    const lower = name.toLowerCase()
    const values = this.headers.flatMap(([field, value]) => (field.toLowerCase() === lower ? [value] : []))
    return values.length === 0 ? undefined : values.join(', ')
  }
}

/** Collects; the engine checks every field when it applies them, as it does for its own handlers. */
class ServicePageResponse implements PageResponse {
  #status = 0
  readonly #headers: [string, string][] = []
  #contentType = ''
  #text = ''
  #bytes: Uint8Array | undefined
  #answered = false

  status(code: number): this {
    this.#mustBeOpen()
    this.#status = code
    return this
  }

  header(name: string, value: string): this {
    this.#mustBeOpen()
    this.#headers.push([name, value])
    return this
  }

  type(contentType: string): this {
    this.#contentType = contentType
    return this
  }

  write(text: string | { toString(): string }): this {
    this.#mustBeOpen()
    this.#text += String(text)
    return this
  }

  text(body: string): void {
    this.#finish(body, 'text/plain; charset=utf-8')
  }

  html(body: string | { toString(): string }): void {
    this.#finish(String(body), 'text/html; charset=utf-8')
  }

  json(value: unknown): void {
    const text: unknown = JSON.stringify(value)
    if (typeof text !== 'string') throw new NppError('NPP_CALL_INPUT', 'res.json was given a value that JSON cannot say')
    this.#finish(text, 'application/json; charset=utf-8')
  }

  send(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#finish('', 'application/octet-stream')
  }

  redirect(location: string, code = 302): void {
    if (code < 300 || code > 399) throw new NppError('NPP_HEADER_INVALID', `${code} is not a status that redirects`)
    this.status(code).header('Location', location)
    this.#answered = true
  }

  /** What the page has written. Throws NPP_SERVICE_FAILED when that is nothing at all: an empty 200 would hide a forgotten answer. */
  answer(): ForwardedAnswer {
    if (!this.#answered && this.#text === '' && this.#status === 0)
      throw new NppError('NPP_SERVICE_FAILED', 'the page service finished without an answer')
    const contentType = this.#contentType === '' && this.#text !== '' ? 'text/html; charset=utf-8' : this.#contentType
    const headers = contentType === '' ? this.#headers : [...this.#headers, ['Content-Type', contentType] as const]
    return { status: this.#status === 0 ? 200 : this.#status, headers, body: this.#bytes ?? this.#text }
  }

  #mustBeOpen(): void {
    if (this.#answered) throw new NppError('NPP_ALREADY_ANSWERED', 'the request was answered before; a page answers once')
  }

  #finish(body: string, contentType: string): void {
    this.#mustBeOpen()
    this.#answered = true
    this.#text += body
    if (this.#contentType === '') this.#contentType = contentType
  }
}

function isForwardedRequest(value: unknown): value is ForwardedRequest {
  return (
    typeof value === 'object' &&
    value !== null &&
    'method' in value &&
    typeof value.method === 'string' &&
    'target' in value &&
    typeof value.target === 'string' &&
    'path' in value &&
    typeof value.path === 'string' &&
    'params' in value &&
    typeof value.params === 'object' &&
    'headers' in value &&
    Array.isArray(value.headers) &&
    'ip' in value &&
    typeof value.ip === 'string' &&
    'protocol' in value &&
    (value.protocol === 'http' || value.protocol === 'https') &&
    'host' in value &&
    typeof value.host === 'string' &&
    'body' in value &&
    value.body instanceof Uint8Array
  )
}
