import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../shared/clock.ts'
import { Limits } from '../shared/limits.ts'
import type { Log } from '../shared/log.ts'
import { ServiceReport } from '../shared/service-report.ts'

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
  /** It has attached. */
  isAttached: boolean
  /** Somebody told it to end. */
  isTold: boolean
  startedAt: number
  backoffMs: number
  /** Deaths in a row of processes that had not proved themselves. */
  failures: number
  timer: NodeJS.Timeout | undefined
}

/** Deaths in a row after which nobody counts on the post any more; it is still tried, ever more rarely. */
const HOPELESS = 3

/** Signals that others send. Those of faults (SIGSEGV, SIGABRT and the like) a process brings on itself. */
const SENT_SIGNALS: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'])

/**
 * Keeps the service processes of npp start running: node:cluster forks them, a dead one is started again, later each time it dies young. One that
 * served and was ended from outside, by a person or for want of memory, has done nothing wrong: its successor is started at once.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #posts: Post[]
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#posts = Array.from({ length: options.processes }, () => ({
      worker: undefined,
      isAttached: false,
      isTold: false,
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
    post.isAttached = false
    post.isTold = false
    post.startedAt = this.#options.clock.monotonic()
    worker.on('message', (message: unknown) => {
      if (message === ServiceReport.Attached) post.isAttached = true
      else if (message === ServiceReport.Told) post.isTold = true
    })
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
    const isFaultless = post.isAttached && (post.isTold || SENT_SIGNALS.has(signal))
    const fields = { pid: worker.process.pid, code, signal, livedMs: Math.round(lived) }
    if (isFaultless) {
      this.#options.log.warn(fields, 'npp_svc was ended from outside; starting again at once')
      this.#fork(post)
      return
    }
    const delay = post.backoffMs
    post.backoffMs = Math.min(delay * 2, Limits.restartBackoffMaxMs)
    post.failures++
    this.#options.log.warn(fields, `npp_svc died; starting again in ${delay} ms`)
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
