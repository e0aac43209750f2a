const TEXT = 'This server has as many connections as it may have. Try again in a moment.\n'

/** What a connection above maxConnections is told: ready-made, as nothing of its request is read. `lines` are further fields. */
export function refusalWith(lines: string): Uint8Array {
  return Buffer.from(
    `HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n${lines}` +
      `Content-Length: ${TEXT.length}\r\n\r\n${TEXT}`,
    'latin1',
  )
}
