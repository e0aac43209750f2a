import { createServer, type Server, type Socket } from 'node:net'
import { NppError, errnoOf, messageOf } from '../../shared/errors.ts'
import type { ListenAddress, Transport, TransportEvents } from './transport.ts'

/** Connections that the kernel holds ready for accept; it cuts the number down to net.core.somaxconn. */
const BACKLOG = 4096

const NOTHING = Buffer.alloc(0)

/** The transport on node:net: for systems without the native one, and the pattern for node:tls. */
export class NodeTransport implements Transport {
  readonly reusesReadBuffers = false

  readonly #events: TransportEvents
  readonly #sockets: (Socket | undefined)[] = []
  readonly #free: number[] = []
  #server: Server | undefined

  constructor(events: TransportEvents) {
    this.#events = events
  }

  get connections(): number {
    return this.#sockets.length - this.#free.length
  }

  listen(address: ListenAddress): Promise<ListenAddress> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    this.#server = server
    return new Promise((resolve, reject) => {
      // Before listening it failed; after that an accept has, for want of descriptors for example.
      server.on('error', (error) => (server.listening ? this.#events.acceptFailed(error) : reject(listenError(error, address))))
      server.listen({ host: address.host, port: address.port, backlog: BACKLOG, exclusive: true }, () => {
        const bound = server.address()
        const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
        resolve({ host: address.host, port })
      })
    })
  }

  write(slot: number, bytes: Buffer, start: number, end: number): boolean {
    const socket = this.#sockets[slot]
    if (socket === undefined || socket.destroyed) return true
    socket.write(bytes.subarray(start, end))
    // libuv tries the write at once; a length of 0 means that the kernel has copied all of it.
    if (socket.writableLength === 0) return true
    // 'drain' is told only above the high-water mark; the callback of a write behind the others is told always.
    socket.write(NOTHING, () => {
      // Told by the last of several writes only.
      if (this.#sockets[slot] === socket && !socket.destroyed && socket.writableLength === 0) this.#events.drained(slot)
    })
    return false
  }

  unsent(slot: number): number {
    const socket = this.#sockets[slot]
    if (socket === undefined) return 0
    // The stream counts a write as unsent until all of it has left; libuv's handle knows how much of it is left.
    const handle: unknown = Reflect.get(socket, '_handle')
    const inHandle = typeof handle === 'object' && handle !== null && 'writeQueueSize' in handle ? Number(handle.writeQueueSize) : 0
    return inHandle > 0 ? inHandle : socket.writableLength
  }

  pause(slot: number): void {
    this.#sockets[slot]?.pause()
  }

  resume(slot: number): void {
    this.#sockets[slot]?.resume()
  }

  end(slot: number): void {
    this.#sockets[slot]?.end()
  }

  destroy(slot: number): void {
    this.#sockets[slot]?.destroy()
  }

  peerAddress(slot: number): string {
    return this.#sockets[slot]?.remoteAddress ?? ''
  }

  stopListening(): void {
    this.#server?.close()
    this.#server = undefined
  }

  #accept(socket: Socket): void {
    const slot = this.#free.pop() ?? this.#sockets.length
    this.#sockets[slot] = socket
    const events = this.#events
    socket.on('data', (chunk: Buffer) => events.received(slot, chunk, 0, chunk.byteLength))
    socket.on('end', () => events.ended(slot))
    // A reset is an ordinary end of a connection; 'close' follows and tells.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      events.closed(slot)
      this.#sockets[slot] = undefined
      this.#free.push(slot)
    })
    events.opened(slot)
  }
}

function listenError(error: Error, { host, port }: ListenAddress): NppError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  switch (errnoOf(error)) {
    case 'EADDRINUSE':
      return new NppError(
        'NPP_PORT_IN_USE',
        `port ${port} is in use on ${host}: stop the other process, or set NPP_HTTP_PORT to another port`,
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
      return new NppError(
        'NPP_PORT_PERMISSION',
        `no permission to listen on ${where}: ports below 1024 need CAP_NET_BIND_SERVICE; set NPP_HTTP_PORT to a higher port`,
        {
          cause: error,
        },
      )
    default:
      return new NppError('NPP_LISTEN_FAILED', `cannot listen on ${where}: ${messageOf(error)}`, { cause: error })
  }
}
