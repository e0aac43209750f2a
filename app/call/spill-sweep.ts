import { sweepSpills } from '../../ipc/spill.ts'
import { messageOf } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import type { Log } from '../../shared/log.ts'
import type { TimerId, TimerWheel } from '../../shared/timer-wheel.ts'

export interface SpillSweepOptions {
  /** Of the instance. */
  readonly id: string
  readonly wheel: TimerWheel
  readonly log: Log
}

/** Removes, once a minute, the large payloads that nobody is left to take. What a killed process left is removed when it ends; this is for the rest. */
export class SpillSweep {
  readonly #options: SpillSweepOptions
  #timer: TimerId = 0

  constructor(options: SpillSweepOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.wheel.arm(Limits.spillSweepMs, this, 0, 0)
  }

  stop(): void {
    this.#options.wheel.cancel(this.#timer)
  }

  /** The minute is over. */
  expired(): void {
    const { id, log } = this.#options
    this.start()
    try {
      const swept = sweepSpills(id, Limits.spillOrphanMs)
      if (swept > 0) log.warn({ files: swept }, 'large payloads that nobody took were removed')
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'looking for large payloads that nobody took failed')
    }
  }
}
