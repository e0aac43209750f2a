import type { StandardSchema } from './standard-schema.ts'

/**
 * What a site's services look like to the compiler and on the wire. `app` reads these types from the site's svc.ts by `import type` only;
 * neither side imports the other.
 */
export type Service = (input: never, context: ServiceContext) => unknown

/** What is said of a service besides its function. */
export interface ServiceOptions {
  /** Running it twice with the same input does what running it once does: so a call may be made again when a process dies with it. Default: false. */
  readonly idempotent?: boolean
  /** Of its calls, where they name none: 0 (default) to 31, higher first. */
  readonly priority?: number
  /** Milliseconds until its calls are given up, where they name none; ASYNCDefTimeout without it. */
  readonly timeoutMs?: number
}

/** A service with options: made by `service`. I is what it is called with, R what its function returns. */
export interface DeclaredService<I = unknown, R = unknown> {
  readonly run: Service
  readonly options: ServiceOptions & { readonly input?: StandardSchema<unknown, unknown> }
  /** For the compiler alone. */
  readonly types?: { readonly input: I; readonly result: R }
}

/** What a service is told besides its input. */
export interface ServiceContext {
  /** Aborted when nobody waits for the result any more: the deadline of the call has passed, it was cancelled, or its engine is gone. */
  readonly signal: AbortSignal
}

/** A service that writes a whole answer, for `forward`. */
export interface PageService {
  readonly page: PageHandler
}

export type PageHandler = (req: PageRequest, res: PageResponse) => void | PromiseLike<void>

export type ServiceTable = Readonly<Record<string, Service | PageService | DeclaredService>>

/** The default export of svc.ts. */
export interface ServiceDefinition<T extends ServiceTable = ServiceTable> {
  readonly npp: 'services'
  readonly services: T
  readonly options: ServicesOptions
}

/** What is said of all services of a site. */
export interface ServicesOptions {
  /**
   * Calls that a service process runs at a time, 1 to 64, of services that wait for something (await); one that computes has the process for
   * itself anyway. ASYNCSvcConcurrency without it.
   */
  readonly concurrency?: number
}

/** Names of the services that `callAsync` reaches. */
export type CallName<S> =
  S extends ServiceDefinition<infer T> ? { [K in keyof T]: T[K] extends Service | DeclaredService ? K : never }[keyof T] & string : never

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
      ? T[K] extends DeclaredService<infer I>
        ? I
        : T[K] extends (...args: infer A) => unknown
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
      ? T[K] extends DeclaredService<unknown, infer R>
        ? Awaited<R>
        : T[K] extends (...args: never) => infer R
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
