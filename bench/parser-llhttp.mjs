// The parser of node:http, which is llhttp with a layer of C++ that makes strings. Node exports it under this name only.
import { HTTPParser } from 'node:_http_common'

const { REQUEST, kOnHeadersComplete, kOnMessageComplete } = HTTPParser
const limitBytes = 16_384

/**
 * llhttp as it is in Node. Who is called when a header is complete is given the target and all names and values as strings, in one array; where
 * nobody is to be called, none are made.
 */
export class LlhttpParser {
  #parser = new HTTPParser()
  #requests = []
  #found
  #fields = 0

  constructor(makesStrings) {
    this.#parser.initialize(REQUEST, {}, limitBytes)
    if (!makesStrings) return
    // Gives the least away: node:http makes an IncomingMessage here.
    this.#parser[kOnHeadersComplete] = (major, minor, headers, method, target) => {
      this.#fields += headers.length / 2
      this.#found = { target, headers }
      return 0
    }
    this.#parser[kOnMessageComplete] = () => {}
  }

  /** Each in a buffer of its own: one that holds several is parsed to its end in one call. */
  take({ bytes, bytesEach, count }) {
    this.#requests = Array.from({ length: count }, (_, number) => bytes.subarray(number * bytesEach, (number + 1) * bytesEach))
  }

  run() {
    this.#fields = 0
    for (const request of this.#requests) this.#parse(request)
    return this.#fields
  }

  look() {
    this.#parse(this.#requests[0])
    return this.#found
  }

  #parse(request) {
    const parsed = this.#parser.execute(request)
    if (parsed !== request.byteLength) throw new Error(`refused: ${parsed.reason ?? `${parsed} bytes parsed`}`)
  }
}
