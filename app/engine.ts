import { randomBytes } from 'node:crypto'
import '../shared/bytes.ts'
import { TurnClock, type Clock } from '../shared/clock.ts'
import type { Config } from '../shared/config.ts'
import { NppError, messageOf, type NppCode } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { ProcessLog } from '../shared/log.ts'
import type { TimerWheel } from '../shared/timer-wheel.ts'
import { AccessLog, CLIENT_GONE } from './access-log.ts'
import type { Caller } from './call/caller.ts'
import { ConnectionTable, type DeadlineOwner } from './connection-table.ts'
import { Phase, type Connection } from './connection.ts'
import { AnswerState } from './http/answer-state.ts'
import { ErrorAnswers } from './http/error-answers.ts'
import { Exchange, type ExchangeContext } from './http/exchange.ts'
import { closeFile, openFileBody, type OpenFile } from './http/file-body.ts'
import { Outcome } from './http/outcome.ts'
import type { RequestParser } from './http/parser.ts'
import { ParserPool } from './http/parser-pool.ts'
import { HttpRequest } from './http/request.ts'
import { Persistence, persistenceOf } from './http/response-writer.ts'
import { HttpResponse } from './http/response.ts'
import { TargetCache, type Target } from './http/target-cache.ts'
import type { Transport, TransportEvents } from './net/transport.ts'
import { Outbox } from './outbox.ts'
import { Dispatch } from './route/dispatch.ts'
import type { Router } from './route/router.ts'

export interface EngineOptions {
  readonly config: Config
  readonly router: Router
  readonly caller: Caller
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly log: ProcessLog
}

const NO_PATH = 'the target is neither a path nor a URL, or its escapes are not UTF-8'
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')

/**
 * The way of a request through the process: bytes from the transport, a request from the parser, an answer from the site, bytes to the
 * transport. docs/LIFECYCLE.md draws it, with the exits for errors. Nothing here waits; what comes later names slot and generation.
 */
export class Engine implements TransportEvents, DeadlineOwner, ExchangeContext {
  readonly #config: Config
  readonly #caller: Caller
  readonly #clock: TurnClock
  readonly #log: ProcessLog
  readonly #access: AccessLog | undefined
  readonly #errors: ErrorAnswers
  readonly #dispatch: Dispatch
  readonly #outbox: Outbox
  readonly #targets = new TargetCache()
  readonly #parsers: ParserPool
  readonly #connections: ConnectionTable
  readonly #idPrefix = `${randomBytes(4).toString('hex')}-`
  #nextId = 0
  /** For the next request. */
  #exchange: Exchange = new Exchange(this)
  /** Named by `attach`, before anything is told. */
  #net!: Transport
  #reusesReadBuffers = false
  readonly #writeTimeoutMs: number
  #draining = false
  #drained: Promise<void> | undefined
  #allClosed: (() => void) | undefined

  constructor(options: EngineOptions) {
    this.#config = options.config
    this.#writeTimeoutMs = options.config.writeTimeout * 1000
    this.#caller = options.caller
    this.#clock = new TurnClock(options.clock)
    this.#connections = new ConnectionTable(this.#clock, options.wheel, this)
    this.#log = options.log
    this.#access = options.config.accessLog && options.log.writesInfo ? new AccessLog(options.log, this.#clock, 'npp_app') : undefined
    this.#errors = new ErrorAnswers(options.log, this)
    this.#dispatch = new Dispatch(options.router, options.caller, this.#errors, options.config.maxBodyBytes)
    this.#outbox = new Outbox(this.#clock)
    const { maxHeaderBytes, maxHeaderFields, maxTargetBytes } = options.config
    this.#parsers = new ParserPool({ headerBytes: maxHeaderBytes, headerFields: maxHeaderFields, targetBytes: maxTargetBytes })
  }

  /** Names the transport, which was made with this engine as its events. */
  attach(transport: Transport): void {
    this.#net = transport
    this.#reusesReadBuffers = transport.reusesReadBuffers
    this.#outbox.attach(transport)
  }

  /**
   * Accepts no more connections, ends idle ones, and lets requests in flight finish, each with Connection: close. Resolves when all
   * connections are closed, at the latest after `drainTimeout`, when the rest is cut off.
   */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain())
  }

  async #drain(): Promise<void> {
    this.#draining = true
    this.#net.stopListening()
    for (const slot of this.#connections.slots()) {
      const conn = this.#connections.take(slot)
      if (conn.phase === Phase.Idle && !conn.resuming) this.#end(conn)
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
  }

  opened(slot: number): void {
    this.#connections.add(slot)
    this.#connections.setDeadline(slot, this.#config.keepAliveTimeout * 1000)
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    const conn = this.#connections.busy(slot)
    if (conn === undefined) {
      this.#process(this.#connections.take(slot), bytes, start, end)
      return
    }
    if (conn.phase === Phase.Closing) return // Past its last answer a client may send what it likes.
    if (conn.phase === Phase.Handling || conn.phase === Phase.Blocked || conn.resuming) {
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

  ended(slot: number): void {
    const conn = this.#connections.take(slot)
    conn.ended = true
    if (conn.phase === Phase.Idle && !conn.resuming) this.#end(conn)
    // Half a request will never be a whole one. Its sender is told nothing, as it may be gone.
    else if (conn.phase === Phase.Header || conn.phase === Phase.Body) this.#net.destroy(slot)
  }

  stalled(slot: number): void {
    const conn = this.#connections.take(slot)
    this.#outbox.block(conn)
    if (conn.phase === Phase.Idle) this.#setPhase(conn, Phase.Blocked, this.#writeTimeoutMs)
    else if (conn.phase === Phase.Closing) this.#setPhase(conn, Phase.Closing, this.#writeTimeoutMs)
  }

  drained(slot: number): void {
    const conn = this.#connections.busy(slot)
    if (conn === undefined || !conn.blocked) return
    conn.blocked = false
    closeFileOf(conn)
    if (conn.phase === Phase.Closing) this.#setPhase(conn, Phase.Closing, Limits.lingerMs)
    if (conn.phase !== Phase.Blocked) return
    this.#setPhase(conn, Phase.Idle, this.#config.keepAliveTimeout * 1000)
    this.#resumeLater(conn)
  }

  closed(slot: number): void {
    if (!this.#connections.isOpen(slot)) return
    const conn = this.#connections.busy(slot)
    if (conn !== undefined) closeFileOf(conn)
    const exchange = conn?.exchange
    if (exchange !== undefined) {
      exchange.expire()
      this.#logAccess(exchange, CLIENT_GONE, 0)
    }
    this.#connections.remove(slot)
    if (this.#draining && this.#connections.open === 0) this.#allClosed?.()
  }

  acceptFailed(error: Error): void {
    this.#log.error({ error: messageOf(error) }, 'accepting a connection failed')
  }

  deadlinePassed(slot: number): void {
    const conn = this.#connections.take(slot)
    switch (conn.phase) {
      case Phase.Idle:
        this.#end(conn)
        break
      case Phase.Header:
        this.#refuse(conn, 'NPP_REQUEST_TIMEOUT', 'the header did not arrive in time')
        break
      case Phase.Body:
        if (conn.arrived >= this.#config.minBodyRate * this.#config.bodyTimeout && conn.arrived > 0) this.#awaitBody(conn)
        else this.#refuse(conn, 'NPP_REQUEST_TIMEOUT', 'the body did not arrive in time')
        break
      case Phase.Handling:
        this.#handlerExpired(conn)
        break
      case Phase.Blocked:
      case Phase.Closing:
        if (this.#outbox.hasTaken(conn, Math.max(this.#config.minSendRate * this.#config.writeTimeout, 1)))
          this.#setPhase(conn, conn.phase, this.#writeTimeoutMs)
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
    openFileBody(path, (error, found) => {
      const file = found !== undefined && 'descriptor' in found ? found : undefined
      // Its deadline, or its client, may have gone meanwhile.
      const conn = exchange.state === AnswerState.Sending ? this.#connections.busy(exchange.slot) : undefined
      if (conn?.exchange !== exchange) {
        if (file !== undefined) closeFile(file.descriptor)
        return
      }
      exchange.state = AnswerState.Open
      if (error !== undefined) this.#errors.failed(new HttpRequest(exchange), new HttpResponse(exchange), error)
      else if (found !== undefined && !('descriptor' in found)) new HttpResponse(exchange).send(found)
      else if (file !== undefined) this.#answerFile(conn, exchange, file)
    })
  }

  addressOf(slot: number, generation: number): string {
    return this.#connections.generationOf(slot) === generation ? this.#net.peerAddress(slot) : ''
  }

  nextRequestId(): string {
    return this.#idPrefix + (this.#nextId++).toString(36)
  }

  call(name: string, input: unknown, options: { readonly timeoutMs?: number } | undefined): Promise<unknown> {
    return this.#caller.call(name, input, options)
  }

  // Reading.

  /** Answers the requests in `bytes[start, end)`, as many as are complete and may be answered now. */
  #process(conn: Connection, bytes: Buffer, start: number, end: number): void {
    this.#outbox.begin(conn)
    let at = start
    while (at < end && (conn.phase === Phase.Idle || conn.phase === Phase.Header || conn.phase === Phase.Body)) {
      const parser = conn.parser ?? this.#parsers.shared
      let outcome = parser.parse(bytes, at, end)
      if (outcome === Outcome.Header) outcome = this.#admit(conn, parser, bytes, at, end)
      if (outcome === Outcome.NeedMore) {
        this.#keepPart(conn, parser, bytes, at)
        at = end
        break
      }
      if (outcome === Outcome.Refused) {
        if (conn.phase === Phase.Idle || conn.phase === Phase.Header || conn.phase === Phase.Body)
          this.#refuse(conn, parser.refusal, parser.reason)
        this.#returnParser(conn, parser)
        at = end
        break
      }
      if (conn.discarding) this.#discarded(conn)
      else this.#handle(conn, parser, bytes, at)
      at += parser.length
      this.#returnParser(conn, parser)
      conn.continued = false
    }
    this.#flush(conn)
    this.#outbox.finish()
    this.#keepRest(conn, bytes, at, end)
    if (conn.phase === Phase.Idle) this.#rest(conn)
  }

  /** A connection that has nothing left to do is idle, or over where its peer has ended, or npp is about to. */
  #rest(conn: Connection): void {
    if (conn.held !== undefined || conn.resuming) return
    if (conn.ended || this.#draining) this.#end(conn)
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
      if (conn.phase === Phase.Idle) this.#setPhase(conn, Phase.Header, this.#config.headerTimeout * 1000)
    } else if (conn.phase !== Phase.Body) this.#awaitBody(conn)
    // Not before the header is complete: what is still to come may be a length that is refused.
    if (parser.headerEnd > 0 && parser.expectsContinue && !conn.continued && !conn.discarding) {
      conn.continued = true
      this.#flush(conn)
      if (!this.#net.write(conn.slot, CONTINUE, 0, CONTINUE.byteLength)) this.#outbox.block(conn)
    }
  }

  /** The body that nobody wanted is over: its request was answered before. */
  #discarded(conn: Connection): void {
    conn.discarding = false
    if (conn.phase === Phase.Body) this.#setPhase(conn, Phase.Idle, this.#config.keepAliveTimeout * 1000)
  }

  #awaitBody(conn: Connection): void {
    conn.arrived = 0
    this.#setPhase(conn, Phase.Body, this.#config.bodyTimeout * 1000)
  }

  /** A header is complete and a body follows: its route says how large it may be. What will be refused is refused before the body. */
  #admit(conn: Connection, parser: RequestParser, bytes: Buffer, base: number, end: number): Outcome {
    const target = this.#targetOf(parser, bytes, base)
    if (target.path === undefined) {
      this.#refuse(conn, 'NPP_BAD_REQUEST', NO_PATH)
      return Outcome.Refused
    }
    const limit = this.#dispatch.bodyLimit(parser.method, target.path)
    if (limit >= 0 && parser.admit(limit)) return parser.parse(bytes, base, end)
    this.#answerEarly(conn, this.#begin(conn, parser, bytes, base, target), parser, limit)
    if (conn.phase !== Phase.Idle) return Outcome.Refused
    conn.discarding = true
    return parser.parse(bytes, base, end)
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
    if (conn.exchange !== exchange) exchange.release()
    else {
      // A page of the site's that takes its time; the body does not wait for it.
      exchange.keepAlive = false
      exchange.retain()
      this.#setPhase(conn, Phase.Handling, this.#config.handlerTimeout * 1000)
    }
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

  /** Goes on with held bytes in a turn of its own: the answer that made way for them may have been given deep inside a handler. */
  #resumeLater(conn: Connection): void {
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
    conn.exchange = exchange
    conn.phase = Phase.Handling
    return exchange
  }

  #handle(conn: Connection, parser: RequestParser, bytes: Buffer, base: number): void {
    const target = this.#targetOf(parser, bytes, base)
    if (target.path === undefined) {
      this.#refuse(conn, 'NPP_BAD_REQUEST', NO_PATH)
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
      this.#setPhase(conn, Phase.Handling, this.#config.handlerTimeout * 1000)
    }
  }

  #handlerExpired(conn: Connection): void {
    const { exchange } = conn
    if (exchange === undefined) return
    exchange.expire()
    const page = exchange.successor()
    conn.exchange = page
    const error = new NppError('NPP_HANDLER_TIMEOUT', 'the handler did not answer before its deadline')
    this.#errors.failed(new HttpRequest(page), new HttpResponse(page), error)
  }

  /** Answers a request that cannot be handled, and closes: what follows it cannot be told apart from it. */
  #refuse(conn: Connection, code: NppCode, reason: string): void {
    if (conn.discarding) {
      this.#end(conn) // It was refused before, and answered.
      return
    }
    const page = this.#errors.refusal(code, reason, this.#net.peerAddress(conn.slot))
    this.#outbox.put(conn, page, Persistence.Close)
    this.#flush(conn)
    this.#end(conn)
  }

  /** Header and file leave in this order; the file is closed when the last of it has left, or the connection is gone. */
  #answerFile(conn: Connection, exchange: Exchange, file: OpenFile): void {
    const { slot } = conn
    exchange.state = AnswerState.Answered
    exchange.fileBytes = file.bytes
    const close = this.#closesAfter(conn, exchange)
    this.#outbox.put(conn, exchange, persistenceOf(close, exchange.minorVersion))
    if (exchange.method === 'HEAD' || this.#net.sendFile(slot, file.descriptor, 0, file.bytes)) closeFile(file.descriptor)
    else {
      conn.file = file.descriptor
      this.#outbox.block(conn)
    }
    this.#answerPut(conn, exchange, close)
  }

  #answer(conn: Connection, exchange: Exchange): void {
    const close = this.#closesAfter(conn, exchange)
    this.#outbox.put(conn, exchange, persistenceOf(close, exchange.minorVersion))
    this.#answerPut(conn, exchange, close)
  }

  #closesAfter(conn: Connection, exchange: Exchange): boolean {
    return !exchange.keepAlive || this.#draining || (conn.ended && conn.heldBytes === 0 && this.#outbox.current !== conn)
  }

  #answerPut(conn: Connection, exchange: Exchange, close: boolean): void {
    if (this.#access !== undefined) this.#logAccess(exchange, exchange.statusCode, this.#outbox.bodyBytes)
    conn.exchange = undefined
    if (close) {
      if (this.#outbox.current === conn) this.#flush(conn)
      this.#end(conn)
    } else if (conn.blocked) this.#setPhase(conn, Phase.Blocked, this.#writeTimeoutMs)
    else {
      this.#setPhase(conn, Phase.Idle, this.#config.keepAliveTimeout * 1000)
      if (this.#outbox.current !== conn) this.#resumeLater(conn)
    }
  }

  /** What waits in the transport has a deadline of its own. */
  #flush(conn: Connection): void {
    this.#outbox.flush(conn)
    if (conn.blocked && conn.phase === Phase.Idle) this.#setPhase(conn, Phase.Blocked, this.#writeTimeoutMs)
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
      this.#net.peerAddress(exchange.slot),
      status >= 500 ? exchange.id : '',
    )
  }

  /** Ends our side after what is written; what the peer still sends is read and dropped, so that its kernel does not reset the answer away. */
  #end(conn: Connection): void {
    // The time to linger begins when the last answer has left: a slow reader is still at it.
    this.#setPhase(conn, Phase.Closing, conn.blocked ? this.#writeTimeoutMs : Limits.lingerMs)
    this.#net.end(conn.slot)
    if (!conn.paused) return
    conn.paused = false
    this.#net.resume(conn.slot)
  }

  #setPhase(conn: Connection, phase: Phase, milliseconds: number): void {
    conn.phase = phase
    this.#connections.setDeadline(conn.slot, milliseconds)
  }
}

function closeFileOf(conn: Connection): void {
  if (conn.file === -1) return
  closeFile(conn.file)
  conn.file = -1
}
