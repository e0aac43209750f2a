import type { NppCode } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'

/** What the parser says of an accepted request; what a case leaves out is not looked at. */
export interface Expected {
  readonly method?: string
  readonly target?: string
  readonly path?: string
  readonly minorVersion?: number
  readonly fields?: readonly (readonly [string, string])[]
  readonly body?: string
  readonly keepAlive?: boolean
  readonly expectsContinue?: boolean
  /** Bytes that follow the request, and are none of its business. '' where left out. */
  readonly rest?: string
}

/** [section, rule, request in latin1, what comes out]. Sections are of RFC 9112 unless they name another source. */
export type AcceptedCase = readonly [section: string, rule: string, request: string, expected: Expected]
export type RefusedCase = readonly [section: string, rule: string, request: string, code: NppCode]

/** Bytes of a body that the parser under test takes. */
export const MAX_BODY = 40

const get = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const start = (line: string): string => `${line}\r\nHost: a\r\n\r\n`
const post = (lines: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`
const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body)
const old = (lines: string): string => `GET / HTTP/1.0\r\n${lines}\r\n`
const host = (value: string): string => `GET / HTTP/1.1\r\nHost:${value}\r\n\r\n`
const field = (name: string, value: string): Expected => ({
  fields: [
    ['Host', 'a'],
    [name, value],
  ],
})
const char = (code: number): string => String.fromCharCode(code)
const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`

/** A GET whose header is exactly `bytes` long, its fields below their own limit. */
export function headerOf(bytes: number): string {
  const fixed = get('X: \r\n').length
  return get(`X: ${'x'.repeat(bytes - fixed)}\r\n`)
}

const targetOf = (bytes: number): string => start(`GET /${'t'.repeat(bytes - 1)} HTTP/1.1`)
const fieldsOf = (count: number): string => get(Array.from({ length: count - 1 }, (_, index) => `F${index}: ${index}\r\n`).join(''))

const METHOD_NAMES = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']
const TOKEN_MARKS = "!#$%&'*+-.^_`|~"
const NOT_IN_A_NAME = Array.from('"(),/;<=>?@[\\]{} \t\x00\x01\x7f\x80\xff')
/** Control characters but tab; CR and LF have cases of their own. */
const CONTROLS = Array.from({ length: 32 }, (_, code) => code)
  .filter((code) => ![9, 10, 13].includes(code))
  .concat(127)

export const ACCEPTED: readonly AcceptedCase[] = [
  // Start line.
  ...METHOD_NAMES.map((method): AcceptedCase => ['9110 §9', `${method} is known`, start(`${method} / HTTP/1.1`), { method }]),
  ['§2.2', 'an empty line before the start line is ignored', `\r\n${get('')}`, { method: 'GET', target: '/' }],
  [
    '§2.2',
    'empty lines up to the limit are ignored',
    `${'\r\n'.repeat(Limits.leadingEmptyBytes / 2)}${get('X: y\r\n')}`,
    { ...field('X', 'y'), target: '/' },
  ],
  ['§3.2.1', 'origin form', start('GET /a/b HTTP/1.1'), { target: '/a/b', path: '/a/b' }],
  ['§3.2.1', 'the path ends at the first question mark', start('GET /a?b=/c?d HTTP/1.1'), { target: '/a?b=/c?d', path: '/a' }],
  ['§3.2.1', 'a query may be empty', start('GET /a? HTTP/1.1'), { target: '/a?', path: '/a' }],
  ['§3.2.1', 'the raw target keeps its escapes', start('GET /%2e%2F%00 HTTP/1.1'), { target: '/%2e%2F%00' }],
  ['3986 §3.3', 'all characters of a path', start("GET /az09-._~!$&'()*+,;=:@% HTTP/1.1"), { target: "/az09-._~!$&'()*+,;=:@%" }],
  ['WHATWG URL', 'what browsers leave unescaped in a path', start('GET /^`{|} HTTP/1.1'), { target: '/^`{|}' }],
  ['WHATWG URL', 'what browsers leave unescaped in a query', start('GET /?\\^`{|} HTTP/1.1'), { target: '/?\\^`{|}' }],
  ['§3.2.2', 'absolute form', start('GET http://b/c?d HTTP/1.1'), { target: 'http://b/c?d', path: 'http://b/c' }],
  ['§3.2.4', 'asterisk form', start('OPTIONS * HTTP/1.1'), { method: 'OPTIONS', target: '*' }],
  ['9110 §4.1', 'a target at the limit', targetOf(HEADER_LIMITS.targetBytes), { method: 'GET' }],
  ['§2.3', 'HTTP/1.1', get(''), { minorVersion: 1 }],
  ['§2.3', 'HTTP/1.0', old(''), { minorVersion: 0 }],

  // Fields.
  [
    '§5',
    'fields in the order they came, in the case they came in',
    get('B: 1\r\na: 2\r\nB: 3\r\n'),
    {
      fields: [
        ['Host', 'a'],
        ['B', '1'],
        ['a', '2'],
        ['B', '3'],
      ],
    },
  ],
  ['§5.1', 'no space after the colon', get('X:y\r\n'), field('X', 'y')],
  ['§5.1', 'spaces and tabs around a value are not part of it', get('X: \t y z\t \r\n'), field('X', 'y z')],
  ['§5.1', 'an empty value', get('X:\r\n'), field('X', '')],
  ['§5.1', 'a value of spaces alone is empty', get('X: \t \r\n'), field('X', '')],
  ['§5.1', 'a colon in a value', get('X: :y:\r\n'), field('X', ':y:')],
  ['9110 §5.5', 'a tab within a value', get('X: y\tz\r\n'), field('X', 'y\tz')],
  ['9110 §5.5', 'obs-text in a value', get('X: \x80\xe4\xff\r\n'), field('X', '\x80\xe4\xff')],
  ['9110 §5.6.2', 'all marks of a token in a name', get(`${TOKEN_MARKS}: y\r\n`), field(TOKEN_MARKS, 'y')],
  ['limit', 'as many fields as are allowed', fieldsOf(HEADER_LIMITS.headerFields), {}],
  ['limit', 'a header as long as is allowed', headerOf(HEADER_LIMITS.headerBytes), {}],

  // Host.
  ['§3.2', 'Host in any case', 'GET / HTTP/1.1\r\nhOsT: a\r\n\r\n', { fields: [['hOsT', 'a']] }],
  ['§3.2', 'an empty Host', host(''), {}],
  ['§3.2', 'HTTP/1.0 needs no Host', old(''), {}],
  ['9110 §7.2', 'a name and a port', host(' example.org:8080'), { fields: [['Host', 'example.org:8080']] }],
  ['9110 §7.2', 'IPv4', host(' 127.0.0.1:80'), {}],
  ['9110 §7.2', 'IPv6', host(' [::1]:8080'), { fields: [['Host', '[::1]:8080']] }],
  ['§3.2', 'a field whose name has four letters is not Host', get('Hist: ?? \r\n'), field('Hist', '??')],

  // Content-Length.
  ['§6.3', 'a body of the length given', post('Content-Length: 3\r\n', 'abc'), { body: 'abc' }],
  ['§6.3', 'no length is no body', get(''), { body: '' }],
  ['§6.3', 'a length of 0', post('Content-Length: 0\r\n', ''), { body: '' }],
  ['§6.3', 'a GET may have a body', get('Content-Length: 2\r\n') + 'ab', { body: 'ab' }],
  ['§6.2', 'in any case', post('CONTENT-LENGTH: 1\r\n', 'a'), { body: 'a' }],
  ['9110 §8.6', 'leading zeros', post('Content-Length: 003\r\n', 'abc'), { body: 'abc' }],
  ['limit', 'a body as long as is allowed', post(`Content-Length: ${MAX_BODY}\r\n`, 'b'.repeat(MAX_BODY)), { body: 'b'.repeat(MAX_BODY) }],
  ['§6.3', 'any byte in a body', post('Content-Length: 5\r\n', '\0\r\n\xff\r'), { body: '\0\r\n\xff\r' }],
  ['§6.3', 'HTTP/1.0 with a length', 'POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab', { body: 'ab', minorVersion: 0 }],

  // Chunked.
  ['§7.1', 'one chunk', chunked('3\r\nabc\r\n0\r\n\r\n'), { body: 'abc' }],
  ['§7.1', 'several chunks are joined', chunked('3\r\nabc\r\n1\r\nd\r\n2\r\nef\r\n0\r\n\r\n'), { body: 'abcdef' }],
  ['§7.1', 'no chunk', chunked('0\r\n\r\n'), { body: '' }],
  [
    '§7.1',
    'sizes in hexadecimal of either case',
    chunked(`a\r\n${'x'.repeat(10)}\r\nB\r\n${'y'.repeat(11)}\r\n0\r\n\r\n`),
    { body: 'x'.repeat(10) + 'y'.repeat(11) },
  ],
  ['§7.1', 'leading zeros in a size', chunked('0003\r\nabc\r\n000\r\n\r\n'), { body: 'abc' }],
  [
    'limit',
    'a size of as many digits as are allowed',
    chunked(`${'1'.padStart(Limits.chunkSizeDigits, '0')}\r\na\r\n0\r\n\r\n`),
    { body: 'a' },
  ],
  ['§7.1', 'any byte in a chunk', chunked('6\r\n0\r\n\r\n\xff\r\n0\r\n\r\n'), { body: '0\r\n\r\n\xff' }],
  ['§7', 'the coding in any case', post('Transfer-Encoding: CHUNKED\r\n', '1\r\na\r\n0\r\n\r\n'), { body: 'a' }],
  ['§6.1', 'the field in any case', post('transfer-ENCODING: chunked\r\n', '1\r\na\r\n0\r\n\r\n'), { body: 'a' }],
  ['§7.1.1', 'extensions are ignored', chunked('3;a;b=c;d="e f"\r\nabc\r\n0;last\r\n\r\n'), { body: 'abc' }],
  ['§7.1.1', '"bad" whitespace before an extension', chunked('3 \t;a=b\r\nabc\r\n0\r\n\r\n'), { body: 'abc' }],
  [
    '§7.1.2',
    'trailers are dropped',
    chunked('1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n'),
    {
      body: 'a',
      fields: [
        ['Host', 'a'],
        ['Transfer-Encoding', 'chunked'],
      ],
    },
  ],
  [
    '9110 §6.5.1',
    'a trailer says nothing of the request',
    chunked('0\r\nContent-Length: 9\r\nConnection: close\r\n\r\n'),
    { body: '', keepAlive: true },
  ],
  [
    'limit',
    'a chunked body as long as is allowed',
    chunked(`${MAX_BODY.toString(16)}\r\n${'c'.repeat(MAX_BODY)}\r\n0\r\n\r\n`),
    { body: 'c'.repeat(MAX_BODY) },
  ],
  ['limit', 'a body in chunks of one byte', chunked(`${'1\r\nz\r\n'.repeat(MAX_BODY)}0\r\n\r\n`), { body: 'z'.repeat(MAX_BODY) }],
  ['limit', 'extensions below the limit', chunked(`1;${'e'.repeat(2000)}\r\na\r\n0\r\n\r\n`), { body: 'a' }],

  // Expect.
  ['9110 §10.1.1', '100-continue', post('Expect: 100-continue\r\nContent-Length: 1\r\n', 'a'), { expectsContinue: true, body: 'a' }],
  ['9110 §10.1.1', '100-continue in any case', post('expect: 100-Continue\r\nContent-Length: 1\r\n', 'a'), { expectsContinue: true }],
  [
    '9110 §10.1.1',
    '100-continue before chunks',
    post('Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    { expectsContinue: true },
  ],
  ['9110 §10.1.1', '100-continue without a body means nothing', get('Expect: 100-continue\r\n'), { expectsContinue: false }],
  [
    '9110 §10.1.1',
    '100-continue on HTTP/1.0 is ignored',
    old('Expect: 100-continue\r\nContent-Length: 1\r\n') + 'a',
    { expectsContinue: false, body: 'a' },
  ],

  // Connection.
  ['§9.3', 'HTTP/1.1 persists', get(''), { keepAlive: true }],
  ['§9.3', 'HTTP/1.0 does not', old(''), { keepAlive: false }],
  ['§9.3', 'close', get('Connection: close\r\n'), { keepAlive: false }],
  ['§9.3', 'keep-alive on HTTP/1.0', old('Connection: keep-alive\r\n'), { keepAlive: true }],
  ['§9.3', 'keep-alive on HTTP/1.1', get('Connection: keep-alive\r\n'), { keepAlive: true }],
  ['9110 §7.6.1', 'in any case', get('CONNECTION: Close\r\n'), { keepAlive: false }],
  ['9110 §7.6.1', 'keep-alive in any case', old('Connection: Keep-ALIVE\r\n'), { keepAlive: true }],
  ['9110 §7.6.1', 'a list of tokens', get('Connection: upgrade, X ,\tclose\r\n'), { keepAlive: false }],
  ['9110 §7.6.1', 'empty members of the list', get('Connection: ,, close ,\r\n'), { keepAlive: false }],
  ['§9.3', 'close wins over keep-alive', old('Connection: keep-alive, close\r\n'), { keepAlive: false }],
  ['§9.3', 'close wins over keep-alive in another field', old('Connection: close\r\nConnection: keep-alive\r\n'), { keepAlive: false }],
  ['9110 §7.6.1', 'a token that only contains close', get('Connection: closed, not-close\r\n'), { keepAlive: true }],

  // What follows.
  ['§9.3.2', 'the next request is left alone', get('') + 'GET /2 HTTP', { rest: 'GET /2 HTTP' }],
  ['§9.3.2', 'also after a body', post('Content-Length: 2\r\n', 'abGET'), { body: 'ab', rest: 'GET' }],
  [
    '§9.3.2',
    'also after chunks, where the body has shrunk',
    chunked('1\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\n\r\nGET /3'),
    { body: 'abc', rest: 'GET /3' },
  ],
  ['§9.3.2', 'also bytes that are no request', get('') + '\0\xff', { rest: '\0\xff' }],
]

export const REFUSED: readonly RefusedCase[] = [
  // Start line.
  ['9110 §9.1', 'an unknown method', start('BREW / HTTP/1.1'), 'NPP_NOT_IMPLEMENTED'],
  ['9110 §9.1', 'methods are case-sensitive', start('get / HTTP/1.1'), 'NPP_NOT_IMPLEMENTED'],
  ['9110 §9.3.6', 'CONNECT', start('CONNECT a:80 HTTP/1.1'), 'NPP_NOT_IMPLEMENTED'],
  ['9110 §9.3.8', 'TRACE', start('TRACE / HTTP/1.1'), 'NPP_NOT_IMPLEMENTED'],
  ['9110 §9.1', 'a known method and more', start('GETS / HTTP/1.1'), 'NPP_NOT_IMPLEMENTED'],
  ['limit', 'a method without end', 'M'.repeat(33), 'NPP_NOT_IMPLEMENTED'],
  ['§3', 'a method that is not a token', start('G@T / HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3', 'a space before the method', start(' GET / HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3', 'no method', '/ HTTP/1.1\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§3', 'a tab after the method', start('GET\t/ HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3', 'two spaces after the method', start('GET  / HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3', 'a TLS hello', '\x16\x03\x01\x02\0\x01\0', 'NPP_BAD_REQUEST'],
  ['§2.2', 'LF alone before the start line', `\n${get('')}`, 'NPP_BAD_REQUEST'],
  ['§2.2', 'CR alone before the start line', `\r${get('')}`, 'NPP_BAD_REQUEST'],
  ['limit', 'too many empty lines', `${'\r\n'.repeat(Limits.leadingEmptyBytes / 2 + 1)}${get('')}`, 'NPP_BAD_REQUEST'],
  ['§3.2', 'no target', 'GET HTTP/1.1\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§3.2', 'an empty path before a query', start('GET ?a HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3.2', 'a space in the target', start('GET /a b HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3.2', 'a space in the query', start('GET /?a b HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ...['"', '#', '<', '>', '\\', '\t', '\x80', '\xff'].map((byte): RefusedCase => [
    '3986 §3.3',
    `${hex(byte.charCodeAt(0))} in a path`,
    start(`GET /a${byte} HTTP/1.1`),
    'NPP_BAD_REQUEST',
  ]),
  ...['"', '#', '<', '>', '\t', '\x80', '\xff'].map((byte): RefusedCase => [
    '3986 §3.4',
    `${hex(byte.charCodeAt(0))} in a query`,
    start(`GET /?a${byte} HTTP/1.1`),
    'NPP_BAD_REQUEST',
  ]),
  ...CONTROLS.map((code): RefusedCase => ['3986 §3.3', `${hex(code)} in a path`, start(`GET /${char(code)} HTTP/1.1`), 'NPP_BAD_REQUEST']),
  ['9110 §4.1', 'a target over the limit', targetOf(HEADER_LIMITS.targetBytes + 1), 'NPP_TARGET_TOO_LONG'],
  ['9110 §4.1', 'a target without end', `GET /${'t'.repeat(HEADER_LIMITS.targetBytes)}`, 'NPP_TARGET_TOO_LONG'],
  ['9110 §4.1', 'a query over the limit', start(`GET /?${'q'.repeat(HEADER_LIMITS.targetBytes)} HTTP/1.1`), 'NPP_TARGET_TOO_LONG'],
  ['§2.3', 'HTTP/2.0', start('GET / HTTP/2.0'), 'NPP_HTTP_VERSION'],
  ['§2.3', 'HTTP/0.9', start('GET / HTTP/0.9'), 'NPP_HTTP_VERSION'],
  ['§2.3', 'HTTP/1.2', start('GET / HTTP/1.2'), 'NPP_HTTP_VERSION'],
  ['9113 §3.4', 'the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'NPP_NOT_IMPLEMENTED'],
  ['§2.3', 'http in lower case', start('GET / http/1.1'), 'NPP_BAD_REQUEST'],
  ['§2.3', 'a version of more digits', start('GET / HTTP/1.10'), 'NPP_BAD_REQUEST'],
  ['§2.3', 'a major version of more digits', start('GET / HTTP/11.1'), 'NPP_BAD_REQUEST'],
  ['§2.3', 'no version', 'GET /\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§2.3', 'half a version', start('GET / HTTP/1'), 'NPP_BAD_REQUEST'],
  ['§2.3', 'two spaces before the version', start('GET /  HTTP/1.1'), 'NPP_BAD_REQUEST'],
  ['§3', 'a space after the version', start('GET / HTTP/1.1 '), 'NPP_BAD_REQUEST'],
  ['§2.2', 'a start line that ends with LF', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§2.2', 'a start line that ends with CR', 'GET / HTTP/1.1\rHost: a\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§2.2', 'CR CR LF', 'GET / HTTP/1.1\r\r\nHost: a\r\n\r\n', 'NPP_BAD_REQUEST'],

  // Fields.
  ['§2.2', 'whitespace between start line and fields', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§5.1', 'a space before the colon', get('X : y\r\n'), 'NPP_BAD_REQUEST'],
  ['§5.1', 'a tab before the colon', get('X\t: y\r\n'), 'NPP_BAD_REQUEST'],
  ['§5', 'no colon', get('X\r\n'), 'NPP_BAD_REQUEST'],
  ['§5', 'no name', get(': y\r\n'), 'NPP_BAD_REQUEST'],
  ['§5.2', 'obs-fold with a space', get('X: y\r\n z\r\n'), 'NPP_BAD_REQUEST'],
  ['§5.2', 'obs-fold with a tab', get('X: y\r\n\tz\r\n'), 'NPP_BAD_REQUEST'],
  ['§5.2', 'obs-fold of the first field', 'GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§2.2', 'LF alone after a value', get('X: y\nZ: 1\r\n'), 'NPP_BAD_REQUEST'],
  ['§2.2', 'CR alone in a value', get('X: y\rz\r\n'), 'NPP_BAD_REQUEST'],
  ['§2.2', 'CR alone at the start of a line', get('\rX: y\r\n'), 'NPP_BAD_REQUEST'],
  ['§2.2', 'LF alone as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 'NPP_BAD_REQUEST'],
  ...NOT_IN_A_NAME.map((byte): RefusedCase => [
    '9110 §5.6.2',
    `${hex(byte.charCodeAt(0))} in a field name`,
    get(`X${byte}Y: z\r\n`),
    'NPP_BAD_REQUEST',
  ]),
  ...CONTROLS.map((code): RefusedCase => ['9110 §5.5', `${hex(code)} in a field value`, get(`X: y${char(code)}z\r\n`), 'NPP_BAD_REQUEST']),
  ['limit', 'one field too many', fieldsOf(HEADER_LIMITS.headerFields + 1), 'NPP_HEADER_TOO_LARGE'],
  ['limit', 'a header one byte too long', headerOf(HEADER_LIMITS.headerBytes + 1), 'NPP_HEADER_TOO_LARGE'],
  ['limit', 'a value without end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(HEADER_LIMITS.headerBytes)}`, 'NPP_HEADER_TOO_LARGE'],
  ['limit', 'a name without end', `GET / HTTP/1.1\r\n${'x'.repeat(HEADER_LIMITS.headerBytes)}`, 'NPP_HEADER_TOO_LARGE'],

  // Host.
  ['§3.2', 'no Host on HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§3.2', 'two Host', get('Host: b\r\n'), 'NPP_BAD_REQUEST'],
  ['§3.2', 'two equal Host', get('host: a\r\n'), 'NPP_BAD_REQUEST'],
  ['§3.2', 'two Host on HTTP/1.0', old('Host: a\r\nHost: b\r\n'), 'NPP_BAD_REQUEST'],
  ...['a b', 'a/b', 'a@b', 'a?b', 'a#b', 'a\\b', 'a"b', '<a>', 'a\tb', 'ä'].map((value): RefusedCase => [
    '9110 §7.2',
    `Host ${JSON.stringify(value)}`,
    host(` ${value}`),
    'NPP_BAD_REQUEST',
  ]),

  // Content-Length.
  ...['', '-1', '+1', '1,1', '1, 1', '1 1', '0x1', '1.0', '1e1', 'a', '1a', '\xb9', '9'.repeat(16), '9'.repeat(400)].map(
    (value): RefusedCase => [
      '9110 §8.6',
      `Content-Length ${JSON.stringify(value.slice(0, 20))}`,
      post(`Content-Length: ${value}\r\n`, 'a'),
      'NPP_BAD_REQUEST',
    ],
  ),
  ['§6.3', 'two Content-Length', post('Content-Length: 1\r\nContent-Length: 2\r\n', 'a'), 'NPP_BAD_REQUEST'],
  ['§6.3', 'two equal Content-Length', post('Content-Length: 1\r\ncontent-length: 1\r\n', 'a'), 'NPP_BAD_REQUEST'],
  ['limit', 'Content-Length over the limit, before any body', post(`Content-Length: ${MAX_BODY + 1}\r\n`, ''), 'NPP_BODY_TOO_LARGE'],
  ['limit', 'the greatest Content-Length', post(`Content-Length: ${'9'.repeat(15)}\r\n`, ''), 'NPP_BODY_TOO_LARGE'],

  // Transfer-Encoding.
  [
    '§6.3',
    'Transfer-Encoding and Content-Length',
    post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'),
    'NPP_BAD_REQUEST',
  ],
  [
    '§6.3',
    'Content-Length and Transfer-Encoding',
    post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    'NPP_BAD_REQUEST',
  ],
  ['§6.1', 'Transfer-Encoding on HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'NPP_BAD_REQUEST'],
  ['§6.3', 'chunked twice', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§6.3', 'two Transfer-Encoding', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§6.3', 'chunked not last', post('Transfer-Encoding: chunked, gzip\r\n', ''), 'NPP_BAD_REQUEST'],
  ['§6.3', 'no chunked', post('Transfer-Encoding: gzip\r\n', ''), 'NPP_BAD_REQUEST'],
  ['§6.3', 'identity', post('Transfer-Encoding: identity\r\n', ''), 'NPP_BAD_REQUEST'],
  ['§6.3', 'an empty Transfer-Encoding', post('Transfer-Encoding:\r\n', ''), 'NPP_BAD_REQUEST'],
  ['§6.3', 'a name that only ends with chunked', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§6.3', 'a name that only begins with chunked', post('Transfer-Encoding: chunkedx\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§6.3', 'chunked with a control character before it', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7', 'chunked with a parameter', post('Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§6.1', 'a coding that is not understood', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), 'NPP_NOT_IMPLEMENTED'],

  // Chunks.
  ...['', ';a', '-1', '+1', 'x', '0x1', '1g', ' 1', '1_0', '1 2', '1 ', '1\t', '1 a=b', '\xb9'].map((size): RefusedCase => [
    '§7.1',
    `the chunk size ${JSON.stringify(size)}`,
    chunked(`${size}\r\na\r\n0\r\n\r\n`),
    'NPP_BAD_REQUEST',
  ]),
  ['limit', 'a size of too many digits', chunked(`${'0'.repeat(Limits.chunkSizeDigits + 1)}\r\n\r\n`), 'NPP_BAD_REQUEST'],
  ['limit', 'a size that overflows 64 bits', chunked('10000000000000003\r\nabc\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['limit', 'a size that overflows 32 bits', chunked('100000003\r\nabc\r\n0\r\n\r\n'), 'NPP_BODY_TOO_LARGE'],
  ['limit', 'the greatest size', chunked(`${'f'.repeat(Limits.chunkSizeDigits)}\r\n`), 'NPP_BODY_TOO_LARGE'],
  ['limit', 'a chunk over the limit of the body', chunked(`${(MAX_BODY + 1).toString(16)}\r\n`), 'NPP_BODY_TOO_LARGE'],
  ['limit', 'chunks that are over the limit together', chunked(`1\r\na\r\n${MAX_BODY.toString(16)}\r\n`), 'NPP_BODY_TOO_LARGE'],
  ['§7.1', 'a size that ends with LF', chunked('1\na\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'a size that ends with CR', chunked('1\ra\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'a chunk longer than its size', chunked('1\r\nab\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'a chunk that ends with LF', chunked('1\r\na\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'a chunk that ends with CR', chunked('1\r\na\r0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'the last chunk ends with LF', chunked('0\r\n\n'), 'NPP_BAD_REQUEST'],
  ['§7.1', 'CR and no LF at the end', chunked('0\r\n\rX'), 'NPP_BAD_REQUEST'],
  ['§7.1.1', 'LF in an extension', chunked('1;a\nb\r\na\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.1', 'CR in an extension', chunked('1;a\rb\r\na\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.1', 'NUL in an extension', chunked('1;a\0b\r\na\r\n0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'a trailer without a name', chunked('0\r\n: y\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'a trailer without a colon', chunked('0\r\nX\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'a space before the colon of a trailer', chunked('0\r\nX : y\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'obs-fold in a trailer', chunked('0\r\nX: y\r\n z\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'LF after a trailer', chunked('0\r\nX: y\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'CR in a trailer', chunked('0\r\nX: y\rz\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['§7.1.2', 'NUL in a trailer', chunked('0\r\nX: \0\r\n\r\n'), 'NPP_BAD_REQUEST'],
  ['limit', 'extensions over the limit', chunked(`1;${'e'.repeat(Limits.chunkOverheadBytes)}`), 'NPP_BAD_REQUEST'],
  ['limit', 'trailers over the limit', chunked(`0\r\n${'T: u\r\n'.repeat(Limits.chunkOverheadBytes / 6 + 1)}`), 'NPP_BAD_REQUEST'],

  // Expect.
  ['9110 §10.1.1', 'another expectation', get('Expect: 200-ok\r\n'), 'NPP_EXPECTATION_FAILED'],
  ['9110 §10.1.1', 'another expectation beside 100-continue', get('Expect: 100-continue, x\r\n'), 'NPP_EXPECTATION_FAILED'],
]

/** Requests that are good as far as they go: the parser waits for more, whatever was cut off. */
export const INCOMPLETE: readonly (readonly [rule: string, bytes: string])[] = [
  ['nothing', ''],
  ['an empty line', '\r\n'],
  ['half an empty line', '\r'],
  ['half a method', 'GE'],
  ['half a target', 'GET /a'],
  ['half a version', 'GET / HTT'],
  ['no empty line', 'GET / HTTP/1.1\r\nHost: a\r\n'],
  ['half of the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\r'],
  ['half a body', post('Content-Length: 4\r\n', 'abc')],
  ['half a chunk', chunked('4\r\nabc')],
  ['no last chunk', chunked('1\r\na\r\n')],
  ['no end of the trailers', chunked('0\r\nX: y\r\n')],
  ['a header one byte short of the limit', headerOf(HEADER_LIMITS.headerBytes).slice(0, -1)],
]
