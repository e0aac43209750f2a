import { FrameKind } from '../../ipc/frame.ts'
import { NppError } from '../../shared/errors.ts'
import { isThenable } from '../../shared/thenable.ts'
import type { Caller } from '../call/caller.ts'
import { answerForwarded, forwardedRequest } from '../call/forwarded.ts'
import { NO_BYTES, type Exchange } from '../http/exchange.ts'
import { METHODS } from '../http/parser.ts'
import type { HttpRequest } from '../http/request.ts'
import type { HttpResponse } from '../http/response.ts'
import type { Forward } from '../api.ts'
import type { HandlerTarget, Router } from './router.ts'

/** What dispatch reports to. */
export interface DispatchResult {
  /** The handler threw or rejected, or a call that it forwarded to failed. */
  failed(req: HttpRequest, res: HttpResponse, error: unknown, fields?: readonly (readonly [string, string])[]): void
}

/** Finds the route of a request and runs what it leads to. No promise is made for a handler that answers at once. */
export class Dispatch {
  readonly #router: Router
  readonly #caller: Caller
  readonly #result: DispatchResult
  readonly #maxBodyBytes: number

  constructor(router: Router, caller: Caller, result: DispatchResult, maxBodyBytes: number) {
    this.#router = router
    this.#caller = caller
    this.#result = result
    this.#maxBodyBytes = maxBodyBytes
  }

  /** Bytes that a body for this path may have; -1 where no route wants one. `method` is an index into METHODS. */
  bodyLimit(method: number, path: string): number {
    const match = this.#router.find(METHODS[method] ?? 'GET', path)
    return match === undefined ? -1 : (match.maxBodyBytes ?? this.#maxBodyBytes)
  }

  /** `path` is the one for routing; `req` and `res` are of `exchange`. True when the handler goes on: it has returned a promise. */
  run(exchange: Exchange, path: string, req: HttpRequest, res: HttpResponse): boolean {
    const match = this.#router.find(exchange.method, path)
    if (match === undefined) return this.#runUnmatched(path, exchange, req, res)
    exchange.params = match.params
    if (!('forward' in match.target)) return this.#handle(exchange, req, res, match.target)
    this.#forward(exchange, req, res, match.target)
    return false
  }

  #runUnmatched(path: string, exchange: Exchange, req: HttpRequest, res: HttpResponse): boolean {
    const allowed = path === '*' ? [] : this.#router.allowed(path)
    if (path === '*') this.#runAsterisk(req, res)
    else if (allowed.length > 0) {
      const error = new NppError('NPP_METHOD_NOT_ALLOWED', `${req.method} has no route here; ${allowed.join(', ')} have`)
      this.#result.failed(req, res, error, [['Allow', allowed.join(', ')]])
    } else if (this.#router.notFound === undefined) {
      this.#result.failed(req, res, new NppError('NPP_NOT_FOUND', 'no route matches the path'))
    } else {
      res.status(404)
      return this.#handle(exchange, req, res, this.#router.notFound)
    }
    return false
  }

  /** RFC 9112 §3.2.4: the server as a whole, and OPTIONS only. */
  #runAsterisk(req: HttpRequest, res: HttpResponse): void {
    if (req.method === 'OPTIONS') res.status(204).header('Allow', METHODS.join(', ')).send(NO_BYTES)
    else this.#result.failed(req, res, new NppError('NPP_BAD_REQUEST', `the target * goes with OPTIONS, not with ${req.method}`))
  }

  #handle(exchange: Exchange, req: HttpRequest, res: HttpResponse, target: HandlerTarget): boolean {
    try {
      const result: unknown = target.handle(req, res)
      // Inside, as what it returns may be an object whose getter of `then` throws.
      if (isThenable(result)) {
        this.#await(result, exchange, req, res)
        return true
      }
    } catch (error) {
      this.#result.failed(req, res, error)
      return false
    }
    if (exchange.isWritten && !exchange.answered) this.#finish(req, res)
    // Otherwise it has answered, or will from a callback, or its deadline answers.
    return false
  }

  // In a method of its own: what a closure captures is allocated on entry, also for the handlers that return no promise.
  #await(promise: PromiseLike<unknown>, exchange: Exchange, req: HttpRequest, res: HttpResponse): void {
    Promise.resolve(promise).then(
      () => this.#finished(exchange, req, res),
      (error: unknown) => this.#result.failed(req, res, error),
    )
  }

  #finished(exchange: Exchange, req: HttpRequest, res: HttpResponse): void {
    if (exchange.answered) return
    if (exchange.isWritten) this.#finish(req, res)
    else this.#result.failed(req, res, new NppError('NPP_HANDLER_FAILED', 'the promise of the handler was fulfilled, but nothing answered'))
  }

  #finish(req: HttpRequest, res: HttpResponse): void {
    this.#complete(req, res, () => res.finish())
  }

  #forward(exchange: Exchange, req: HttpRequest, res: HttpResponse, target: Forward): void {
    const call = this.#caller.start(FrameKind.PageCall, target.forward, forwardedRequest(req), target.options, {
      replied: (value) => this.#complete(req, res, () => answerForwarded(target.forward, value, res)),
      failed: (error) => {
        // Given up because nobody waits for the answer, which is logged where that was found out.
        if (error.code !== 'NPP_CALL_CANCELLED' || !exchange.answered) this.#result.failed(req, res, error)
      },
    })
    if (call !== undefined) exchange.giveUp = () => this.#caller.cancel(call)
  }

  #complete(req: HttpRequest, res: HttpResponse, answer: () => void): void {
    try {
      answer()
    } catch (error) {
      this.#result.failed(req, res, error)
    }
  }
}
