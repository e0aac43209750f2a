import { Pool } from 'undici'

/** A request that was answered, or was not. */
export interface Answered {
  readonly path: string
  readonly token: string
  /** Milliseconds on the clock of performance.now(). */
  readonly start: number
  readonly end: number
  /** 0 where no answer came. */
  readonly status: number
  /** What the service said of itself and of the call, where it did. */
  readonly answeredToken: unknown
  readonly pid: unknown
}

export interface LoadOptions {
  readonly url: string
  /** Clients, each with a connection of its own, which asks again as soon as it is answered. */
  readonly clients: number
  /** The path of the next request, which has the token in it; undefined to end the client. */
  readonly next: (token: string, client: number) => string | undefined
}

/** Requests that are made at the same time. */
export class CallLoad {
  readonly answered: Answered[] = []
  /** Resolves when all clients have ended. */
  readonly ended: Promise<void>
  readonly #options: LoadOptions
  readonly #pool: Pool

  constructor(options: LoadOptions) {
    this.#options = options
    this.#pool = new Pool(options.url, { connections: options.clients, pipelining: 1, headersTimeout: 60_000, bodyTimeout: 60_000 })
    const clients = Array.from({ length: options.clients }, (_, client) => this.#run(client))
    this.ended = Promise.all(clients).then(() => this.#pool.close())
  }

  /** Requests with this status. */
  count(status: number): number {
    return this.answered.filter((one) => one.status === status).length
  }

  async #run(client: number): Promise<void> {
    for (let count = 0; ; count++) {
      const token = `${client}-${count}`
      const path = this.#options.next(token, client)
      if (path === undefined) return
      this.answered.push(await this.#ask(path, token))
    }
  }

  async #ask(path: string, token: string): Promise<Answered> {
    const start = performance.now()
    try {
      const { statusCode, body } = await this.#pool.request({ path, method: 'GET' })
      const text = await body.text()
      const value: unknown = statusCode === 200 ? JSON.parse(text) : undefined
      const said: { readonly token?: unknown; readonly pid?: unknown } = typeof value === 'object' && value !== null ? value : {}
      return { path, token, start, end: performance.now(), status: statusCode, answeredToken: said.token, pid: said.pid }
    } catch {
      return { path, token, start, end: performance.now(), status: 0, answeredToken: undefined, pid: undefined }
    }
  }
}

/** Of numbers, that below which this share of them lies; 0 where there are none. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((one, other) => one - other)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0
}
