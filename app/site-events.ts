import { stackOf } from '../shared/errors.ts'
import type { App, AppContext } from './api.ts'

const SECOND = 1000
const MINUTE = 60_000

/** The events of a site that come with time. One that fails is logged; one that still runs is not started again. */
export class SiteEvents {
  readonly #app: App
  readonly #context: AppContext
  readonly #timers: NodeJS.Timeout[] = []

  constructor(app: App, context: AppContext) {
    this.#app = app
    this.#context = context
  }

  start(): void {
    this.#every(SECOND, 'everySecond')
    this.#every(MINUTE, 'everyMinute')
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  #every(milliseconds: number, event: 'everySecond' | 'everyMinute'): void {
    if (this.#app[event] === undefined) return
    let running = false
    const timer = setInterval(() => {
      if (running) return
      running = true
      void this.#run(event).finally(() => {
        running = false
      })
    }, milliseconds)
    timer.unref()
    this.#timers.push(timer)
  }

  async #run(event: 'everySecond' | 'everyMinute'): Promise<void> {
    try {
      await this.#app[event]?.(this.#context)
    } catch (error) {
      this.#context.log.error({ event, error: stackOf(error) }, `${event} failed`)
    }
  }
}
