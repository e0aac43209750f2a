import { IncomingMessage } from 'node:http'
import type { Exchange } from './exchange.ts'
import { HttpRequest } from './request.ts'

/** A connection that a handler has taken over. */
export interface TakenConnection {
  /** The request as Node's own server would describe it, for libraries that serve upgrades. */
  readonly request: IncomingMessage
  /** It is the handler's to read, to write and to close, and flows when somebody listens for 'data'. Half-open: an 'end' leaves its own side open. */
  readonly socket: IncomingMessage['socket']
  /** What the client has sent after the request. */
  readonly head: Buffer
}

/** What Node's own server would say of the request. */
export function incomingOf(exchange: Exchange, socket: IncomingMessage['socket']): IncomingMessage {
  const request = new IncomingMessage(socket)
  request.method = exchange.method
  request.url = exchange.target.raw
  request.httpVersionMajor = 1
  request.httpVersionMinor = exchange.minorVersion
  request.httpVersion = `1.${exchange.minorVersion}`
  request.complete = true
  const headers: IncomingMessage['headers'] = {}
  for (const [name, value] of new HttpRequest(exchange).headers) {
    const lower = name.toLowerCase()
    const before = headers[lower]
    headers[lower] = before === undefined ? value : `${String(before)}${lower === 'cookie' ? '; ' : ', '}${value}`
    request.rawHeaders.push(name, value)
  }
  request.headers = headers
  request.push(null) // Its body was read by the engine.
  return request
}
