import { chmodSync } from 'node:fs'
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { Limits } from '../../shared/limits.ts'
import { checkSocketPath, listenError } from './listen-error.ts'
import { removeStaleSocket } from './stale-socket.ts'
import { BACKLOG, type ListenAddress, type Transport, type TransportEvents, type TransportOptions } from './transport.ts'

const NOTHING = Buffer.alloc(0)

/** A connection. */
interface Link {
  readonly socket: Socket
  /** Bytes that wait in small writes. */
  waiting: number
}

/** The transport on node:net: for systems without the native one, and the pattern for node:tls. */
export class NodeTransport implements Transport {
  readonly reusesReadBuffers = false
  readonly arena: Buffer | undefined

  readonly #events: TransportEvents
  readonly #options: TransportOptions
  readonly #links: (Link | undefined)[] = []
  readonly #free: number[] = []
  /** Connections that were refused, oldest first: closed by their peers, or here when those take too long. */
  readonly #refused = new Set<Socket>()
  #servers: Server[] = []
  #isClosed = false

  constructor(events: TransportEvents, options: TransportOptions) {
    this.#events = events
    this.#options = options
  }

  get connections(): number {
    return this.#links.length - this.#free.length
  }

  async listen(address: ListenAddress): Promise<ListenAddress> {
    const { host } = address
    const server = await this.#open({ host, port: address.port, backlog: BACKLOG, exclusive: true }, address)
    return { host, port: this.#nameOf(server, address).port }
  }

  async listenUnix(path: string, mode: number): Promise<ListenAddress> {
    const address = { host: path, port: 0 }
    checkSocketPath(path)
    await removeStaleSocket(path)
    // Between bind and chmod the file is open to nobody: bind, within #open, gives it the mode that the umask leaves.
    const before = process.umask(0o777)
    let opening: Promise<Server>
    try {
      opening = this.#open({ path, backlog: BACKLOG }, address)
    } finally {
      process.umask(before)
    }
    await opening
    chmodSync(path, mode)
    return address
  }

  async adopt(descriptor: number): Promise<ListenAddress> {
    const address = { host: `descriptor ${descriptor}`, port: 0 }
    return this.#nameOf(await this.#open({ fd: descriptor }, address), address)
  }

  write(slot: number, bytes: Buffer, start: number, end: number): boolean {
    const link = this.#links[slot]
    if (link === undefined || link.socket.destroyed || link.socket.writableEnded) return true
    const { socket } = link
    socket.write(bytes.subarray(start, end))
    // libuv tries the write at once; a length of 0 means that the kernel has copied all of it.
    if (socket.writableLength === 0) return true
    const counted = end - start <= Limits.copiedWriteBytes ? end - start : 0
    link.waiting += counted
    if (link.waiting > this.#options.maxBuffered) {
      socket.destroy()
      return true
    }
    // 'drain' is told only above the high-water mark; the callback of a write behind the others is told always.
    socket.write(NOTHING, () => {
      link.waiting -= counted
      // Told by the last of several writes only.
      if (this.#links[slot] === link && !socket.destroyed && socket.writableLength === 0) this.#events.drained(slot)
    })
    return false
  }

  unsent(slot: number): number {
    const socket = this.#links[slot]?.socket
    if (socket === undefined) return 0
    // The stream counts a write as unsent until all of it has left; libuv's handle knows how much of it is left.
    const handle: unknown = Reflect.get(socket, '_handle')
    const inHandle = typeof handle === 'object' && handle !== null && 'writeQueueSize' in handle ? Number(handle.writeQueueSize) : 0
    return inHandle > 0 ? inHandle : socket.writableLength
  }

  pause(slot: number): void {
    this.#links[slot]?.socket.pause()
  }

  resume(slot: number): void {
    this.#links[slot]?.socket.resume()
  }

  end(slot: number): void {
    this.#links[slot]?.socket.end()
  }

  destroy(slot: number): void {
    this.#links[slot]?.socket.destroy()
  }

  peerAddress(slot: number): string {
    return this.#links[slot]?.socket.remoteAddress ?? ''
  }

  stopListening(): void {
    for (const server of this.#servers) server.close()
    this.#servers = []
  }

  close(): void {
    this.#isClosed = true
    this.stopListening()
    for (const socket of this.#refused) socket.destroy()
    for (const link of this.#links) link?.socket.destroy()
  }

  #open(options: ListenOptions & { readonly fd?: number }, address: ListenAddress): Promise<Server> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    return new Promise((resolve, reject) => {
      // Before listening it failed; after that an accept has, for want of descriptors for example.
      server.on('error', (error) => (server.listening ? this.#events.acceptFailed(error) : reject(listenError(error, address))))
      server.listen(options, () => {
        this.#servers.push(server)
        resolve(server)
      })
    })
  }

  #nameOf(server: Server, address: ListenAddress): ListenAddress {
    const bound = server.address()
    if (bound === null) return address
    return typeof bound === 'string' ? { host: bound, port: 0 } : { host: bound.address, port: bound.port }
  }

  #accept(socket: Socket): void {
    if (this.connections >= this.#options.maxConnections) {
      this.#refuse(socket)
      return
    }
    const slot = this.#free.pop() ?? this.#links.length
    this.#links[slot] = { socket, waiting: 0 }
    const events = this.#events
    socket.on('data', (chunk: Buffer) => events.received(slot, chunk, 0, chunk.byteLength))
    socket.on('end', () => events.ended(slot))
    // A reset is an ordinary end of a connection; 'close' follows and tells.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (!this.#isClosed) events.closed(slot)
      this.#links[slot] = undefined
      this.#free.push(slot)
    })
    events.opened(slot)
  }

  /** Closing while the client still sends would reset the refusal away: what it sends is read and dropped until it has ended, for a while. */
  #refuse(socket: Socket): void {
    const [oldest] = this.#refused
    if (oldest !== undefined && this.#refused.size >= Limits.lingeringRefusals) oldest.destroy()
    this.#refused.add(socket)
    const timer = setTimeout(() => socket.destroy(), Limits.lingerMs).unref()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      clearTimeout(timer)
      this.#refused.delete(socket)
    })
    socket.end(this.#options.refusal)
    socket.resume()
  }
}
