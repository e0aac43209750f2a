import { RequestParser } from './parser.ts'

/** Parsers kept for requests that come in pieces. */
const KEPT = 256

/** One parser for all requests that come in one piece; one that a connection keeps, for a request in pieces, is replaced from the pool. */
export class ParserPool {
  readonly #maxBodyBytes: number
  readonly #free: RequestParser[] = []
  #shared: RequestParser

  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes
    this.#shared = new RequestParser(maxBodyBytes)
  }

  /** The parser for requests of which nothing was kept. */
  get shared(): RequestParser {
    return this.#shared
  }

  /** The shared parser, which is the caller's until it is given back. */
  take(): RequestParser {
    const taken = this.#shared
    this.#shared = this.#free.pop() ?? new RequestParser(this.#maxBodyBytes)
    return taken
  }

  giveBack(parser: RequestParser): void {
    parser.forget()
    if (this.#free.length < KEPT) this.#free.push(parser)
  }
}
