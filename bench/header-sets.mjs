import { browserHeaders } from './scenarios.mjs'

const host = { Host: '127.0.0.1:8080' }

/** Requests as these clients send them, with all their fields. */
export const headerSets = [
  { name: 'wrk', title: 'GET by wrk', fields: host },
  { name: 'curl', title: 'GET by curl', fields: { ...host, 'User-Agent': 'curl/8.14.1', Accept: '*/*' } },
  { name: 'chrome', title: 'navigation by Chrome, with cookies', fields: { ...host, ...browserHeaders } },
]

/** `count` requests, each for a target of its own, back to back as they would lie in the memory that is read into. */
export function layOut({ fields }, count) {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const requests = Array.from({ length: count }, (_, number) => Buffer.from(`GET /hello/${number + 100} HTTP/1.1\r\n${lines.join('')}\r\n`))
  const bytes = Buffer.concat(requests)
  return { bytes, bytesEach: bytes.byteLength / count, count, fieldCount: lines.length }
}
