import { chmodSync, readSync } from 'node:fs'
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { Limits } from '../../shared/limits.ts'
import { checkSocketPath, listenError } from './listen-error.ts'
import { removeStaleSocket } from './stale-socket.ts'
import {
  BACKLOG,
  UNIX_PEER,
  type Detached,
  type ListenAddress,
  type Transport,
  type TransportEvents,
  type TransportOptions,
} from './transport.ts'

const NOTHING = Buffer.alloc(0)

/** What is between a socket and the wire. */
export interface Wire {
  /** A server that is not listening yet and hands its connections to `accept`, half-open ones included. */
  createServer(accept: (socket: Socket) => void): Server
  /**
   * True where a write is never through when it returns, as with TLS: then small ones are copied, so that the writer can go on with his
   * buffer, and he is told `stalled` when they wait for longer than a turn. Behind copiedWriteBytes of them he is told to wait at once.
   */
  readonly isDeferred: boolean
  readonly isSecure: boolean
  /** Memory of another transport: what is written from it is copied, however large. */
  readonly borrowed?: Buffer | undefined
  /** Cuts off what has not been handed to `accept` yet. */
  stopListening?(): void
}

const PLAIN: Wire = {
  createServer: (accept) => createServer({ allowHalfOpen: true, noDelay: true }, accept),
  isDeferred: false,
  isSecure: false,
}

/** What was written behind a file, or is more than node:tls is to encrypt at once. */
interface Queued {
  readonly bytes: Buffer
  at: number
  /** How much of it counts as waiting. */
  readonly counted: number
}

/** A part of a file that is on its way. */
interface FilePart {
  readonly descriptor: number
  at: number
  readonly end: number
}

/** A connection. */
interface Link {
  readonly socket: Socket
  /** It came by a Unix socket. */
  readonly isLocal: boolean
  /** Its listeners, by event. */
  readonly listeners: readonly (readonly [string, (chunk: Buffer) => void])[]
  /** Bytes that wait in small writes. */
  waiting: number
  /** A file and what was written behind it, in order. */
  readonly queue: (Queued | FilePart)[]
  /** The queue is being sent: what is written goes behind it. */
  isSending: boolean
  /** Our side was ended, or is to be when the queue is through. */
  isEnding: boolean
  /** `drained` is to be told. */
  isOwed: boolean
}

/** The transport on node:net, and with another wire on node:tls. */
export class NodeTransport implements Transport {
  readonly reusesReadBuffers = false
  readonly arena: Buffer | undefined
  refused = 0

  readonly #events: TransportEvents
  readonly #options: TransportOptions
  readonly #wire: Wire
  readonly #links: (Link | undefined)[] = []
  readonly #free: number[] = []
  /** Connections that were refused, oldest first: closed by their peers, or here when those take too long. */
  readonly #refusing = new Set<Socket>()
  /** Slots of which a write is not through yet: looked at once, at the end of the turn. */
  #deferred: number[] = []
  #servers: Server[] = []
  #isClosed = false

  constructor(events: TransportEvents, options: TransportOptions, wire: Wire = PLAIN) {
    this.#events = events
    this.#options = options
    this.#wire = wire
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
    if (link === undefined || link.isEnding || link.socket.destroyed || start === end) return true
    const part = bytes.subarray(start, end)
    if (this.#wire.isDeferred) return this.#writeDeferred(slot, link, part, bytes === this.#wire.borrowed)
    const { socket } = link
    if (!link.isSending) {
      socket.write(part)
      // libuv tries the write at once; a length of 0 means that the kernel has copied all of it.
      if (socket.writableLength === 0) return true
    }
    const counted = part.byteLength <= Limits.copiedWriteBytes ? part.byteLength : 0
    if (this.#isTooMuch(link, counted)) return true
    link.isOwed = true
    if (link.isSending) link.queue.push({ bytes: part, at: 0, counted })
    // 'drain' is told only above the high-water mark; the callback of a write behind the others is told always.
    else socket.write(NOTHING, () => this.#left(slot, link, counted))
    return false
  }

  unsent(slot: number): number {
    const link = this.#links[slot]
    if (link === undefined) return 0
    const { socket, queue } = link
    // The stream counts a write as unsent until all of it has left; libuv's handle knows how much of it is left.
    const handle: unknown = Reflect.get(socket, '_handle')
    const inHandle = typeof handle === 'object' && handle !== null && 'writeQueueSize' in handle ? Number(handle.writeQueueSize) : 0
    let bytes = inHandle > 0 ? inHandle : socket.writableLength
    for (const part of queue) bytes += ('bytes' in part ? part.bytes.byteLength : part.end) - part.at
    return bytes
  }

  sendFile(slot: number, descriptor: number, offset: number, length: number): boolean {
    const link = this.#links[slot]
    if (link === undefined || link.isEnding || link.socket.destroyed || length === 0) return true
    link.isOwed = true
    link.queue.push({ descriptor, at: offset, end: offset + length })
    this.#startQueue(slot, link)
    return false
  }

  detach(slot: number): Detached | undefined {
    const link = this.#links[slot]
    if (link === undefined || link.isEnding || link.socket.destroyed || link.isSending || link.socket.writableLength > 0) return undefined
    const { socket } = link
    socket.pause()
    for (const [event, listener] of link.listeners) socket.off(event, listener)
    const read: unknown = socket.read()
    this.#links[slot] = undefined
    process.nextTick(() => this.#release(slot))
    return { socket, unread: read instanceof Buffer ? read : NOTHING }
  }

  pause(slot: number): void {
    this.#links[slot]?.socket.pause()
  }

  resume(slot: number): void {
    this.#links[slot]?.socket.resume()
  }

  end(slot: number): void {
    const link = this.#links[slot]
    if (link === undefined) return
    link.isEnding = true
    if (!link.isSending) link.socket.end()
  }

  destroy(slot: number): void {
    this.#links[slot]?.socket.destroy()
  }

  peerAddress(slot: number): string {
    const link = this.#links[slot]
    return link?.isLocal === true ? UNIX_PEER : (link?.socket.remoteAddress ?? '')
  }

  isSecure(): boolean {
    return this.#wire.isSecure
  }

  stopListening(): void {
    for (const server of this.#servers) server.close()
    this.#servers = []
    this.#wire.stopListening?.()
  }

  close(): void {
    this.#isClosed = true
    this.stopListening()
    for (const socket of this.#refusing) socket.destroy()
    for (const link of this.#links) link?.socket.destroy()
  }

  #open(options: ListenOptions & { readonly fd?: number }, address: ListenAddress): Promise<Server> {
    const server = this.#wire.createServer((socket) => this.#accept(socket, typeof server.address() === 'string'))
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

  #accept(socket: Socket, isLocal: boolean): void {
    if (this.#isClosed) {
      socket.destroy()
      return
    }
    if (this.connections >= this.#options.maxConnections) {
      this.#refuse(socket)
      return
    }
    const slot = this.#free.pop() ?? this.#links.length
    const events = this.#events
    const listeners: Link['listeners'] = [
      ['data', guarded((chunk) => events.received(slot, chunk, 0, chunk.byteLength))],
      ['end', guarded(() => events.ended(slot))],
      // A reset is an ordinary end of a connection; 'close' follows and tells.
      ['error', () => socket.destroy()],
      ['close', guarded(() => this.#release(slot))],
    ]
    this.#links[slot] = { socket, isLocal, listeners, waiting: 0, queue: [], isSending: false, isEnding: false, isOwed: false }
    for (const [event, listener] of listeners) socket.on(event, listener)
    guarded(() => events.opened(slot))()
  }

  #release(slot: number): void {
    try {
      if (!this.#isClosed) this.#events.closed(slot)
    } finally {
      this.#links[slot] = undefined
      this.#free.push(slot)
    }
  }

  /** Counts bytes that have to wait. True when they are more than may, and the connection is cut off. */
  #isTooMuch(link: Link, counted: number): boolean {
    link.waiting += counted
    if (link.waiting <= this.#options.maxBuffered) return false
    link.socket.destroy()
    return true
  }

  #writeDeferred(slot: number, link: Link, part: Buffer, isBorrowed: boolean): boolean {
    const isCopy = isBorrowed || part.byteLength <= Limits.copiedWriteBytes
    const counted = isCopy ? part.byteLength : 0
    // Within a turn nothing has had the chance to leave: who was not told to wait is not to be blamed before its end.
    if (link.isOwed) {
      if (this.#isTooMuch(link, counted)) return true
    } else link.waiting += counted
    const bytes = isCopy ? Buffer.from(part) : part
    // Encrypted at once it would be there a second time, and nobody could tell how much of it has left.
    if (link.isSending || part.byteLength > Limits.copiedWriteBytes || link.socket.writableLength > Limits.copiedWriteBytes) {
      link.queue.push({ bytes, at: 0, counted })
      this.#startQueue(slot, link)
    } else link.socket.write(bytes, () => this.#left(slot, link, counted))
    if (isBorrowed || (isCopy && link.waiting <= Limits.copiedWriteBytes)) {
      if (!link.isOwed) this.#lookLater(slot)
      return true
    }
    link.isOwed = true
    return false
  }

  #lookLater(slot: number): void {
    if (this.#deferred.length === 0) setImmediate(() => this.#lookAtDeferred())
    this.#deferred.push(slot)
  }

  /** By now a write for which the kernel has room is through; the others are told of. */
  #lookAtDeferred(): void {
    for (const slot of this.#deferred.splice(0)) {
      const link = this.#links[slot]
      if (link === undefined || link.isOwed || link.waiting === 0 || link.socket.destroyed) continue
      if (this.#isTooMuch(link, 0)) continue
      link.isOwed = true
      guarded(() => this.#events.stalled(slot))()
    }
  }

  /** A write has left; the last of several tells. */
  #left(slot: number, link: Link, counted: number): void {
    link.waiting -= counted
    if (!link.isOwed || this.#links[slot] !== link || link.socket.destroyed) return
    if (link.isSending || link.socket.writableLength > 0) return
    link.isOwed = false
    guarded(() => this.#events.drained(slot))()
  }

  #startQueue(slot: number, link: Link): void {
    if (link.isSending) return
    link.isSending = true
    // What was written before leaves first: the callback comes when it has.
    link.socket.write(NOTHING, () => this.#sendQueue(slot, link))
  }

  /** Goes on with what is queued: all that was written before has left. */
  #sendQueue(slot: number, link: Link): void {
    const { socket, queue } = link
    const [next] = queue
    if (this.#links[slot] !== link || socket.destroyed) return
    if (next === undefined) {
      link.isSending = false
      if (link.isEnding) socket.end()
      this.#left(slot, link, 0)
    } else if ('bytes' in next) {
      const start = next.at
      next.at = Math.min(start + Limits.copiedWriteBytes, next.bytes.byteLength)
      const isLast = next.at === next.bytes.byteLength
      if (isLast) queue.shift()
      socket.write(next.bytes.subarray(start, next.at), () => {
        if (isLast) link.waiting -= next.counted
        this.#sendQueue(slot, link)
      })
    } else {
      const bytes = readPart(next)
      if (bytes === undefined) {
        socket.destroy()
        return
      }
      if (next.at === next.end) queue.shift()
      // In a turn of its own, so that one reader on a fast line does not hold up the others.
      socket.write(bytes, () => setImmediate(() => this.#sendQueue(slot, link)))
    }
  }

  /** Closing while the client still sends would reset the refusal away: what it sends is read and dropped until it has ended, for a while. */
  #refuse(socket: Socket): void {
    this.refused++
    const [oldest] = this.#refusing
    if (oldest !== undefined && this.#refusing.size >= Limits.lingeringRefusals) oldest.destroy()
    this.#refusing.add(socket)
    const timer = setTimeout(() => socket.destroy(), Limits.lingerMs).unref()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      clearTimeout(timer)
      this.#refusing.delete(socket)
    })
    socket.end(this.#options.refusal)
    socket.resume()
  }
}

/**
 * The listener, whose exception ends up at 'uncaughtException' a tick later: thrown within node:tls it would keep that from going on with the
 * connection.
 */
function guarded(listener: (chunk: Buffer) => void): (chunk?: Buffer) => void {
  return (chunk = NOTHING) => {
    try {
      listener(chunk)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }
}

/**
 * The next bytes of a file, undefined where it cannot be read or has become shorter than was promised. Read at once: the descriptor is its
 * owner's, who may close it when he is told that the connection is gone, and no read may be under way then.
 */
function readPart(part: FilePart): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(Math.min(Limits.fileChunkBytes, part.end - part.at))
  try {
    const read = readSync(part.descriptor, bytes, 0, bytes.byteLength, part.at)
    part.at += read
    return read === 0 ? undefined : bytes.subarray(0, read)
  } catch {
    return undefined
  }
}
