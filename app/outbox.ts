import type { TurnClock } from '../shared/clock.ts'
import type { ConnectionTable } from './connection-table.ts'
import { Phase, type Connection } from './connection.ts'
import type { Exchange } from './http/exchange.ts'
import { ResponseWriter, type Persistence } from './http/response-writer.ts'
import type { SecurityFields } from './http/security-fields.ts'
import type { Transport } from './net/transport.ts'

/** Answers on their way to the transport: those to one read gather in the arena and leave in one write. */
export class Outbox {
  /** The connection whose bytes are being parsed; its answers gather from #from on. */
  current: Connection | undefined
  readonly #writer: ResponseWriter
  readonly #connections: ConnectionTable
  /** Milliseconds over which the rate of a slow reader is looked at. */
  readonly #writeTimeoutMs: number
  #from = 0
  /** The writer's arena is the transport's: what is written from it stays there until the turn ends. */
  #isLent = false
  /** Named by `attach`, before anything is put in. */
  #net!: Transport

  constructor(clock: TurnClock, security: SecurityFields, connections: ConnectionTable, writeTimeoutMs: number) {
    this.#writer = new ResponseWriter(clock, security)
    this.#connections = connections
    this.#writeTimeoutMs = writeTimeoutMs
  }

  /** Bytes of the body of the last answer. */
  get bodyBytes(): number {
    return this.#writer.bodyBytes
  }

  attach(transport: Transport): void {
    this.#net = transport
    if (transport.arena === undefined) return
    this.#writer.use(transport.arena)
    this.#isLent = true
  }

  /** What is put in for this connection gathers until `finish`. */
  begin(conn: Connection): void {
    this.current = conn
    this.#from = this.#writer.cursor
  }

  finish(): void {
    this.current = undefined
  }

  turnEnded(): void {
    this.current = undefined
    this.#from = 0
    this.#writer.cursor = 0
  }

  /** Puts an answer on its way: into the arena for the connection in hand, to the transport for any other. */
  put(conn: Connection, exchange: Exchange, persistence: Persistence): void {
    const writer = this.#writer
    const withoutBody = exchange.method === 'HEAD'
    if (!writer.fits(exchange)) {
      this.flush(conn)
      if (!writer.fits(exchange)) {
        const bytes = writer.alone(exchange, persistence, withoutBody)
        if (!this.#net.write(conn.slot, bytes, 0, bytes.byteLength)) this.block(conn)
        return
      }
    }
    const start = writer.cursor
    writer.append(exchange, persistence, withoutBody)
    if (this.current !== conn) this.#send(conn, start)
  }

  /** Sends what the connection in hand has gathered; nothing for any other. */
  flush(conn: Connection): void {
    if (this.#writer.cursor > this.#from && this.current === conn) this.#send(conn, this.#from)
  }

  /** The transport holds bytes of the connection, which has a deadline for them where it has none of its own. */
  block(conn: Connection): void {
    conn.blocked = true
    conn.unsent = this.#net.unsent(conn.slot)
    if (conn.phase === Phase.Idle) this.#connections.enter(conn, Phase.Blocked, this.#writeTimeoutMs)
    else if (conn.phase === Phase.Closing || conn.phase === Phase.Streaming) this.watch(conn)
  }

  /** A slow reader has another time to take the least rate's worth. */
  watch(conn: Connection): void {
    this.#connections.setDeadline(conn.slot, this.#writeTimeoutMs)
  }

  /** True when a slow reader has taken as many bytes of what waits for it since it was looked at last. */
  hasTaken(conn: Connection, bytes: number): boolean {
    const before = conn.unsent
    if (conn.blocked) conn.unsent = this.#net.unsent(conn.slot)
    return conn.blocked && before - conn.unsent >= bytes
  }

  #send(conn: Connection, start: number): void {
    const writer = this.#writer
    const isTaken = this.#net.write(conn.slot, writer.bytes, start, writer.cursor)
    if (this.#isLent) {
      // Nothing is taken back: what the connection in hand had gathered before another's answer leaves as it is.
      const { current } = this
      if (current !== undefined && current !== conn && start > this.#from) this.#net.write(current.slot, writer.bytes, this.#from, start)
      this.#from = writer.cursor
    } else if (isTaken) writer.cursor = start
    else {
      // The transport holds on to the arena. Answers of the connection in hand, before `start`, move to the next one.
      writer.renew(start)
      this.block(conn)
    }
  }
}
