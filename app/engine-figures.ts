import { Counter } from '../ipc/scoreboard.ts'
import type { CallFigures } from './call/call-figures.ts'
import type { Caller } from './call/caller.ts'

/** Where the counters of this process are shown. */
export interface CounterSlot {
  set(counter: Counter, value: number): void
}

/** What the engine counts of HTTP. */
export interface HttpCounts {
  readonly requests: number
  readonly connections: number
  readonly accepted: number
}

export interface EngineFiguresOptions {
  readonly slot: CounterSlot
  readonly http: HttpCounts
  readonly transport: { readonly refused: number }
  readonly caller: Pick<Caller, 'pending' | 'waiting' | 'lateReplies' | 'services'>
  readonly calls: CallFigures
}

/** Shows on the scoreboard what the parts of the engine count anyway. */
export class EngineFigures {
  readonly #options: EngineFiguresOptions

  constructor(options: EngineFiguresOptions) {
    this.#options = options
  }

  flush(): void {
    const { slot, http, transport, caller, calls } = this.#options
    slot.set(Counter.Requests, http.requests)
    slot.set(Counter.Connections, http.connections)
    slot.set(Counter.Accepted, http.accepted)
    slot.set(Counter.Refused, transport.refused)
    slot.set(Counter.PendingCalls, caller.pending)
    slot.set(Counter.Backlog, caller.waiting)
    slot.set(Counter.StaleReplies, caller.lateReplies)
    calls.flush(caller.services)
  }
}
