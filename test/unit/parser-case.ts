import type { NppCode } from '../../shared/errors.ts'

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

export const get = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
export const start = (line: string): string => `${line}\r\nHost: a\r\n\r\n`
export const post = (lines: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`
export const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body)
export const old = (lines: string): string => `GET / HTTP/1.0\r\n${lines}\r\n`
export const host = (value: string): string => `GET / HTTP/1.1\r\nHost:${value}\r\n\r\n`
export const field = (name: string, value: string): Expected => ({
  fields: [
    ['Host', 'a'],
    [name, value],
  ],
})
export const char = (code: number): string => String.fromCharCode(code)
export const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`

/** A GET whose header is exactly `bytes` long, its fields below their own limit. */
export function headerOf(bytes: number): string {
  const fixed = get('X: \r\n').length
  return get(`X: ${'x'.repeat(bytes - fixed)}\r\n`)
}

export const targetOf = (bytes: number): string => start(`GET /${'t'.repeat(bytes - 1)} HTTP/1.1`)
export const fieldsOf = (count: number): string => get(Array.from({ length: count - 1 }, (_, index) => `F${index}: ${index}\r\n`).join(''))

export const TOKEN_MARKS = "!#$%&'*+-.^_`|~"
export const NOT_IN_A_NAME = Array.from('"(),/;<=>?@[\\]{} \t\x00\x01\x7f\x80\xff')
/** Control characters but tab; CR and LF have cases of their own. */
export const CONTROLS = Array.from({ length: 32 }, (_, code) => code)
  .filter((code) => ![9, 10, 13].includes(code))
  .concat(127)
