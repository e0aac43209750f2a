import type { Config } from '../shared/config.ts'
import type { NppCode } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { ConnectionTable } from './connection-table.ts'
import { Phase, type Connection } from './connection.ts'
import { Outcome } from './http/outcome.ts'
import type { RequestParser } from './http/parser.ts'
import { ParserPool } from './http/parser-pool.ts'
import type { Transport } from './net/transport.ts'
import type { Outbox } from './outbox.ts'

/** Who gets what the reader finds. */
export interface RequestTaker {
  /** Connections are ended as soon as they have nothing left to do. */
  readonly draining: boolean
  /** A request, complete with its body. */
  handle(conn: Connection, parser: RequestParser, bytes: Buffer, base: number): void
  /**
   * The header of a request whose body follows. True when the parser was told to admit the body or to discard it, false when the request was
   * answered and nothing may follow on its connection.
   */
  admit(conn: Connection, parser: RequestParser, bytes: Buffer, base: number): boolean
  /** What is no request; nothing can follow it. */
  refuse(conn: Connection, code: NppCode, reason: string, parser?: RequestParser, bytes?: Buffer, base?: number): void
  /** The connection is over. */
  end(conn: Connection): void
}

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')

/**
 * Makes requests of the bytes of connections. What comes while one is handled waits its turn, up to a bound; what is incomplete stays with
 * its connection, under a deadline.
 */
export class RequestReader {
  readonly #connections: ConnectionTable
  readonly #outbox: Outbox
  readonly #taker: RequestTaker
  readonly #parsers: ParserPool
  readonly #headerTimeoutMs: number
  readonly #bodyTimeoutMs: number
  readonly #keepAliveTimeoutMs: number
  /** Bytes of a body that have to arrive in each bodyTimeout. */
  readonly #leastArrived: number
  /** Named by `attach`, before anything is received. */
  #net!: Transport

  constructor(config: Config, connections: ConnectionTable, outbox: Outbox, taker: RequestTaker) {
    this.#connections = connections
    this.#outbox = outbox
    this.#taker = taker
    const { maxHeaderBytes, maxHeaderFields, maxTargetBytes } = config
    this.#parsers = new ParserPool({ headerBytes: maxHeaderBytes, headerFields: maxHeaderFields, targetBytes: maxTargetBytes })
    this.#headerTimeoutMs = config.headerTimeout * 1000
    this.#bodyTimeoutMs = config.bodyTimeout * 1000
    this.#keepAliveTimeoutMs = config.keepAliveTimeout * 1000
    this.#leastArrived = Math.max(config.minBodyRate * config.bodyTimeout, 1)
  }

  attach(transport: Transport): void {
    this.#net = transport
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    const conn = this.#connections.busy(slot)
    if (conn === undefined) {
      this.#process(this.#connections.take(slot), bytes, start, end)
      return
    }
    if (conn.phase === Phase.Closing) return // Past its last answer a client may send what it likes.
    if (conn.isAnswering || conn.resuming) {
      conn.hold(bytes, start, end)
      if (conn.heldBytes > Limits.pipelinedBytes && !conn.paused) {
        conn.paused = true
        this.#net.pause(slot)
      }
      return
    }
    if (conn.phase === Phase.Body) conn.arrived += end - start
    if (conn.held === undefined) this.#process(conn, bytes, start, end)
    else {
      conn.hold(bytes, start, end)
      this.#process(conn, conn.held, conn.heldStart, conn.heldEnd)
    }
  }

  /** The deadline of a header or a body has passed. */
  deadlinePassed(conn: Connection): void {
    if (conn.phase === Phase.Header) this.#taker.refuse(conn, 'NPP_REQUEST_TIMEOUT', 'the header did not arrive in time')
    else if (conn.arrived >= this.#leastArrived) this.#awaitBody(conn)
    else this.#taker.refuse(conn, 'NPP_REQUEST_TIMEOUT', 'the body did not arrive in time')
  }

  /** Goes on with held bytes in a turn of its own: the answer that made way for them may have been given deep inside a handler. */
  resumeLater(conn: Connection): void {
    if (conn.heldBytes === 0) {
      if (conn.phase === Phase.Idle) this.#rest(conn)
      return
    }
    conn.resuming = true
    const { slot } = conn
    const generation = this.#connections.generationOf(slot)
    process.nextTick(() => {
      if (this.#connections.generationOf(slot) !== generation) return
      conn.resuming = false
      if (conn.phase !== Phase.Idle) return
      if (conn.held !== undefined) this.#process(conn, conn.held, conn.heldStart, conn.heldEnd)
      // A request of which only a part is held needs its rest, however much that part is.
      if (conn.paused && (conn.parser !== undefined || conn.heldBytes <= Limits.pipelinedBytes)) {
        conn.paused = false
        this.#net.resume(conn.slot)
      }
    })
  }

  /** Hands on the requests in `bytes[start, end)`, as many as are complete and may be answered now. */
  #process(conn: Connection, bytes: Buffer, start: number, end: number): void {
    this.#outbox.begin(conn)
    let at = start
    while (at < end && conn.isReading) {
      const parser = conn.parser ?? this.#parsers.shared
      let outcome = parser.parse(bytes, at, end)
      if (outcome === Outcome.Header) outcome = this.#readBody(conn, parser, bytes, at, end)
      if (outcome === Outcome.NeedMore) {
        this.#keepPart(conn, parser, bytes, at)
        at = end
        break
      }
      if (outcome === Outcome.Refused) {
        // One that was answered before its body is over already.
        if (conn.isReading) this.#taker.refuse(conn, parser.refusal, parser.reason, parser, bytes, at)
        this.#returnParser(conn, parser)
        at = end
        break
      }
      if (conn.discarding) this.#discarded(conn)
      else this.#taker.handle(conn, parser, bytes, at)
      at += parser.length
      this.#returnParser(conn, parser)
      conn.continued = false
    }
    this.#outbox.flush(conn)
    this.#outbox.finish()
    this.#keepRest(conn, bytes, at, end)
    if (conn.phase === Phase.Idle) this.#rest(conn)
  }

  #readBody(conn: Connection, parser: RequestParser, bytes: Buffer, base: number, end: number): Outcome {
    return this.#taker.admit(conn, parser, bytes, base) ? parser.parse(bytes, base, end) : Outcome.Refused
  }

  /** A connection that has nothing left to do is idle, or over where its peer has ended, or npp is about to. */
  #rest(conn: Connection): void {
    if (conn.held !== undefined || conn.resuming) return
    if (conn.ended || this.#taker.draining) this.#taker.end(conn)
    else this.#connections.giveBack(conn)
  }

  /** A request is incomplete: the parser and the bytes stay with the connection until more arrive. */
  #keepPart(conn: Connection, parser: RequestParser, bytes: Buffer, at: number): void {
    conn.parser ??= this.#parsers.take()
    if (bytes === conn.held) {
      conn.heldStart = at
      conn.heldEnd = at + parser.kept
    } else conn.hold(bytes, at, at + parser.kept)
    if (parser.headerEnd === 0) {
      if (conn.phase === Phase.Idle) this.#connections.enter(conn, Phase.Header, this.#headerTimeoutMs)
      return
    }
    if (conn.phase !== Phase.Body) this.#awaitBody(conn)
    // Not before the body was admitted: what is refused should not be sent.
    if (parser.expectsContinue && !conn.continued && !conn.discarding) {
      conn.continued = true
      this.#outbox.flush(conn)
      if (!this.#net.write(conn.slot, CONTINUE, 0, CONTINUE.byteLength)) this.#outbox.block(conn)
    }
  }

  #awaitBody(conn: Connection): void {
    conn.arrived = 0
    this.#connections.enter(conn, Phase.Body, this.#bodyTimeoutMs)
  }

  /** The body that nobody wanted is over: its request was answered before. */
  #discarded(conn: Connection): void {
    conn.discarding = false
    if (conn.phase === Phase.Body) this.#connections.enter(conn, Phase.Idle, this.#keepAliveTimeoutMs)
  }

  /** Bytes after the last request that could be answered now wait for their turn. */
  #keepRest(conn: Connection, bytes: Buffer, at: number, end: number): void {
    if (conn.parser !== undefined) return
    if (at >= end || conn.phase === Phase.Closing) {
      if (conn.held !== undefined) conn.dropHeld()
    } else if (bytes === conn.held) conn.heldStart = at
    else conn.hold(bytes, at, end)
  }

  #returnParser(conn: Connection, parser: RequestParser): void {
    parser.reset()
    if (conn.parser === undefined) return
    conn.parser = undefined
    this.#parsers.giveBack(parser)
  }
}
