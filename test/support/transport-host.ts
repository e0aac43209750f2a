import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { NodeTransport } from '../../app/net/node-transport.ts'
import { openTlsTransport } from '../../app/net/tls-transport.ts'
import type { Transport, TransportEvents } from '../../app/net/transport.ts'
import { CERTIFICATE, KEY } from './certificate.ts'
import { eventually } from './eventually.ts'

const ALL_POLLERS = ['epoll', 'poll', 'select'] as const
type Poller = (typeof ALL_POLLERS)[number]
export type TransportKind = 'node' | 'tls' | Poller

const chosen = process.env['TEST_POLLERS']?.split(',')

/** Those under test: TEST_POLLERS=epoll,poll npm test, or all. They differ in C alone, so one is enough where only Node is another. */
export const POLLERS: readonly Poller[] = ALL_POLLERS.filter((poller) => chosen === undefined || chosen.includes(poller))
/** All, or with TEST_TRANSPORT=native those in whose C the sanitizers look for faults. */
export const TRANSPORTS: readonly TransportKind[] = process.env['TEST_TRANSPORT'] === 'native' ? POLLERS : ['node', 'tls', ...POLLERS]

export const REFUSED = 'HTTP/1.1 503 Service Unavailable\r\n\r\n'

export function isTransportKind(word: string): word is TransportKind {
  return word === 'node' || word === 'tls' || ALL_POLLERS.some((kind) => kind === word)
}

/** The transport made last speaks TLS, and so do the clients of its test. */
let isSecure = false

/** Connections that a transport under test takes, and bytes that may wait for each. */
export interface Bounds {
  readonly maxConnections?: number
  readonly maxBuffered?: number
}

export function makeTransport(kind: TransportKind, events: TransportEvents, bounds: Bounds = {}): Transport {
  const options = { maxConnections: 1100, maxBuffered: 1024 * 1024, refusal: Buffer.from(REFUSED), ...bounds }
  isSecure = kind === 'tls'
  if (kind === 'tls') {
    const secrets = { cert: CERTIFICATE, key: KEY }
    return openTlsTransport(events, { ...options, secrets, handshakeTimeout: 10_000, handshakeFailed: () => undefined })
  }
  return kind === 'node' ? new NodeTransport(events, options) : new NativeTransport(events, { ...options, polling: kind })
}

/** What a test wants to do at an event; the rest is only recorded. */
export type Hooks = Partial<{
  opened(transport: Transport, slot: number): void
  received(transport: Transport, slot: number, bytes: Buffer): void
  ended(transport: Transport, slot: number): void
  stalled(transport: Transport, slot: number): void
  drained(transport: Transport, slot: number): void
  closed(transport: Transport, slot: number): void
  turnBegan(): void
  turnEnded(): void
  acceptFailed(): void
}>

/** A transport and what it has told. Bytes are copied before a hook sees them. */
export class TransportHost implements TransportEvents {
  readonly transport: Transport
  readonly told: string[] = []
  /** Slots in the order in which they were opened. */
  readonly slots: number[] = []
  readonly open = new Set<number>()
  receivedBytes = 0
  host = ''
  port = 0
  readonly #hooks: Hooks

  constructor(kind: TransportKind, hooks: Hooks, bounds?: Bounds) {
    this.#hooks = hooks
    this.transport = makeTransport(kind, this, bounds)
  }

  count(word: string): number {
    return this.told.filter((told) => told.startsWith(word)).length
  }

  turnBegan(): void {
    this.#hooks.turnBegan?.()
  }

  turnEnded(): void {
    this.#hooks.turnEnded?.()
  }

  opened(slot: number): void {
    if (this.open.has(slot)) throw new Error(`slot ${slot} was opened twice`)
    this.open.add(slot)
    this.slots.push(slot)
    this.#tell('opened', slot)
    this.#hooks.opened?.(this.transport, slot)
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    this.#tell('received', slot)
    this.receivedBytes += end - start
    this.#hooks.received?.(this.transport, slot, Buffer.from(bytes.subarray(start, end)))
  }

  ended(slot: number): void {
    this.#tell('ended', slot)
    this.#hooks.ended?.(this.transport, slot)
  }

  stalled(slot: number): void {
    this.#tell('stalled', slot)
    this.#hooks.stalled?.(this.transport, slot)
  }

  drained(slot: number): void {
    this.#tell('drained', slot)
    this.#hooks.drained?.(this.transport, slot)
  }

  closed(slot: number): void {
    this.#tell('closed', slot)
    this.open.delete(slot)
    this.#hooks.closed?.(this.transport, slot)
  }

  acceptFailed(error: Error): void {
    this.told.push(`acceptFailed ${error.message}`)
    this.#hooks.acceptFailed?.()
  }

  #tell(word: string, slot: number): void {
    if (!this.open.has(slot)) throw new Error(`${word} of slot ${slot}, which is not open`)
    this.told.push(`${word} ${slot}`)
  }
}

/** A host that listens on a free port of loopback; closed when the test ends. */
export async function listening(context: TestContext, kind: TransportKind, hooks: Hooks = {}, bounds?: Bounds): Promise<TransportHost> {
  const host = new TransportHost(kind, hooks, bounds)
  context.after(() => host.transport.close())
  const address = await host.transport.listen({ host: '127.0.0.1', port: 0 })
  host.host = address.host
  host.port = address.port
  return host
}

/** The other end. Its side stays open until the test ends it. */
export class Client {
  readonly socket: Socket
  readonly #raw: Socket
  chunks: Buffer[] = []
  ended = false
  closed = false
  connected = false
  bytes = 0

  constructor(where: NetConnectOpts) {
    this.#raw = connect({ allowHalfOpen: true, noDelay: true, ...where })
    this.#raw.on('error', () => this.socket.destroy())
    this.socket = isSecure ? connectTls({ socket: this.#raw, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }) : this.#raw
    this.socket
      .on(isSecure ? 'secureConnect' : 'connect', () => {
        this.connected = true
      })
      .on('data', (chunk: Buffer) => {
        this.chunks.push(chunk)
        this.bytes += chunk.byteLength
      })
      .on('end', () => {
        this.ended = true
      })
      .on('error', () => this.socket.destroy())
      .on('close', () => {
        this.closed = true
      })
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  /** Cuts the connection off without a word. */
  reset(): void {
    this.#raw.resetAndDestroy()
    this.socket.destroy()
  }

  async says(text: string): Promise<void> {
    await eventually(`the client reads ${text.slice(0, 40)}, has ${this.text.slice(0, 40)}`, () => this.text === text)
  }
}

/** Connected, and destroyed when the test ends. */
export async function client(context: TestContext, where: NetConnectOpts): Promise<Client> {
  const made = new Client(where)
  context.after(() => made.socket.destroy())
  await eventually('the client connects', () => made.connected || made.closed)
  return made
}

export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 2)
    })
  }
}

/** Bytes that tell their place, so that one lost or doubled shows. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 17 + (at >> 16)) & 0xff
  return bytes
}

export const ECHO: Hooks = {
  received: (transport, slot, bytes) => transport.write(slot, bytes, 0, bytes.byteLength),
  ended: (transport, slot) => transport.end(slot),
}

export function send(host: TransportHost, slot: number, text: string): boolean {
  return host.transport.write(slot, Buffer.from(text), 0, Buffer.byteLength(text))
}

export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** A folder that is gone after the test. */
export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'npp-'))
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}
