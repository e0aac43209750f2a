import { Counter, type ServiceFigures } from '../ipc/scoreboard.ts'
import type { RunningCall } from './running-call.ts'

/** Where the counters of this process are shown. */
export interface CounterSlot {
  set(counter: Counter, value: number): void
}

/** What a service process counts, for the scoreboard. A call costs some additions; `flush` shows it. */
export class Figures {
  readonly #slot: CounterSlot
  readonly #services: ServiceFigures
  #calls = 0
  #errors = 0
  #dropped = 0
  #bytesIn = 0
  #bytesOut = 0
  #messages = 0
  #busyMicros = 0
  /** Since when a call waits, in milliseconds on CLOCK_MONOTONIC; below 0 while none does. */
  #waitsSince = -1

  constructor(slot: CounterSlot, services: ServiceFigures) {
    this.#slot = slot
    this.#services = services
  }

  /** The row of a service on the scoreboard. */
  rowOf(name: string): number {
    return this.#services.rowOf(name)
  }

  /** A message was taken. */
  took(): void {
    this.#messages++
  }

  /** A call was not run, as nobody waits for it. */
  dropped(): void {
    this.#dropped++
  }

  /** A call is over, or was refused before it could begin. */
  finished({ row, waitMicros, bytesIn, isOverdue }: RunningCall, runMicros: number, bytesOut: number, failed: boolean): void {
    this.#calls++
    if (failed) this.#errors++
    this.#bytesIn += bytesIn
    this.#bytesOut += bytesOut
    // While one waits the time counts once, however many run besides; of one that is overdue it has been counted.
    if (this.#waitsSince < 0 && !isOverdue) this.#busyMicros += runMicros
    this.#services.finished(row, waitMicros, runMicros, bytesIn, bytesOut, failed)
  }

  /** Where no call waited one does, since then. */
  beganToWait(at: number): void {
    this.#waitsSince = at
  }

  /** The last call that waited is over. */
  endedToWait(at: number): void {
    this.#busyMicros += (at - this.#waitsSince) * 1000
    this.#waitsSince = -1
  }

  /** Shows what has been counted so far. */
  flush(now: number): void {
    const slot = this.#slot
    this.#services.flush()
    const waitedMicros = this.#waitsSince < 0 ? 0 : (now - this.#waitsSince) * 1000
    slot.set(Counter.Calls, this.#calls)
    slot.set(Counter.Errors, this.#errors)
    slot.set(Counter.Dropped, this.#dropped)
    slot.set(Counter.BytesIn, this.#bytesIn)
    slot.set(Counter.BytesOut, this.#bytesOut)
    slot.set(Counter.BusyMicros, Math.round(this.#busyMicros + waitedMicros))
    slot.set(Counter.Messages, this.#messages)
  }
}
