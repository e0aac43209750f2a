import type { SeededRandom } from '../support/random-bytes.ts'

/** Pieces of the grammar of HTTP/1.1, good ones first and more often: a request of bad ones alone is refused at its first byte. */
const METHODS = ['GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS']
const ODD_METHODS = ['get', 'GETS', '', 'G@T', 'BREW', 'CONNECT', 'TRACE', 'PRI', 'M-SEARCH', 'SOURCE', 'M'.repeat(33), 'G\0ET', ' GET']
const TARGETS = [
  '/',
  '/a/b',
  '/a?b=c&d',
  '/%2e%2e/%2F',
  '//a',
  '/a;b=c',
  '/?',
  '*',
  'http://a',
  'http://a/b?c',
  'HTTPS://[::1]:8080/',
  '/[^]`{|}',
  '/?\\',
]
const ODD_TARGETS = [
  '',
  'a/b',
  '?a',
  '*x',
  '/a b',
  '/a#b',
  '/"',
  '/<>',
  '/\x80',
  '/\x7f',
  '/\t',
  '/\\',
  '/?"',
  '/?\xff',
  'a:80',
  'ftp://a/',
  'http://',
  'http://u@a/',
  'http://a:65536/',
  `/${'t'.repeat(400)}`,
  `/?${'q'.repeat(400)}`,
]
const VERSIONS = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0']
const ODD_VERSIONS = [
  'HTTP/1.2',
  'HTTP/2.0',
  'HTTP/0.9',
  'HTTP/1.10',
  'HTTP/11.1',
  'HTTP/1',
  'http/1.1',
  '',
  'HTTP/1.1 ',
  'RTSP/1.0',
  'ICE/1.0',
  'HTTP/1.x',
]
const LINE_ENDS = ['\n', '\r', '\r\r\n', '\n\r', '', '\r\n ', '\r\n\t', '\r\n\r\n']
const NAMES = [
  'X',
  'x-y',
  'Accept',
  'Cookie',
  'User-Agent',
  'Upgrade',
  'TE',
  'Trailer',
  'Proxy-Connection',
  "!#$%&'*+-.^_`|~",
  'Hos',
  'Hosts',
  'Conten-Length',
  'Keep-Alive',
]
const ODD_NAMES = ['', 'X ', 'X\t', ' X', 'X\0', 'X\x80', 'X(', 'X@', '"X"', 'X\r', 'X\n']
const VALUES = [
  '',
  'y',
  'y z',
  'a, b',
  '"q"',
  'text/html;q=0.9',
  '\x80\xff',
  'y\tz',
  'websocket',
  'h2c',
  'chunked',
  'close',
  ':',
  'v'.repeat(300),
]
const ODD_VALUES = ['\0', '\x01', '\x7f', 'y\0z', 'y\rz', 'y\nz', '\x0b', '\x0c']
const SPACES = [' ', ' ', ' ', ' ', '', '\t', '  ', ' \t ']
const HOSTS = ['a', 'a', 'example.org', 'a:80', '[::1]', '[::1]:80', '127.0.0.1', 'a%41', 'a:']
const ODD_HOSTS = ['', 'a b', 'a/b', 'u@a', '[::1', '[g]', 'a:x', 'a:65536', 'a,b', 'a%', '\xff', '[v1.a]', '[fe80::1%25a]']
const CONNECTIONS = [
  'close',
  'keep-alive',
  'Keep-Alive',
  'CLOSE',
  'upgrade',
  'close, keep-alive',
  'x',
  ',',
  ', close',
  'x,, close ,',
  'Upgrade, HTTP2-Settings',
  'closed',
  'te',
  '',
]
const ODD_CONNECTIONS = ['close;a', 'a b', '"close"', 'close keep-alive', 'clos\xe9']
const EXPECTS = ['100-continue', '100-Continue']
const ODD_EXPECTS = ['', 'x', '100-continue, x', '200-ok', '100-continue;a']
const CODINGS = ['chunked', 'chunked', 'CHUNKED', 'Chunked']
const ODD_CODINGS = [
  '',
  'gzip',
  'gzip, chunked',
  'chunked, gzip',
  'chunked, chunked',
  ',chunked',
  'chunked,',
  'xchunked',
  'chunkedx',
  'identity',
  'chunked;a=b',
  'gzip;a="b,chunked"',
  '\x0bchunked',
  'chun ked',
  'chunked\0',
  '"chunked"',
  'gzip;a="b"',
  'chunked x',
]
const LENGTHS = [
  '+1',
  '-1',
  '1,1',
  '1 1',
  '0x1',
  '1e1',
  '',
  'a',
  '1a',
  '99999999999999999999',
  '18446744073709551617',
  '4294967297',
  '00',
  '01',
  '1;a',
  '1.0',
  '\xb2',
  '\xb9',
]
const EXTENSIONS = ['', '', '', '', ';a', ';a=b', ';a="b"', ';a="\\"\\\\"', ';a;b=c', ' ;a', '; a', ';a =b', ';a= b', ';a="b" ;c']
const ODD_EXTENSIONS = [
  ';',
  ';;',
  ';a=',
  ' ',
  '\t',
  ';a ',
  ';=b',
  ';a="b',
  ';a="\n"',
  ';a="\r\n"',
  ';a\n',
  ';a\r',
  ';\0',
  ';a b',
  ';a="b"c',
  'x',
  ';a="\rb"',
  ';a="\\\rb"',
  ';a="\0"',
]
const ODD_SIZES = [
  '',
  '-1',
  '+1',
  '0x1',
  ' 1',
  'g',
  '1g',
  'fffffffff',
  'ffffffffffffffff',
  '10000000000000000',
  '100000000',
  '000000000000001',
  '1_0',
  '1.0',
  'ff',
]
const TRAILERS = ['X: y', 'Content-Length: 9', 'Transfer-Encoding: gzip', 'Connection: close', 'Host: b', 'Expect: x', 'X:', 'x:\xff']
const ODD_TRAILERS = ['X', ': y', 'X : y', ' X: y', 'X: \0', 'X: y\rz', 'X\0: y', 'X: y\n']
const BODIES = ['', 'a', 'abc', '0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: b\r\n\r\n', '\0\xff', '\r\n', 'b'.repeat(40), 'b'.repeat(130)]
/** Bytes on which rules turn. */
const TURNS = [0, 9, 10, 11, 13, 32, 34, 35, 37, 42, 44, 45, 47, 48, 49, 58, 59, 61, 63, 64, 65, 92, 102, 127, 128, 160, 255]

/** A request, several of them one behind the other, or what looks like one: bytes as latin1, the same for the same random numbers. */
export class RequestGenerator {
  readonly #random: SeededRandom
  /** One piece in as many is an odd one. */
  #oddOneIn = 40

  constructor(random: SeededRandom) {
    this.#random = random
  }

  next(): string {
    this.#oddOneIn = this.#pick([10_000, 100, 30, 8])
    const count = this.#is(4) ? 1 + this.#random.below(4) : 1
    let bytes = ''
    for (let request = 0; request < count; request++) bytes += this.#request()
    if (this.#is(40)) bytes += this.#pick(['G', '\r\n', 'GET / HTTP/1.1\r\nHo', '\0', ' ', '\n'])
    if (!this.#is(3)) return bytes
    for (let mutations = 1 + this.#random.below(3); mutations > 0; mutations--) bytes = this.#mutated(bytes)
    return bytes
  }

  #pick<T>(choices: readonly T[]): T {
    const choice = choices[this.#random.below(choices.length)]
    if (choice === undefined) throw new RangeError('nothing to choose from')
    return choice
  }

  /** True once in as many. */
  #is(oneIn: number): boolean {
    return this.#random.below(oneIn) === 0
  }

  #good(choices: readonly string[], odd: readonly string[]): string {
    return this.#pick(this.#is(this.#oddOneIn) ? odd : choices)
  }

  #end(): string {
    return this.#good(['\r\n'], LINE_ENDS)
  }

  #request(): string {
    const empty = this.#is(20) ? '\r\n'.repeat(this.#pick([1, 2, 8, 9])) : this.#good([''], ['\n', '\r', '\r\n '])
    const space = this.#good([' '], ['', '  ', '\t'])
    const start = `${this.#good(METHODS, ODD_METHODS)}${space}${this.#good(TARGETS, ODD_TARGETS)} ${this.#good(VERSIONS, ODD_VERSIONS)}${this.#end()}`
    const [framing, body] = this.#body()
    const fields = this.#is(this.#oddOneIn * 2) ? [] : [this.#field('Host', HOSTS, ODD_HOSTS)]
    for (let others = this.#random.below(4); others > 0; others--)
      fields.push(this.#field(this.#good(NAMES, ODD_NAMES), VALUES, ODD_VALUES))
    if (this.#is(5)) fields.push(this.#field('Connection', CONNECTIONS, ODD_CONNECTIONS))
    if (this.#is(12)) fields.push(this.#field('Expect', EXPECTS, ODD_EXPECTS))
    fields.push(...framing)
    // A framing field doubled, or one beside the other.
    if (fields.length > 0 && this.#is(this.#oddOneIn)) fields.push(this.#pick(fields))
    if (this.#is(this.#oddOneIn)) fields.push(this.#field('Transfer-Encoding', CODINGS, ODD_CODINGS))
    if (this.#is(this.#oddOneIn)) fields.push(this.#field('Content-Length', ['0', '1', String(body.length)], LENGTHS))
    if (this.#is(300)) for (let more = 0; more < 25; more++) fields.push(`f${more}: \r\n`)
    if (this.#is(300)) fields.push(`X: ${'v'.repeat(2500)}\r\n`)
    this.#shuffle(fields)
    return empty + start + fields.join('') + this.#end() + body
  }

  #field(name: string, values: readonly string[], odd: readonly string[]): string {
    const cased = this.#pick([name, name, name.toLowerCase(), name.toUpperCase()])
    const colon = this.#good([':'], [' :', '\t:', '', '::', ';'])
    return `${cased}${colon}${this.#pick(SPACES)}${this.#good(values, odd)}${this.#is(8) ? this.#pick(SPACES) : ''}${this.#end()}`
  }

  /** Fields of the framing, and the body that they speak of. */
  #body(): [framing: string[], body: string] {
    switch (this.#random.below(5)) {
      case 0:
      case 1:
        return [[], '']
      case 2:
      case 3:
        return [[this.#field('Transfer-Encoding', CODINGS, ODD_CODINGS)], this.#chunks()]
      default: {
        const body = this.#pick(BODIES)
        return [[this.#field('Content-Length', [String(body.length), String(body.length), `0${body.length}`], LENGTHS)], body]
      }
    }
  }

  #chunks(): string {
    let chunks = ''
    for (let count = this.#random.below(4); count > 0; count--) {
      const data = this.#pick(BODIES)
      if (data !== '') chunks += `${this.#size(data.length)}${this.#extension()}${this.#end()}${data}${this.#end()}`
    }
    chunks += `${this.#good(['0', '0', '00'], ODD_SIZES)}${this.#extension()}${this.#end()}`
    if (this.#is(4)) chunks += this.#good(TRAILERS, ODD_TRAILERS) + this.#end()
    return chunks + this.#end()
  }

  #size(length: number): string {
    const size = length.toString(16)
    return this.#good([size, size.toUpperCase(), `0${size}`], ODD_SIZES)
  }

  #extension(): string {
    return this.#is(500) ? `;${'e'.repeat(20_000)}` : this.#good(EXTENSIONS, ODD_EXTENSIONS)
  }

  #shuffle(items: string[]): void {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.#random.below(last + 1)
      const item = items[last] ?? ''
      items[last] = items[other] ?? ''
      items[other] = item
    }
  }

  #mutated(bytes: string): string {
    const at = this.#random.below(bytes.length + 1)
    const to = Math.min(at + 1 + this.#random.below(8), bytes.length)
    const byte = String.fromCharCode(this.#is(2) ? this.#pick(TURNS) : this.#random.below(256))
    switch (this.#random.below(7)) {
      case 0: // another byte
        return bytes.slice(0, at) + byte + bytes.slice(at + 1)
      case 1: // one more
        return bytes.slice(0, at) + byte + bytes.slice(at)
      case 2: // fewer
        return bytes.slice(0, at) + bytes.slice(to)
      case 3: // some of them twice
        return bytes.slice(0, to) + bytes.slice(at)
      case 4: // cut off
        return bytes.slice(0, at)
      case 5: {
        // a line twice
        const lines = bytes.split('\r\n')
        const line = this.#random.below(lines.length)
        return lines.toSpliced(line, 0, lines[line] ?? '').join('\r\n')
      }
      default: {
        // a line elsewhere
        const lines = bytes.split('\r\n')
        const [line = ''] = lines.splice(this.#random.below(lines.length), 1)
        return lines.toSpliced(this.#random.below(lines.length + 1), 0, line).join('\r\n')
      }
    }
  }
}
