import type { Clock } from '../shared/clock.ts'
import type { ProcessLog } from '../shared/log.ts'

/** Status in the log for a client that left before its answer, as in nginx. */
export const CLIENT_GONE = 499

const PLAIN = /^[^"\\]*$/

/** A line a request. The text is put together here rather than by the logger, which would walk over an object for each. */
export class AccessLog {
  readonly #log: ProcessLog
  readonly #clock: Clock
  readonly #process: string

  constructor(log: ProcessLog, clock: Clock, name: string) {
    this.#log = log
    this.#clock = clock
    this.#process = `,"pid":${process.pid},"name":${JSON.stringify(name)},`
  }

  /** `bytes` of the body sent, `milliseconds` from the complete request to its answer; `id` where the request was given one. */
  write(method: string, target: string, status: number, bytes: number, milliseconds: number, ip: string, id: string): void {
    const safeTarget = PLAIN.test(target) ? `"${target}"` : JSON.stringify(target)
    const reference = id === '' ? '' : `,"id":"${id}"`
    this.#log.line(
      `{"level":30,"time":${this.#clock.wall()}${this.#process}"method":"${method}","target":${safeTarget},"status":${status},"bytes":${bytes},"ms":${milliseconds.toFixed(3)},"ip":"${ip}"${reference},"msg":"request"}\n`,
    )
  }
}
