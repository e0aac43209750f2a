import { createRequire } from 'node:module'
import { METHODS } from '../../app/http/parser.ts'

/** The binding of llhttp as Node's own HTTP server uses it: a callback an event, by number. */
interface Binding {
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void
  /** Bytes read, or an Error with `code` and `reason`. */
  execute(bytes: Uint8Array): unknown
  [callback: number]: (...args: never[]) => unknown
}

interface BindingClass {
  new (): Binding
  readonly REQUEST: number
  readonly kOnHeaders: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
}

function isBindingClass(value: unknown): value is BindingClass {
  return typeof value === 'function' && 'REQUEST' in value && 'kOnHeaders' in value && 'kOnMessageComplete' in value
}

/** Of all that Node has tried to hide, this module still leads to the parser on Node 20, 24 and 26, without a warning. */
function bindingClass(): BindingClass {
  const common: unknown = createRequire(import.meta.url)('node:_http_common')
  const found = typeof common === 'object' && common !== null && 'HTTPParser' in common ? common.HTTPParser : undefined
  if (!isBindingClass(found)) throw new Error('this Node does not give its HTTP parser out')
  return found
}

const STRICT = 0
/** Above every limit of the tests: how large a header may be is not compared. */
const MAX_HEADER_SIZE = 1 << 20

/** One message as llhttp reads it. */
export interface LlhttpMessage {
  method: string
  target: string
  minorVersion: number
  fields: readonly (readonly [string, string])[]
  body: string
  keepAlive: boolean
  isComplete: boolean
  /** Code and reason, where it was refused. Of a request with Upgrade Node passes on no refusal: it is only never complete. */
  refusal: string
}

/** llhttp in its strict mode, for one message after the other. */
export class Llhttp {
  readonly #class = bindingClass()
  readonly #binding = new this.#class()
  readonly #methods = new Map<number, string>()
  #raw: string[] = []
  #url = ''
  #method = -1
  #bodies: string[] = []
  #message: LlhttpMessage = none()

  constructor() {
    const { kOnHeaders, kOnHeadersComplete, kOnBody, kOnMessageComplete } = this.#class
    this.#binding[kOnHeaders] = (headers: readonly string[], url: string): void => this.#headers(headers, url)
    this.#binding[kOnHeadersComplete] = (
      _major: number,
      minor: number,
      headers: readonly string[] | undefined,
      method: number,
      url: string | undefined,
      _status: unknown,
      _text: unknown,
      _upgrade: boolean,
      keepAlive: boolean,
    ): number => {
      this.#headers(headers ?? [], url ?? '')
      this.#method = method
      const fields = Array.from(
        { length: this.#raw.length / 2 },
        (_, field) => [this.#raw[field * 2] ?? '', this.#raw[field * 2 + 1] ?? ''] as const,
      )
      this.#message = { ...this.#message, minorVersion: minor, fields, target: this.#url, keepAlive }
      return 0
    }
    this.#binding[kOnBody] = (bytes: Uint8Array, offset = 0, length = bytes.byteLength): void => {
      this.#bodies.push(Buffer.from(bytes.subarray(offset, offset + length)).toString('latin1'))
    }
    this.#binding[kOnMessageComplete] = (): void => {
      this.#message.isComplete = true
    }
    // Numbers of methods are llhttp's own; it is asked for those of npp.
    for (const method of METHODS) {
      this.read([Buffer.from(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)])
      this.#methods.set(this.#method, method)
    }
  }

  /** Reads the pieces of one message until it is complete or refused. */
  read(pieces: readonly Uint8Array[]): LlhttpMessage {
    this.#raw = []
    this.#url = ''
    this.#bodies = []
    this.#message = none()
    this.#binding.initialize(this.#class.REQUEST, {}, MAX_HEADER_SIZE, STRICT)
    for (const piece of pieces) {
      if (this.#message.isComplete) return { ...none(), refusal: 'complete before its end' }
      const result = this.#binding.execute(piece)
      if (result instanceof Error) {
        this.#message.refusal = `${'code' in result ? String(result.code) : ''}: ${'reason' in result ? String(result.reason) : ''}`
        break
      }
    }
    return { ...this.#message, method: this.#methods.get(this.#method) ?? '', body: this.#bodies.join('') }
  }

  #headers(headers: readonly string[], url: string): void {
    // Those of trailers come the same way; who asks has had the fields before.
    this.#raw.push(...headers)
    this.#url += url
  }
}

function none(): LlhttpMessage {
  return { method: '', target: '', minorVersion: -1, fields: [], body: '', keepAlive: false, isComplete: false, refusal: '' }
}
