import { setTimeout as sleep } from 'node:timers/promises'

/** What clients call, each answered with the token of its own request and the pid of the service. */
const PATHS: readonly ((token: string) => string)[] = [
  (token) => `/identity/${token}`,
  (token) => `/slow/${token}?ms=20&timeoutMs=20000`,
  (token) => `/work/${token}?ms=2`,
  (token) => `/again/${token}?ms=5`,
]

/** Clients that call one after the other, as fast as they are answered, until they are told to end. */
export class SteadyLoad {
  /** Answers that were what they should be. */
  answered = 0
  /** What was wrong with the others. */
  readonly faults: string[] = []
  /** Statuses other than 200. */
  readonly refusals = new Set<number>()
  /** Services that have answered. */
  readonly pids = new Set<number>()
  readonly #url: string
  readonly #retries: boolean
  readonly #clients: readonly Promise<void>[]
  readonly #cutOff = new AbortController()
  #ending = false

  /** `retries`: the engine comes and goes, so who gets no answer asks again until there is one. */
  constructor(context: { after(cleanUp: () => void): void }, url: string, clients = 12, retries = false) {
    context.after(() => {
      this.#ending = true
      this.#cutOff.abort()
    })
    this.#url = url
    this.#retries = retries
    this.#clients = Array.from({ length: clients }, (_, name) => this.#client(name))
  }

  /** Lets the calls under way end; resolves when all are answered. */
  async end(): Promise<void> {
    this.#ending = true
    await Promise.all(this.#clients)
  }

  /** Resolves when so many more have been answered. */
  async more(count: number, withinMs = 30_000): Promise<void> {
    const [goal, deadline] = [this.answered + count, performance.now() + withinMs]
    while (this.answered < goal) {
      if (performance.now() > deadline)
        throw new Error(`${this.answered} of ${goal} answers after ${withinMs} ms; ${this.faults.join('; ')}`)
      await sleep(5)
    }
  }

  async #client(name: number): Promise<void> {
    for (let count = 0; !this.#ending; count++) {
      const token = `${name}-${count}`
      const path = PATHS[count % PATHS.length]?.(token) ?? '/'
      const fault = await this.#ask(path, token)
      if (fault === '') this.answered++
      else if (this.#retries) await sleep(10)
      else this.faults.push(`${path}: ${fault}`)
    }
  }

  /** '' or what is wrong. A wrong token is a fault in any case. */
  async #ask(path: string, token: string): Promise<string> {
    let response: Response
    try {
      response = await fetch(`${this.#url}${path}`, { signal: AbortSignal.any([this.#cutOff.signal, AbortSignal.timeout(30_000)]) })
      if (response.status !== 200) this.refusals.add(response.status)
      if (response.status !== 200) return `${response.status} ${await response.text()}`
      const value: unknown = await response.json()
      const { token: got, pid }: { readonly token?: unknown; readonly pid?: unknown } =
        typeof value === 'object' && value !== null ? value : {}
      if (typeof pid === 'number') this.pids.add(pid)
      if (got === token) return ''
      this.faults.push(`${path}: answered with ${String(got)}`)
      return 'wrong answer'
    } catch (error) {
      return String(error)
    }
  }
}
