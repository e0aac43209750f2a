import { Limits } from './limits.ts'
import type { Log } from './log.ts'

/**
 * Warnings of which somebody else may cause any number: a few are written each second, the others are counted, and their number is written when
 * the second is over.
 */
export class SparseLog {
  readonly #log: Log
  #written = 0
  #leftOut = 0
  #timer: NodeJS.Timeout | undefined

  constructor(log: Log) {
    this.#log = log
  }

  warn(fields: object, message: string): void {
    this.#timer ??= setTimeout(() => this.close(), SECOND).unref()
    if (this.#written < Limits.warningsPerSecond) {
      this.#written++
      this.#log.warn(fields, message)
    } else this.#leftOut++
  }

  /** Says what was left out so far. More may follow. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const leftOut = this.#leftOut
    this.#written = 0
    this.#leftOut = 0
    if (leftOut > 0) this.#log.warn({ leftOut }, `${leftOut} more such warnings were left out`)
  }
}

const SECOND = 1000
