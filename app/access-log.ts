import type { Clock } from '../shared/clock.ts'
import type { ProcessLog } from '../shared/log.ts'

/** Status in the log for a client that left before its answer, as in nginx. */
export const CLIENT_GONE = 499

const PLAIN = /^[^"\\]*$/

/** A line a request. The text is put together here rather than by the logger, which would walk over an object for each. */
export class AccessLog {
  readonly #log: ProcessLog
  readonly #clock: Pick<Clock, 'wall'>
  readonly #process: string
  // What a line has in common with the one before, made once: most requests of a moment are alike.
  #time = -1
  #method = ''
  #target = ''
  #status = 0
  #bytes = 0
  #front = ''
  #ip = ''
  #back = ''

  constructor(log: ProcessLog, clock: Pick<Clock, 'wall'>, name: string) {
    this.#log = log
    this.#clock = clock
    this.#process = `,"pid":${process.pid},"name":${JSON.stringify(name)},`
  }

  /** `bytes` of the body sent, `milliseconds` from the complete request to its answer; `id` where the request was given one. */
  write(method: string, target: string, status: number, bytes: number, milliseconds: number, ip: string, id: string): void {
    const time = this.#clock.wall()
    if (time !== this.#time || target !== this.#target || status !== this.#status || bytes !== this.#bytes || method !== this.#method) {
      this.#time = time
      this.#method = method
      this.#target = target
      this.#status = status
      this.#bytes = bytes
      const text = PLAIN.test(target) ? `"${target}"` : JSON.stringify(target)
      this.#front = `{"level":30,"time":${time}${this.#process}"method":"${method}","target":${text},"status":${status},"bytes":${bytes},"ms":`
    }
    if (ip !== this.#ip || this.#back === '') {
      this.#ip = ip
      this.#back = `,"ip":"${ip}","msg":"request"}\n`
    }
    const back = id === '' ? this.#back : `,"ip":"${ip}","id":"${id}","msg":"request"}\n`
    this.#log.line(this.#front + inMicroseconds(milliseconds) + back)
  }
}

/** Milliseconds with three decimals, as toFixed(3) writes them in a tenth of its time. */
function inMicroseconds(milliseconds: number): string {
  const micros = Math.round(milliseconds * 1000)
  const whole = Math.floor(micros / 1000)
  const rest = micros - whole * 1000
  return `${whole}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`
}
