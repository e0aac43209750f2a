import { NppError, messageOf, stackOf } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { Phase, type Connection } from './connection.ts'
import { AnswerState } from './http/answer-state.ts'
import { BodyStream, abandon, type BodySink, type BodySource } from './http/body-stream.ts'
import type { ErrorAnswers } from './http/error-answers.ts'
import { Framing, hasBody, type Exchange } from './http/exchange.ts'
import { closeFile, openFileBody, type OpenFile } from './http/file-body.ts'
import { HttpRequest } from './http/request.ts'
import { HttpResponse } from './http/response.ts'
import { incomingOf, type TakenConnection } from './http/taken-connection.ts'
import type { Transport } from './net/transport.ts'
import type { Outbox } from './outbox.ts'

/** What answers that go on after their turn need of the engine. */
export interface AnswerDesk {
  /** The connection that waits for this answer; undefined when it is gone, or was answered otherwise. */
  waiting(exchange: Exchange): Connection | undefined
  /** Puts the header on its way; true when the connection is to be closed after the answer. */
  begin(conn: Connection, exchange: Exchange): boolean
  /** All of the answer was written. */
  finish(conn: Connection, exchange: Exchange, close: boolean, bodyBytes: number): void
  /** The answer will not be completed, which its client learns by the end of the connection. */
  cutOff(conn: Connection, exchange: Exchange, bodyBytes: number): void
  /** The connection is somebody else's. */
  handedOver(conn: Connection, exchange: Exchange): void
  /** Milliseconds over which the rate of a slow reader is looked at. */
  readonly writeTimeoutMs: number
}

const NOTHING = Buffer.alloc(0)

/** Files, streams and connections that are taken over: answers of which the engine sees the beginning and the end. */
export class LongAnswers {
  readonly #desk: AnswerDesk
  readonly #outbox: Outbox
  readonly #errors: ErrorAnswers
  readonly #log: Log
  /** Named by `attach`, before anything is answered. */
  #net!: Transport

  constructor(desk: AnswerDesk, outbox: Outbox, errors: ErrorAnswers, log: Log) {
    this.#desk = desk
    this.#outbox = outbox
    this.#errors = errors
    this.#log = log
  }

  attach(transport: Transport): void {
    this.#net = transport
  }

  /** Header and file leave in this order; the file is closed when the last of it has left, or the connection is gone. */
  sendFile(exchange: Exchange, path: string): void {
    openFileBody(path, (error, found) => {
      const file = found !== undefined && 'descriptor' in found ? found : undefined
      // Its deadline, or its client, may have gone meanwhile.
      const conn = this.#desk.waiting(exchange)
      if (conn === undefined) {
        if (file !== undefined) closeFile(file.descriptor)
        return
      }
      exchange.state = AnswerState.Open
      if (error !== undefined) this.#errors.failed(new HttpRequest(exchange), new HttpResponse(exchange), error)
      else if (found !== undefined && !('descriptor' in found)) new HttpResponse(exchange).send(found)
      else if (file !== undefined) this.#sendOpenFile(conn, exchange, file)
    })
  }

  #sendOpenFile(conn: Connection, exchange: Exchange, { descriptor, bytes }: OpenFile): void {
    exchange.state = AnswerState.Answered
    exchange.fileBytes = bytes
    const close = this.#desk.begin(conn, exchange)
    const wantsBody = exchange.method !== 'HEAD' && hasBody(exchange.statusCode)
    if (!wantsBody || this.#net.sendFile(conn.slot, descriptor, 0, bytes)) closeFile(descriptor)
    else {
      const giveBack = (): void => {
        conn.long = undefined
        closeFile(descriptor)
      }
      conn.long = { bodyBytes: bytes, drained: giveBack, gone: giveBack }
      this.#outbox.block(conn)
    }
    this.#desk.finish(conn, exchange, close, wantsBody ? bytes : 0)
  }

  /** Header first, then what the source makes, as fast as the client takes it. */
  stream(exchange: Exchange, source: BodySource): void {
    const conn = this.#desk.waiting(exchange)
    if (conn === undefined) {
      abandon(source)
      return
    }
    if (exchange.method === 'HEAD' || !hasBody(exchange.statusCode)) {
      exchange.framing = exchange.minorVersion === 1 ? Framing.Chunked : Framing.Close
      abandon(source)
      this.#desk.finish(conn, exchange, this.#desk.begin(conn, exchange), 0)
      return
    }
    const isChunked = exchange.minorVersion === 1
    exchange.framing = isChunked ? Framing.Chunked : Framing.Close
    // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
    if (!isChunked) exchange.keepAlive = false
    const close = this.#desk.begin(conn, exchange)
    conn.phase = Phase.Streaming
    const sink = new ConnectionSink(conn, exchange, close, this.#desk, this.#outbox, this.#net, this.#log)
    const stream = new BodyStream(source, isChunked, sink)
    sink.stream = stream
    conn.long = stream
    this.#outbox.watch(conn)
    void stream.run()
  }

  /** Resolves when all that was written before has left. Rejects with NPP_CLIENT_GONE, also where the handler was too late. */
  detach(exchange: Exchange): Promise<TakenConnection> {
    const taken = this.#detach(exchange)
    // A handler that does not wait for it must not end the process because a client has left.
    taken.catch(hearNothing)
    return taken
  }

  #detach(exchange: Exchange): Promise<TakenConnection> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new NppError('NPP_CLIENT_GONE', 'the connection was closed before it could be taken over'))
      const attempt = (): void => {
        const conn = this.#desk.waiting(exchange)
        if (conn === undefined) {
          gone()
          return
        }
        const detached = conn.blocked ? undefined : this.#net.detach(conn.slot)
        if (detached === undefined) {
          conn.long = { bodyBytes: 0, drained: attempt, gone }
          return
        }
        conn.long = undefined
        const held = conn.held?.subarray(conn.heldStart, conn.heldEnd) ?? NOTHING
        const head = Buffer.concat([held, detached.unread])
        const request = incomingOf(exchange, detached.socket)
        this.#desk.handedOver(conn, exchange)
        unpause(detached.socket)
        process.nextTick(() => resolve({ request, socket: detached.socket, head }))
      }
      // Not within the turn of the request: what was answered before it leaves at the end of that.
      setImmediate(attempt)
    })
  }
}

/** Where a stream goes on its way to one connection. */
class ConnectionSink implements BodySink {
  stream: BodyStream | undefined
  readonly #conn: Connection
  readonly #exchange: Exchange
  readonly #close: boolean
  readonly #desk: AnswerDesk
  readonly #outbox: Outbox
  readonly #net: Transport
  readonly #log: Log

  constructor(conn: Connection, exchange: Exchange, close: boolean, desk: AnswerDesk, outbox: Outbox, net: Transport, log: Log) {
    this.#conn = conn
    this.#exchange = exchange
    this.#close = close
    this.#desk = desk
    this.#outbox = outbox
    this.#net = net
    this.#log = log
  }

  get isBlocked(): boolean {
    return this.#conn.blocked
  }

  write(bytes: Buffer): void {
    if (!this.#net.write(this.#conn.slot, bytes, 0, bytes.byteLength)) this.#outbox.block(this.#conn)
  }

  finished(): void {
    this.#conn.long = undefined
    this.#desk.finish(this.#conn, this.#exchange, this.#close, this.stream?.bodyBytes ?? 0)
  }

  failed(error: unknown): void {
    this.#conn.long = undefined
    const requestId = new HttpRequest(this.#exchange).id
    this.#log.error({ requestId, target: this.#exchange.target.raw, error: stackOf(error) }, `a stream failed: ${messageOf(error)}`)
    this.#desk.cutOff(this.#conn, this.#exchange, this.stream?.bodyBytes ?? 0)
  }

  failedLate(error: unknown): void {
    this.#log.debug(
      { target: this.#exchange.target.raw, error: stackOf(error) },
      `a stream failed after its client had gone: ${messageOf(error)}`,
    )
  }
}

/**
 * A socket on which `pause` was called stays silent for a library that adds a listener for 'data' and expects it to flow from there. Without
 * listeners for 'readable' it is neither paused nor flowing, from the next tick on.
 */
function unpause(socket: TakenConnection['socket']): void {
  socket.on('readable', hearNothing).off('readable', hearNothing)
}

function hearNothing(): void {}
