import { codeOf, messageOf, stackOf, statusOf, type NppCode } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { errorPage } from './error-page.ts'
import { Exchange, type ExchangeContext } from './exchange.ts'
import type { HttpRequest } from './request.ts'
import type { HttpResponse } from './response.ts'

/** What a client is told where no handler tells it anything, and what the log is told of it. */
export class ErrorAnswers {
  readonly #log: Log
  readonly #context: ExchangeContext

  constructor(log: Log, context: ExchangeContext) {
    this.#log = log
    this.#context = context
  }

  /** Answers a request whose handler threw, or that nothing handles. One that is answered already stays as it is. */
  failed(req: HttpRequest, res: HttpResponse, error: unknown, fields: readonly (readonly [string, string])[] = []): void {
    const code = codeOf(error)
    const status = statusOf(code)
    // A service has logged its own failure, with the stack; what is below 500 is the client's doing.
    if (status >= 500 && code !== 'NPP_SERVICE_FAILED') {
      this.#log.error(
        { requestId: req.id, code, method: req.method, target: req.target, error: stackOf(error) },
        `request failed: ${messageOf(error)}`,
      )
    }
    if (!res.restart()) return // It was answered before it failed; the log knows.
    res.status(status)
    for (const [name, value] of fields) res.header(name, value)
    if (status === 503) res.header('Retry-After', '1')
    if (status >= 500) res.header('X-Request-Id', req.id)
    res.html(errorPage(status, status >= 500 ? req.id : ''))
  }

  /** The answer to bytes that are no request that could be handled. */
  refusal(code: NppCode, reason: string, ip: string): Exchange {
    const status = statusOf(code)
    this.#log.info({ code, ip, reason }, `request refused with ${status}`)
    const page = new Exchange(this.#context)
    page.statusCode = status
    page.contentType = 'text/html; charset=utf-8'
    page.body = String(errorPage(status, ''))
    return page
  }
}
