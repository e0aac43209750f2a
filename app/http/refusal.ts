const TEXT = 'This server has as many connections as it may have. Try again in a moment.\n'

/** What a connection above maxConnections is told: ready-made, as nothing of its request is read. */
export const REFUSAL: Uint8Array = Buffer.from(
  `HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${TEXT.length}\r\n\r\n${TEXT}`,
  'latin1',
)
