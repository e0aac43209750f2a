import { RequestParser, type HeaderLimits } from './parser.ts'

/** Parsers kept for requests that come in pieces. */
const KEPT = 256

/** One parser for all requests that come in one piece; one that a connection keeps, for a request in pieces, is replaced from the pool. */
export class ParserPool {
  readonly #limits: HeaderLimits
  readonly #free: RequestParser[] = []
  #shared: RequestParser

  constructor(limits: HeaderLimits) {
    this.#limits = limits
    this.#shared = new RequestParser(limits)
  }

  /** The parser for requests of which nothing was kept. */
  get shared(): RequestParser {
    return this.#shared
  }

  /** The shared parser, which is the caller's until it is given back. */
  take(): RequestParser {
    const taken = this.#shared
    this.#shared = this.#free.pop() ?? new RequestParser(this.#limits)
    return taken
  }

  giveBack(parser: RequestParser): void {
    parser.forget()
    if (this.#free.length < KEPT) this.#free.push(parser)
  }
}
