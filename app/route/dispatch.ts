import { FrameKind } from '../../ipc/frame.ts'
import { NppError } from '../../shared/errors.ts'
import { isThenable } from '../../shared/thenable.ts'
import type { Caller } from '../call/caller.ts'
import { answerForwarded, forwardedRequest } from '../call/forwarded.ts'
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

  constructor(router: Router, caller: Caller, result: DispatchResult) {
    this.#router = router
    this.#caller = caller
    this.#result = result
  }

  run(req: HttpRequest, res: HttpResponse): void {
    const match = this.#router.find(req.method, req.routingPath)
    if (match === undefined) {
      this.#runUnmatched(req, res)
      return
    }
    req.params = match.params
    if ('forward' in match.target) this.#forward(req, res, match.target)
    else this.#handle(req, res, match.target)
  }

  #runUnmatched(req: HttpRequest, res: HttpResponse): void {
    const allowed = this.#router.allowed(req.routingPath)
    if (allowed.length > 0) {
      const error = new NppError('NPP_METHOD_NOT_ALLOWED', `${req.method} has no route here; ${allowed.join(', ')} have`)
      this.#result.failed(req, res, error, [['Allow', allowed.join(', ')]])
    } else if (this.#router.notFound === undefined) {
      this.#result.failed(req, res, new NppError('NPP_NOT_FOUND', 'no route matches the path'))
    } else {
      res.status(404)
      this.#handle(req, res, this.#router.notFound)
    }
  }

  #handle(req: HttpRequest, res: HttpResponse, target: HandlerTarget): void {
    let result: unknown
    try {
      result = target.handle(req, res)
    } catch (error) {
      this.#result.failed(req, res, error)
      return
    }
    if (isThenable(result)) {
      Promise.resolve(result).then(
        () => this.#finished(req, res),
        (error: unknown) => this.#result.failed(req, res, error),
      )
    } else if (res.written && !res.answered) this.#complete(req, res, () => res.finish())
    // Otherwise it has answered, or will from a callback, or its deadline answers.
  }

  #finished(req: HttpRequest, res: HttpResponse): void {
    if (res.answered) return
    if (res.written) this.#complete(req, res, () => res.finish())
    else this.#result.failed(req, res, new NppError('NPP_HANDLER_FAILED', 'the promise of the handler was fulfilled, but nothing answered'))
  }

  #forward(req: HttpRequest, res: HttpResponse, target: Forward): void {
    this.#caller.start(FrameKind.PageCall, target.forward, forwardedRequest(req), target.options.timeoutMs, {
      replied: (value) => this.#complete(req, res, () => answerForwarded(target.forward, value, res)),
      failed: (error) => this.#result.failed(req, res, error),
    })
  }

  #complete(req: HttpRequest, res: HttpResponse, answer: () => void): void {
    try {
      answer()
    } catch (error) {
      this.#result.failed(req, res, error)
    }
  }
}
