/**
 * What a site's services look like to the compiler and on the wire. `app` reads these types from the site's svc.ts by `import type` only;
 * neither side imports the other.
 */
export type Service = (input: never, context: ServiceContext) => unknown

/** What a service is told besides its input. */
export interface ServiceContext {
  /** Aborted when the deadline of the call passes or the process stops. */
  readonly signal: AbortSignal
}

/** A service that writes a whole answer, for `forward`. */
export interface PageService {
  readonly page: PageHandler
}

export type PageHandler = (req: PageRequest, res: PageResponse) => void | PromiseLike<void>

export type ServiceTable = Readonly<Record<string, Service | PageService>>

/** The default export of svc.ts. */
export interface ServiceDefinition<T extends ServiceTable = ServiceTable> {
  readonly npp: 'services'
  readonly services: T
}

/** Names of the services that `callAsync` reaches. */
export type CallName<S> =
  S extends ServiceDefinition<infer T> ? { [K in keyof T]: T[K] extends Service ? K : never }[keyof T] & string : never

/** Names of the services that `forward` reaches; any, where the site does not say what services it has. */
export type PageName<S> = unknown extends S
  ? string
  : S extends ServiceDefinition<infer T>
    ? { [K in keyof T]: T[K] extends PageService ? K : never }[keyof T] & string
    : never

/** What the service takes. A service without a parameter takes undefined. */
export type CallInput<S, K extends string> =
  S extends ServiceDefinition<infer T>
    ? K extends keyof T
      ? T[K] extends (...args: infer A) => unknown
        ? A extends readonly []
          ? undefined
          : A[0]
        : never
      : never
    : never

/** What the service returns, awaited. */
export type CallOutput<S, K extends string> =
  S extends ServiceDefinition<infer T>
    ? K extends keyof T
      ? T[K] extends (...args: never) => infer R
        ? Awaited<R>
        : never
      : never
    : never

/** A request as it travels to a page service: plain data. */
export interface ForwardedRequest {
  readonly method: string
  readonly target: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly headers: readonly (readonly [string, string])[]
  readonly ip: string
  readonly protocol: 'http' | 'https'
  readonly host: string
  readonly body: Uint8Array
}

/** An answer as it travels back. */
export interface ForwardedAnswer {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string | Uint8Array
}

/** The request as a page service sees it. */
export interface PageRequest {
  readonly method: string
  /** Path and query as the client sent them. */
  readonly target: string
  /** Decoded path without the query. */
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Address of the client. */
  readonly ip: string
  /** 'https' where the client came by TLS. */
  readonly protocol: 'http' | 'https'
  /** Host that the client asked for, with its port where it named one. */
  readonly host: string
  /** Fields as received, [name, value]. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer
  /** Value of the field of this name, case ignored; several are joined with ', '. */
  header(name: string): string | undefined
}

/** The response as a page service writes it; what it holds when the service returns is sent. */
export interface PageResponse {
  /** Status code, 200 to 599. */
  status(code: number): this
  /** Adds a field. */
  header(name: string, value: string): this
  /** Sets Content-Type. */
  type(contentType: string): this
  /** Appends to the body. */
  write(text: string | { toString(): string }): this
  text(body: string): void
  html(body: string | { toString(): string }): void
  json(value: unknown): void
  /** Sends bytes; application/octet-stream unless `type` said otherwise. */
  send(bytes: Uint8Array): void
  /** 302 unless told otherwise. */
  redirect(location: string, code?: number): void
}
