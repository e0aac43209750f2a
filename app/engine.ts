import { randomBytes } from 'node:crypto'
import '../shared/bytes.ts'
import { TurnClock, type Clock } from '../shared/clock.ts'
import type { Config } from '../shared/config.ts'
import { NppError, messageOf, type NppCode } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { ProcessLog } from '../shared/log.ts'
import type { TimerWheel } from '../shared/timer-wheel.ts'
import type { CallAsync } from './api.ts'
import { AccessLog, CLIENT_GONE } from './access-log.ts'
import type { Caller } from './call/caller.ts'
import { ConnectionTable, type DeadlineOwner } from './connection-table.ts'
import { Phase, type Connection } from './connection.ts'
import type { BodySource } from './http/body-stream.ts'
import { addressOfClient, isSecureClient, type TrustedPeers } from './http/client.ts'
import { ErrorAnswers } from './http/error-answers.ts'
import { Exchange, type ExchangeContext } from './http/exchange.ts'
import type { RequestParser } from './http/parser.ts'
import { HttpRequest } from './http/request.ts'
import { Persistence, persistenceOf } from './http/response-writer.ts'
import { HttpResponse } from './http/response.ts'
import { SecurityFields } from './http/security-fields.ts'
import { TargetCache, type Target } from './http/target-cache.ts'
import type { TakenConnection } from './http/taken-connection.ts'
import { LongAnswers, type AnswerDesk } from './long-answers.ts'
import type { Transport, TransportEvents } from './net/transport.ts'
import { Outbox } from './outbox.ts'
import { RequestReader, type RequestTaker } from './request-reader.ts'
import { Dispatch } from './route/dispatch.ts'
import type { Router } from './route/router.ts'
import { trustedPeersOf } from './trusted-peers.ts'

export interface EngineOptions {
  readonly config: Config
  readonly router: Router
  readonly caller: Caller
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly log: ProcessLog
}

const SWITCHING_PROTOCOLS = 101
const NO_PATH = 'the target is neither a path nor a URL, or its escapes are not UTF-8'

/**
 * The way of a request through the process: bytes from the transport, a request from the parser, an answer from the site, bytes to the
 * transport. docs/LIFECYCLE.md draws it, with the exits for errors. Nothing here waits; what comes later names slot and generation.
 */
export class Engine implements TransportEvents, DeadlineOwner, ExchangeContext, RequestTaker, AnswerDesk {
  readonly trustedPeers: TrustedPeers | undefined
  /** Requests that were handled and connections that were accepted, since the start. */
  requests = 0
  accepted = 0
  readonly #config: Config
  readonly callAsync: CallAsync
  readonly #caller: Caller
  readonly #clock: TurnClock
  readonly #log: ProcessLog
  readonly #access: AccessLog | undefined
  readonly #errors: ErrorAnswers
  readonly #dispatch: Dispatch
  readonly #outbox: Outbox
  readonly #targets = new TargetCache()
  readonly #reader: RequestReader
  readonly #long: LongAnswers
  readonly #connections: ConnectionTable
  readonly #idPrefix = `${randomBytes(4).toString('hex')}-`
  #nextId = 0
  /** For the next request. */
  #exchange: Exchange = new Exchange(this)
  /** Named by `attach`, before anything is told. */
  #net!: Transport
  #reusesReadBuffers = false
  readonly writeTimeoutMs: number
  readonly #keepAliveTimeoutMs: number
  /** Bytes that a slow reader has to take in each writeTimeout. */
  readonly #leastTaken: number
  /** A client may have come by HTTPS, and has to be told to come back by it. */
  readonly #mayBeSecure: boolean
  draining = false
  #drained: Promise<void> | undefined
  #allClosed: (() => void) | undefined

  constructor(options: EngineOptions) {
    this.#config = options.config
    const { writeTimeout, keepAliveTimeout, minSendRate } = options.config
    this.writeTimeoutMs = writeTimeout * 1000
    this.#keepAliveTimeoutMs = keepAliveTimeout * 1000
    this.#leastTaken = Math.max(minSendRate * writeTimeout, 1)
    this.#caller = options.caller
    this.callAsync = options.caller.callAsync
    this.trustedPeers = trustedPeersOf(options.config)
    this.#mayBeSecure = options.config.hstsMaxAge > 0 && (options.config.httpsPort !== undefined || this.trustedPeers !== undefined)
    this.#clock = new TurnClock(options.clock)
    this.#connections = new ConnectionTable(this.#clock, options.wheel, this)
    this.#log = options.log
    this.#access = options.config.accessLog && options.log.writesInfo ? new AccessLog(options.log, this.#clock, 'npp_app') : undefined
    this.#errors = new ErrorAnswers(options.log, options.router.errors)
    this.#dispatch = new Dispatch(options.router, options.caller, this.#errors, options.config.maxBodyBytes)
    this.#outbox = new Outbox(this.#clock, new SecurityFields(options.config), this.#connections, this.writeTimeoutMs)
    this.#reader = new RequestReader(options.config, this.#connections, this.#outbox, this)
    this.#long = new LongAnswers(this, this.#outbox, this.#errors, options.log)
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections.open
  }

  /** Names the transport, which was made with this engine as its events. */
  attach(transport: Transport): void {
    this.#net = transport
    this.#reusesReadBuffers = transport.reusesReadBuffers
    this.#outbox.attach(transport)
    this.#reader.attach(transport)
    this.#long.attach(transport)
  }

  /**
   * Accepts no more connections, ends idle ones, and lets requests in flight finish, each with Connection: close. Resolves when all
   * connections are closed, at the latest after `drainTimeout`, when the rest is cut off.
   */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain())
  }

  async #drain(): Promise<void> {
    this.draining = true
    this.#net.stopListening()
    for (const slot of this.#connections.slots()) {
      const conn = this.#connections.take(slot)
      if (conn.phase === Phase.Idle && !conn.resuming) this.end(conn)
      // Else a stream without end would last as long as it is let.
      else if (conn.phase === Phase.Streaming) conn.exchange?.abort(new NppError('NPP_STOPPING', 'npp stops; end the stream'))
    }
    if (this.#connections.open === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#config.drainTimeout * 1000)
      this.#allClosed = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    for (const slot of this.#connections.slots()) this.#net.destroy(slot)
  }

  // What the transport tells.

  turnBegan(): void {
    this.#clock.begin()
  }

  turnEnded(): void {
    this.#clock.end()
    this.#outbox.turnEnded()
    this.#caller.turnGoesOn(this.#clock.now)
  }

  opened(slot: number): void {
    this.accepted++
    this.#connections.add(slot)
    this.#connections.setDeadline(slot, this.#config.keepAliveTimeout * 1000)
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    this.#reader.received(slot, bytes, start, end)
  }

  ended(slot: number): void {
    const conn = this.#connections.take(slot)
    conn.ended = true
    if (conn.phase === Phase.Idle && !conn.resuming) this.end(conn)
    // Half a request will never be a whole one. Its sender is told nothing, as it may be gone.
    else if (conn.discarding) this.end(conn)
    else if (conn.phase === Phase.Header || conn.phase === Phase.Body) this.#net.destroy(slot)
  }

  stalled(slot: number): void {
    this.#outbox.block(this.#connections.take(slot))
  }

  drained(slot: number): void {
    const conn = this.#connections.busy(slot)
    if (conn === undefined || !conn.blocked) return
    conn.blocked = false
    conn.long?.drained()
    if (conn.phase === Phase.Closing) this.#connections.setDeadline(slot, Limits.lingerMs)
    if (conn.phase !== Phase.Blocked) return
    this.#connections.enter(conn, Phase.Idle, this.#keepAliveTimeoutMs)
    this.#reader.resumeLater(conn)
  }

  closed(slot: number): void {
    if (!this.#connections.isOpen(slot)) return
    const conn = this.#connections.busy(slot)
    const exchange = conn?.exchange
    if (exchange !== undefined) {
      exchange.expire(new NppError('NPP_CLIENT_GONE', 'the client has closed the connection'))
      this.#logAccess(exchange, CLIENT_GONE, conn?.long?.bodyBytes ?? 0)
    }
    conn?.long?.gone()
    this.#connections.remove(slot)
    if (this.draining && this.#connections.open === 0) this.#allClosed?.()
  }

  acceptFailed(error: Error): void {
    this.#log.error({ error: messageOf(error) }, 'accepting a connection failed')
  }

  /** A process that was held up hears of its timers before its sockets: what has arrived in time meanwhile is read first. */
  deadlinePassed(slot: number): void {
    const generation = this.#connections.generationOf(slot)
    setImmediate(() => {
      if (this.#connections.generationOf(slot) === generation && this.#connections.isOverdue(slot)) this.#endPhase(slot)
    })
  }

  #endPhase(slot: number): void {
    const conn = this.#connections.take(slot)
    switch (conn.phase) {
      case Phase.Idle:
        this.end(conn)
        break
      case Phase.Header:
      case Phase.Body:
        this.#reader.deadlinePassed(conn)
        break
      case Phase.Handling:
        this.#handlerExpired(conn)
        break
      case Phase.Streaming:
      case Phase.Blocked:
      case Phase.Closing:
        // A stream may take its time to make the next piece; its client may not.
        if ((conn.phase === Phase.Streaming && !conn.blocked) || this.#outbox.hasTaken(conn, this.#leastTaken)) this.#outbox.watch(conn)
        else this.#net.destroy(conn.slot)
        break
    }
  }

  // What the site answers.

  answered(exchange: Exchange): void {
    const conn = this.#connections.busy(exchange.slot)
    if (conn?.exchange === exchange) this.#answer(conn, exchange)
  }

  sendFile(exchange: Exchange, path: string): void {
    this.#long.sendFile(exchange, path)
  }

  stream(exchange: Exchange, source: BodySource): void {
    this.#long.stream(exchange, source)
  }

  detach(exchange: Exchange): Promise<TakenConnection> {
    return this.#long.detach(exchange)
  }

  addressOf(slot: number, generation: number): string {
    return this.#connections.generationOf(slot) === generation ? this.#net.peerAddress(slot) : ''
  }

  isSecure(slot: number, generation: number): boolean {
    return this.#connections.generationOf(slot) === generation && this.#net.isSecure(slot)
  }

  nextRequestId(): string {
    return this.#idPrefix + (this.#nextId++).toString(36)
  }

  // Handling.

  #targetOf(parser: RequestParser, bytes: Buffer, base: number): Target {
    return this.#targets.find(bytes, base + parser.targetStart, base + parser.pathEnd, base + parser.targetEnd)
  }

  #begin(conn: Connection, parser: RequestParser, bytes: Buffer, base: number, target: Target): Exchange {
    const exchange = this.#exchange
    // What is held is the connection's own copy, and never written over.
    const isVolatile = this.#reusesReadBuffers && bytes !== conn.held
    exchange.begin(conn.slot, this.#connections.generationOf(conn.slot), parser, bytes, base, target, isVolatile)
    this.#clock.look()
    exchange.startedAt = this.#clock.now
    this.requests++
    conn.exchange = exchange
    conn.phase = Phase.Handling
    return exchange
  }

  /** The route says how large a body may be. What will be refused is refused before its body. */
  admit(conn: Connection, parser: RequestParser, bytes: Buffer, base: number): boolean {
    const target = this.#targetOf(parser, bytes, base)
    if (target.path === undefined) {
      this.refuse(conn, 'NPP_BAD_REQUEST', NO_PATH, parser, bytes, base)
      return false
    }
    const limit = this.#dispatch.bodyLimit(parser.method, target.path)
    if (limit >= 0 && parser.admit(limit)) return true
    this.#answerEarly(conn, this.#begin(conn, parser, bytes, base, target), parser, limit)
    conn.discarding = conn.phase === Phase.Idle
    return conn.discarding
  }

  /** Answers a request whose body nobody wants. Where little of it is to come, it is read and dropped, and the next request is heard. */
  #answerEarly(conn: Connection, exchange: Exchange, parser: RequestParser, limit: number): void {
    // RFC 9110 §10.1.1: a client that waits for 100 may send the body or not. Nobody can tell which, so nothing can follow.
    if (parser.expectsContinue || conn.blocked || !parser.discard(Limits.discardedBytes)) exchange.keepAlive = false
    const req = new HttpRequest(exchange)
    const res = new HttpResponse(exchange)
    if (limit >= 0) this.#errors.failed(req, res, new NppError('NPP_BODY_TOO_LARGE', `the body is larger than ${limit} bytes`))
    else this.#dispatch.run(exchange, exchange.target.path ?? '', req, res)
    this.#exchange = new Exchange(this)
    if (conn.exchange !== exchange) {
      exchange.release()
      // Until a large page has left nothing is read, so the body would be taken for requests afterwards.
      if (conn.phase === Phase.Blocked) this.end(conn)
    } else {
      // A page of the site's that takes its time; the body does not wait for it.
      exchange.keepAlive = false
      exchange.retain()
      if (conn.phase === Phase.Handling) this.#connections.setDeadline(conn.slot, this.#config.handlerTimeout * 1000)
    }
  }

  handle(conn: Connection, parser: RequestParser, bytes: Buffer, base: number): void {
    const target = this.#targetOf(parser, bytes, base)
    if (target.path === undefined) {
      this.refuse(conn, 'NPP_BAD_REQUEST', NO_PATH, parser, bytes, base)
      return
    }
    const exchange = this.#begin(conn, parser, bytes, base, target)
    const req = new HttpRequest(exchange)
    const res = new HttpResponse(exchange)
    const goesOn = this.#dispatch.run(exchange, target.path, req, res)
    // While a file is opened the exchange is its answer's, whatever the handler was told.
    const isOver = conn.exchange !== exchange
    if (isOver && !goesOn && exchange.isReusable) {
      const ended = exchange.ended()
      req.become(ended)
      res.become(ended)
      return
    }
    this.#exchange = new Exchange(this)
    if (isOver) exchange.release()
    else {
      exchange.retain()
      // A stream or a file goes on at its own pace.
      if (conn.phase === Phase.Handling) this.#connections.setDeadline(conn.slot, this.#config.handlerTimeout * 1000)
    }
  }

  #handlerExpired(conn: Connection): void {
    const { exchange } = conn
    if (exchange === undefined) return
    const error = new NppError('NPP_HANDLER_TIMEOUT', 'the handler did not answer before its deadline')
    exchange.expire(error)
    const page = exchange.successor()
    conn.exchange = page
    this.#errors.failed(new HttpRequest(page), new HttpResponse(page), error)
  }

  /** Answers a request that cannot be handled, and closes: what follows it cannot be told apart from it. */
  refuse(conn: Connection, code: NppCode, reason: string, parser = conn.parser, bytes = conn.held, base = conn.heldStart): void {
    if (conn.discarding) {
      this.end(conn) // It was refused before, and answered.
      return
    }
    const page = new Exchange(this)
    page.slot = conn.slot
    page.generation = this.#connections.generationOf(conn.slot)
    if (parser !== undefined && bytes !== undefined) page.beginRefused(parser, bytes, base)
    this.#errors.refusal(page, code, reason)
    if (this.#mayBeSecure) page.isSecure = isSecureClient(page)
    this.#outbox.put(conn, page, Persistence.Close)
    this.#outbox.flush(conn)
    this.end(conn)
  }

  #answer(conn: Connection, exchange: Exchange): void {
    const close = this.begin(conn, exchange)
    this.finish(conn, exchange, close, this.#outbox.bodyBytes)
  }

  // What answers that go on after their turn need.

  waiting(exchange: Exchange): Connection | undefined {
    const conn = this.#connections.busy(exchange.slot)
    return conn?.exchange === exchange ? conn : undefined
  }

  begin(conn: Connection, exchange: Exchange): boolean {
    if (this.#mayBeSecure) exchange.isSecure = isSecureClient(exchange)
    const close = this.#closesAfter(conn, exchange)
    this.#outbox.put(conn, exchange, persistenceOf(close, exchange.minorVersion))
    return close
  }

  #closesAfter(conn: Connection, exchange: Exchange): boolean {
    return !exchange.keepAlive || this.draining || (conn.ended && conn.heldBytes === 0 && this.#outbox.current !== conn)
  }

  finish(conn: Connection, exchange: Exchange, close: boolean, bodyBytes: number): void {
    if (this.#access !== undefined) this.#logAccess(exchange, exchange.statusCode, bodyBytes)
    conn.exchange = undefined
    // What was known when the header left may not be all: a body that nobody reads.
    if (close || !exchange.keepAlive) {
      this.#outbox.flush(conn)
      this.end(conn)
    } else if (conn.blocked) this.#connections.enter(conn, Phase.Blocked, this.writeTimeoutMs)
    else {
      this.#connections.enter(conn, Phase.Idle, this.#keepAliveTimeoutMs)
      if (this.#outbox.current !== conn) this.#reader.resumeLater(conn)
    }
  }

  cutOff(conn: Connection, exchange: Exchange, bodyBytes: number): void {
    this.#logAccess(exchange, exchange.statusCode, bodyBytes)
    conn.exchange = undefined
    this.#net.destroy(conn.slot)
  }

  handedOver(conn: Connection, exchange: Exchange): void {
    this.#logAccess(exchange, SWITCHING_PROTOCOLS, 0)
    conn.exchange = undefined
    conn.phase = Phase.Closing
  }

  #logAccess(exchange: Exchange, status: number, bytes: number): void {
    if (this.#access === undefined) return
    this.#clock.look()
    if (status >= 500 && exchange.id === '') exchange.id = this.nextRequestId()
    this.#access.write(
      exchange.method,
      exchange.target.raw,
      status,
      bytes,
      this.#clock.now - exchange.startedAt,
      this.trustedPeers === undefined ? this.#net.peerAddress(exchange.slot) : addressOfClient(exchange),
      exchange.id,
    )
  }

  /** Ends our side after what is written; what the peer still sends is read and dropped, so that its kernel does not reset the answer away. */
  end(conn: Connection): void {
    // The time to linger begins when the last answer has left: a slow reader is still at it.
    this.#connections.enter(conn, Phase.Closing, conn.blocked ? this.writeTimeoutMs : Limits.lingerMs)
    this.#net.end(conn.slot)
    if (!conn.paused) return
    conn.paused = false
    this.#net.resume(conn.slot)
  }
}
