import { HEADER_LIMITS } from '../support/header-limits.ts'
import { chunked, headerOf, post, type AcceptedCase, type RefusedCase } from './parser-case.ts'
import * as fields from './parser-fields.cases.ts'
import * as framing from './parser-framing.cases.ts'
import * as startLine from './parser-start.cases.ts'

export const ACCEPTED: readonly AcceptedCase[] = [...startLine.ACCEPTED, ...fields.ACCEPTED, ...framing.ACCEPTED]

export const REFUSED: readonly RefusedCase[] = [...startLine.REFUSED, ...fields.REFUSED, ...framing.REFUSED]

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
