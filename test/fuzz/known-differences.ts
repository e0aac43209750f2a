import type { CompleteRequest } from '../support/fed-request.ts'

/** What npp accepts and llhttp refuses, made into what both accept, and which must then come to the same. */
export interface Rewrite {
  readonly name: string
  /** Section, and why npp takes it. */
  readonly because: string
  /** The request without it; the request itself where it has nothing of it. */
  readonly rewritten: (request: string) => string
}

export const REWRITES: readonly Rewrite[] = [
  {
    name: 'a tab behind the value of a framing field',
    because: 'RFC 9112 §5.1: optional whitespace around a value is not part of it, and a tab is whitespace as a space is.',
    rewritten: (request) =>
      rewriteHeader(request, (header) => header.replaceAll(/(\r\n(?:transfer-encoding|content-length):.*?)[ \t]+(?=\r\n)/gi, '$1')),
  },
  {
    name: 'whitespace around ; and = of chunk extensions',
    because: 'RFC 9112 §7.1.1 has "bad" whitespace there, and RFC 9110 §5.6.3 has recipients parse it. It ends no line and no size.',
    rewritten: (request) => rewriteChunks(request, (line) => line.replaceAll(/("(?:[^"\\]|\\.)*")|[ \t]+/g, '$1')),
  },
  {
    name: 'trailers that are framing fields',
    because: 'RFC 9110 §6.5.1 has a recipient ignore them, RFC 9112 §7.1.2 lets it discard them: npp drops all trailers, and none acts.',
    rewritten: (request) =>
      rewriteChunks(
        request,
        (line) => line,
        (trailers) => trailers.replaceAll(/^(?:content-length|transfer-encoding):.*\r\n/gim, ''),
      ),
  },
]

/** Where npp and llhttp may disagree on whether a connection persists. */
export interface KeepAliveDifference {
  readonly name: string
  readonly because: string
  readonly applies: (ours: CompleteRequest, request: string) => boolean
}

export const KEEP_ALIVE_DIFFERENCES: readonly KeepAliveDifference[] = [
  {
    name: 'Proxy-Connection',
    because: 'RFC 9112 Appendix C.2.2: it is no field of HTTP/1.1, and npp reads nothing out of it. llhttp takes it for Connection.',
    applies: ({ fields }) => fields.some(([name]) => name.toLowerCase() === 'proxy-connection'),
  },
  {
    name: 'a tab beside a token of Connection',
    because: 'RFC 9110 §5.6.3: optional whitespace, as a space is. llhttp takes the token for another.',
    applies: (_, request) => /\r\nconnection:[^\r\n]*\t/i.test(request),
  },
  {
    name: 'close and keep-alive on HTTP/1.0',
    because: 'RFC 9112 §9.3: close comes first. llhttp keeps the connection.',
    applies: ({ fields, minorVersion, keepAlive }) => {
      const options = fields.flatMap(([name, value]) => (name.toLowerCase() === 'connection' ? value.toLowerCase().split(',') : []))
      const asked = new Set(options.map((option) => option.trim()))
      return minorVersion === 0 && !keepAlive && asked.has('close') && asked.has('keep-alive')
    },
  },
]

/** The request with its header made into another; no header has an empty line but its last. */
function rewriteHeader(request: string, of: (header: string) => string): string {
  const end = /[^\r\n](\r\n){2}/.exec(request)?.index ?? 0
  return of(request.slice(0, end + 3)) + request.slice(end + 3)
}

/** The request with its chunk lines and its trailers made into others; itself where it has no chunks. */
function rewriteChunks(request: string, ofLine: (line: string) => string, ofTrailers = (trailers: string): string => trailers): string {
  let at = (/[^\r\n](?:\r\n){2}/.exec(request)?.index ?? 0) + 5
  let rewritten = request.slice(0, at)
  if (!/\r\ntransfer-encoding:/i.test(rewritten)) return request
  for (;;) {
    const end = request.indexOf('\r\n', at) + 2
    const line = request.slice(at, end)
    const size = Number.parseInt(line, 16)
    if (end < 2 || Number.isNaN(size)) return request
    rewritten += ofLine(line)
    if (size === 0) return rewritten + ofTrailers(request.slice(end))
    at = end + size + 2
    rewritten += request.slice(end, at)
  }
}
