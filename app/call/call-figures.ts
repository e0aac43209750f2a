import type { ServiceFigures } from '../../ipc/scoreboard.ts'
import type { CalledService } from './called-service.ts'

/** What an engine process alone knows of the calls of each service. The services themselves count the calls that they run. */
export class CallFigures {
  readonly #figures: ServiceFigures
  readonly #engine: number
  /** Services whose backlog is not 0 on the scoreboard. */
  #waiting: ReadonlySet<string> = new Set<string>()

  constructor(figures: ServiceFigures, engine: number) {
    this.#figures = figures
    this.#engine = engine
  }

  /** A call got no reply before its deadline. */
  timedOut(name: string): void {
    this.#figures.timedOut(this.#figures.rowOf(name))
  }

  /** A call is made again, its process having died. */
  retried(name: string): void {
    this.#figures.retried(this.#figures.rowOf(name))
  }

  /** A call ended with its process, which could not count it. */
  died(name: string): void {
    this.#figures.died(this.#figures.rowOf(name))
  }

  /** Shows what has been counted so far, and how many calls of each service wait. */
  flush(services: Iterable<CalledService>): void {
    const before = this.#waiting
    const waits = new Set<string>()
    for (const { name, waiting } of services) {
      if (waiting === 0) continue
      waits.add(name)
      this.#figures.setBacklog(this.#figures.rowOf(name), this.#engine, waiting)
    }
    this.#waiting = waits
    for (const name of before) if (!waits.has(name)) this.#figures.setBacklog(this.#figures.rowOf(name), this.#engine, 0)
    this.#figures.flush()
  }
}
