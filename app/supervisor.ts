import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../shared/clock.ts'
import { Limits } from '../shared/limits.ts'
import type { Log } from '../shared/log.ts'

/** How to start one more service process. */
export interface ServiceCommand {
  /** The module that the process runs. */
  readonly exec: string
  readonly args: readonly string[]
}

export interface SupervisorOptions {
  readonly processes: number
  readonly command: ServiceCommand
  readonly clock: Clock
  readonly log: Log
}

/** One of the processes that shall run. */
interface Post {
  worker: Worker | undefined
  startedAt: number
  backoffMs: number
  /** Deaths in a row of processes that had not proved themselves. */
  failures: number
  timer: NodeJS.Timeout | undefined
}

/** Deaths in a row after which nobody counts on the post any more; it is still tried, ever more rarely. */
const HOPELESS = 3

/** Keeps the service processes of npp start running: node:cluster forks them, a dead one is started again, later each time it dies young. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #posts: Post[]
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#posts = Array.from({ length: options.processes }, () => ({
      worker: undefined,
      startedAt: 0,
      backoffMs: Limits.restartBackoffMs,
      failures: 0,
      timer: undefined,
    }))
  }

  start(): void {
    cluster.setupPrimary({ exec: this.#options.command.exec, args: [...this.#options.command.args] })
    for (const post of this.#posts) this.#fork(post)
  }

  /** True while a process that may be counted on is starting or about to be started again. */
  isStarting(): boolean {
    return !this.#stopping && this.#posts.some((post) => post.failures < HOPELESS)
  }

  /** Pids of the processes that run. */
  pids(): number[] {
    return this.#posts.flatMap((post) => post.worker?.process.pid ?? [])
  }

  /** Ends all processes: each finishes the call in hand; what has not ended after `serviceStopMs` is killed. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#posts.map((post) => this.#end(post)))
  }

  /** Kills all processes, before this returns: for a crash. */
  kill(): void {
    this.#stopping = true
    for (const post of this.#posts) post.worker?.process.kill('SIGKILL')
  }

  #fork(post: Post): void {
    const worker = cluster.fork()
    post.worker = worker
    post.startedAt = this.#options.clock.monotonic()
    worker.on('error', (error) => this.#options.log.error({ error: error.message }, 'npp_svc could not be started or told'))
    worker.on('exit', (code, signal) => this.#died(post, worker, code, signal))
  }

  #died(post: Post, worker: Worker, code: number, signal: string): void {
    post.worker = undefined
    if (this.#stopping) return
    const lived = this.#options.clock.monotonic() - post.startedAt
    if (lived >= Limits.restartProvenMs) {
      post.backoffMs = Limits.restartBackoffMs
      post.failures = 0
    }
    const delay = post.backoffMs
    post.backoffMs = Math.min(delay * 2, Limits.restartBackoffMaxMs)
    post.failures++
    this.#options.log.warn(
      { pid: worker.process.pid, code, signal, livedMs: Math.round(lived) },
      `npp_svc died; starting again in ${delay} ms`,
    )
    post.timer = setTimeout(() => this.#fork(post), delay)
  }

  #end(post: Post): Promise<void> {
    clearTimeout(post.timer)
    const { worker } = post
    if (worker === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(() => worker.process.kill('SIGKILL'), Limits.serviceStopMs)
      worker.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      worker.process.kill('SIGTERM')
    })
  }
}
