import type { Log } from '../shared/log.ts'
import type { CallInput, CallName, CallOutput, PageName } from '../shared/services.ts'
import type { StandardSchema } from '../shared/standard-schema.ts'
import type { CookieOptions } from './http/cookies.ts'
import type { BodySource } from './http/body-stream.ts'
import type { Method } from './http/parser.ts'
import type { TakenConnection } from './http/taken-connection.ts'
import type { Problem } from './http/problem.ts'

/** Parameters of a path: '/hi/:name' has { name: string }, and '*' the rest of the path. */
export type Params<P extends string> = P extends `${infer Head}/${infer Tail}`
  ? Params<Head> & Params<Tail>
  : P extends `:${infer Name}`
    ? Readonly<Record<Name, string>>
    : P extends '*'
      ? Readonly<Record<'*', string>>
      : unknown

export interface CallOptions {
  /** Milliseconds until the call is given up with NPP_CALL_TIMEOUT; what the service declares, or ASYNCDefTimeout, without it. */
  readonly timeoutMs?: number
  /** 0 to 31: a call of a higher one leaves, and is taken, before all others. What the service declares, or 0, without it. */
  readonly priority?: number
  /**
   * Gives the call up with NPP_CALL_CANCELLED when it is aborted: one that has not left is not sent, and the reply to any other is dropped.
   * With `req.signal` a call ends with the client that it was made for.
   */
  readonly signal?: AbortSignal
}

/**
 * Has a service process run `name` with `input` and resolves with what it returns. Rejects with an NppError: NPP_CALL_TIMEOUT, NPP_NO_SERVICE,
 * NPP_NO_SUCH_SERVICE, NPP_SERVICE_FAILED (a ServiceError), NPP_INPUT_INVALID (an InputError), NPP_BACKLOG_FULL, NPP_CALL_INPUT,
 * NPP_CALL_TOO_LARGE, NPP_CALL_NO_MEMORY, NPP_REPLY_TOO_LARGE, NPP_CALL_CANCELLED. A handler that lets it pass answers with the status of
 * that error. Bytes (Buffer, Uint8Array) travel as they are, up to `maxCallBytes` as everything. Calls leave at the end of the turn of the event loop in which they were made.
 */
export type CallAsync<S = unknown> = unknown extends S ? UntypedCall : TypedCall<S>

interface UntypedCall {
  (name: string, input?: unknown, options?: CallOptions): Promise<unknown>
  /** As the call itself, for a service whose result nobody waits for: resolves when the call is in the queue. */
  readonly noReply: (name: string, input?: unknown, options?: CallOptions) => Promise<void>
}

interface TypedCall<S> {
  <K extends CallName<S>>(name: K, ...rest: CallArguments<CallInput<S, K>>): Promise<CallOutput<S, K>>
  /** As the call itself, for a service whose result nobody waits for: resolves when the call is in the queue. */
  readonly noReply: <K extends CallName<S>>(name: K, ...rest: CallArguments<CallInput<S, K>>) => Promise<void>
}

type CallArguments<I> = undefined extends I ? [input?: I, options?: CallOptions] : [input: I, options?: CallOptions]

/**
 * A request, complete with its body. Read what you need of its fields, its id and its address before you answer: once the handler has answered
 * and returned, only method, path, target, params and body are sure to stay.
 */
export interface Request<S = unknown, P = unknown> {
  readonly method: Method
  /** Path and query as the client sent them. */
  readonly target: string
  /** Path without the query, its dot segments resolved and its escapes decoded once; an encoded slash stays %2F. */
  readonly path: string
  /** Decoded parameters of the route's path. */
  readonly params: P
  readonly query: URLSearchParams
  /**
   * Address of the client: of the other end of the connection, 'unix:' where that is a Unix socket, or the one that a trusted proxy names
   * (trustedProxies).
   */
  readonly ip: string
  /** 'https' where the client came by TLS, to npp itself or to a trusted proxy that says so. */
  readonly protocol: 'http' | 'https'
  /** Host that the client asked for, with its port where it named one, as a trusted proxy names it; '' on HTTP/1.0 without one. */
  readonly host: string
  /** Fields in the order they came, names in the case they came in. */
  readonly headers: Iterable<readonly [string, string]>
  /** Cookies by their exact names. */
  readonly cookies: ReadonlyMap<string, string>
  readonly body: Buffer
  /** Names the request in the log and on error pages. */
  readonly id: string
  /** Aborted when nobody waits for the answer any more: the client is gone, the handler's deadline has passed, or npp stops and it streams. */
  readonly signal: AbortSignal
  /** Value of the field of this name, case ignored; several are joined with ', '. */
  header(name: string): string | undefined
  /** The body as JSON. Throws NPP_BAD_BODY, which answers 400. */
  json(): unknown
  /** The body of an HTML form (application/x-www-form-urlencoded). Throws NPP_BAD_BODY for another type, which answers 400. */
  form(): URLSearchParams
  readonly callAsync: CallAsync<S>
}

/** What the handler says. Exactly one of text, html, json, send, sendFile, stream, redirect and detach answers; or `write`, and the end of the handler answers. */
export interface Response {
  /** Status code, 200 to 599. */
  status(code: number): this
  /** Adds a field; a Location is percent-encoded where it must be. Throws NPP_HEADER_INVALID for what may not stand there, and for fields that belong to the engine. */
  header(name: string, value: string): this
  /** Sets Content-Type. */
  type(contentType: string): this
  cookie(name: string, value: string, options?: CookieOptions): this
  /** Appends to the body: the OUT of Node++. */
  write(text: string | { toString(): string }): this
  text(body: string): void
  html(body: string | { toString(): string }): void
  json(value: unknown): void
  /** Sends bytes; application/octet-stream unless `type` said otherwise. */
  send(bytes: Uint8Array): void
  /**
   * Sends the file at this absolute path, a large one by sendfile(2). No such file answers 404; application/octet-stream unless `type` said
   * otherwise. A path that comes from a request is yours to check.
   */
  sendFile(path: string): void
  /**
   * Sends the pieces that an iterable makes, or a Readable of Node's, as the client takes them, however long it lasts: in chunks, on HTTP/1.0 up
   * to the end of the connection. application/octet-stream unless `type` said otherwise. When the client goes `return` of the iterator is
   * called; of one that left without a word that is noticed at the next piece, so say something now and then. A source that throws ends the connection, so that nobody takes the part for the whole.
   */
  stream(source: BodySource): void
  /**
   * Takes the connection over, for a WebSocket for example: what it says from here on is the handler's, and so is its end. Nothing that npp
   * limits is limited any more. Rejects with NPP_CLIENT_GONE when the client has left before.
   */
  detach(): Promise<TakenConnection>
  /** 302 unless told otherwise. */
  redirect(location: string, code?: number): void
  /** True once the request is answered, by the handler or by its deadline. */
  readonly answered: boolean
}

/** Answers a request now, or when its promise is fulfilled. */
export type Handler<S = unknown, P = unknown> = (req: Request<S, P>, res: Response) => void | PromiseLike<void>

/** Answers an error now. */
export type ErrorHandler = (problem: Problem, res: Response) => void

/** A route whose whole answer a page service writes. */
export interface Forward<K extends string = string> {
  readonly forward: K
  readonly options: ForwardOptions
}

/** Of a forward: it has no signal, as it is made before there is a request. */
export type ForwardOptions = Pick<CallOptions, 'timeoutMs' | 'priority'>

/** What a route has of its own. */
export interface RouteOptions {
  /** Bytes of a body at the most, instead of the configuration's maxBodyBytes; a larger one is answered 413 before it is read. */
  readonly maxBodyBytes?: number
}

/** Where a site says what answers which path. ':name' takes a segment, '*' at the end the rest. GET routes answer HEAD too;
 * `all` answers the methods for which the path has no route of its own. */
export interface Route<S = unknown> {
  get<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  post<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  put<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  patch<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  delete<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  options<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  all<const P extends string>(path: P, handler: Handler<S, Params<P>> | Forward<PageName<S>>, options?: RouteOptions): void
  /** Answers what no route matches, without the body that such a request may have; without it a small page says 404. */
  notFound(handler: Handler<S>): void
  /**
   * Writes the page of errors of this status, 400 to 599, that npp itself answers with, also where bytes were refused that are no request. The
   * status, Allow, Retry-After and X-Request-Id are set. It answers at once, with that status; where it does not, npp's own page goes out and
   * the log says why. Paths without a route are notFound's where the site has one.
   */
  error(status: number, handler: ErrorHandler): void
}

/** What the events of a site get. */
export interface AppContext<S = unknown> {
  readonly log: Log
  readonly callAsync: CallAsync<S>
}

/** The default export of app.ts, before defineApp. Events as in Node++; one that throws is logged and harms no request. */
export interface App<S = unknown> {
  routes(route: Route<S>): void
  /**
   * What checks the inputs of services before a call is sent: an input that is not valid rejects with NPP_INPUT_INVALID, which answers 400 with
   * the fields at fault. Any Standard Schema library (zod, valibot, arktype) makes them. Keep them in a module of their own, which svc.ts imports
   * too: the input travels as it was given, and `service({ input })` there makes of it what the schema makes.
   */
  readonly schemas?: Schemas<S>
  /** Before the first request; the engine waits for its promise, and does not start when it fails. */
  init?(app: AppContext<S>): void | Promise<void>
  /** After the last request. */
  done?(app: AppContext<S>): void | Promise<void>
  everySecond?(app: AppContext<S>): void | Promise<void>
  everyMinute?(app: AppContext<S>): void | Promise<void>
}

/** The schemas of services by their names; each takes what the service takes. */
export type Schemas<S> = unknown extends S
  ? Readonly<Record<string, StandardSchema>>
  : { readonly [K in CallName<S>]?: StandardSchema<CallInput<S, K>, unknown> }

/** The default export of app.ts. */
export interface AppDefinition<S = unknown> {
  readonly npp: 'app'
  readonly app: App<S>
}

/** Makes a site. `S` is the type of the site's services: `import type services from './svc.ts'`, then `defineApp<typeof services>({ … })`. */
export function defineApp<S = unknown>(app: App<S>): AppDefinition<S> {
  return { npp: 'app', app }
}

/** Makes a route whose whole answer, status and header and body, the page service of this name writes. */
export function forward<const K extends string>(name: K, options: ForwardOptions = {}): Forward<K> {
  return { forward: name, options }
}
