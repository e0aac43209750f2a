import { Outcome } from '../dist/app/http/outcome.js'
import { METHODS, RequestParser } from '../dist/app/http/parser.js'
import { loadConfig } from '../dist/shared/config.js'

const { maxHeaderBytes, maxHeaderFields, maxTargetBytes } = loadConfig({ siteFolder: '/nowhere', environment: {}, flags: [] })
const limits = { headerBytes: maxHeaderBytes, headerFields: maxHeaderFields, targetBytes: maxTargetBytes }

/** The parser of npp: offsets and nothing else, or, on top of that, all strings that could be asked for, made as app/http/request.ts makes them. */
export class NppParser {
  #makesStrings
  #parser = new RequestParser(limits)
  #bytes
  #bytesEach
  #count

  constructor(makesStrings) {
    this.#makesStrings = makesStrings
  }

  take({ bytes, bytesEach, count }) {
    this.#bytes = bytes
    this.#bytesEach = bytesEach
    this.#count = count
  }

  /** Parses each request that was taken once; the number of fields that were found. */
  run() {
    return this.#makesStrings ? this.#stringsOfAll() : this.#offsetsOfAll()
  }

  /** What was found in the first request. */
  look() {
    this.#parse(0)
    return this.#strings(0)
  }

  #offsetsOfAll() {
    const end = this.#bytesEach * this.#count
    let fields = 0
    for (let base = 0; base < end; base += this.#bytesEach) {
      this.#parse(base)
      fields += this.#parser.fieldCount
    }
    return fields
  }

  #stringsOfAll() {
    const end = this.#bytesEach * this.#count
    let fields = 0
    for (let base = 0; base < end; base += this.#bytesEach) {
      this.#parse(base)
      fields += this.#strings(base).headers.length / 2
    }
    return fields
  }

  #parse(base) {
    const parser = this.#parser
    parser.reset()
    if (parser.parse(this.#bytes, base, base + this.#bytesEach) !== Outcome.Complete) throw new Error(`refused: ${parser.reason}`)
  }

  #strings(base) {
    const parser = this.#parser
    const { fields, fieldCount } = parser
    const headers = []
    const header = this.#bytes.latin1Slice(base, base + parser.headerEnd)
    for (let at = 0; at < fieldCount * 4; at += 2) headers.push(header.slice(fields[at], fields[at + 1]))
    const target = this.#bytes.latin1Slice(base + parser.targetStart, base + parser.targetEnd)
    return { method: METHODS[parser.method], target, headers }
  }
}
