import type { Clock } from '../shared/clock.ts'
import { NppError } from '../shared/errors.ts'
import type { ServiceContext } from '../shared/services.ts'

/** What a service is told of its call. The signal, and its timer, are made when a service asks for them: most never do. */
export class CallContext implements ServiceContext {
  readonly #clock: Clock
  readonly #deadline: number
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(clock: Clock, deadline: number) {
    this.#clock = clock
    this.#deadline = deadline
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const left = Math.max(this.#deadline - this.#clock.monotonic(), 0)
      this.#timer = setTimeout(() => this.abort(new NppError('NPP_CALL_TIMEOUT', 'the deadline of the call has passed')), left)
      this.#timer.unref()
    }
    return this.#controller.signal
  }

  abort(reason: NppError): void {
    this.#controller?.abort(reason)
  }

  /** The call is over. */
  end(): void {
    clearTimeout(this.#timer)
  }
}
