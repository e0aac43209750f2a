import { codeOf, messageOf, stackOf, statusOf, type NppCode } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { isThenable } from '../../shared/thenable.ts'
import { errorFormOf } from './accept.ts'
import { AnswerState } from './answer-state.ts'
import { addressOfClient } from './client.ts'
import { errorPage } from './error-page.ts'
import type { Exchange } from './exchange.ts'
import { findField } from './fields.ts'
import { problemJson, problemOf, type Problem } from './problem.ts'
import type { HttpRequest } from './request.ts'
import { HttpResponse } from './response.ts'

/** What a site says of an error, instead of npp. */
export interface ErrorTarget {
  handle(problem: Problem, res: HttpResponse): unknown
}

/** What a client is told where no handler tells it anything, and what the log is told of it. */
export class ErrorAnswers {
  readonly #log: Log
  readonly #pages: ReadonlyMap<number, ErrorTarget>

  /** `pages` are the site's own, by status. */
  constructor(log: Log, pages: ReadonlyMap<number, ErrorTarget>) {
    this.#log = log
    this.#pages = pages
  }

  /** Answers a request whose handler threw, or that nothing handles. One that is answered already stays as it is. */
  failed(req: HttpRequest, res: HttpResponse, error: unknown, fields: readonly (readonly [string, string])[] = []): void {
    const code = codeOf(error)
    const status = statusOf(code)
    // A service has logged its own failure, with the stack; what is below 500 is the client's doing, and so is that it has left.
    if (status >= 500 && code !== 'NPP_SERVICE_FAILED' && code !== 'NPP_CLIENT_GONE') {
      this.#log.error(
        { requestId: req.id, code, method: req.method, target: req.target, error: stackOf(error) },
        `request failed: ${messageOf(error)}`,
      )
    } else this.#log.debug({ requestId: req.id, code, method: req.method, target: req.target }, messageOf(error))
    if (res.answered) return // It was answered before it failed; the log knows.
    const page = res.successor()
    this.#fill(page, problemOf(code, req.id, req.path, errorFormOf(req.header('accept'))), fields)
    res.answerAs(page)
  }

  /** Makes `page`, which has what was parsed of its fields, the answer to bytes that are no request that could be handled. */
  refusal(page: Exchange, code: NppCode, reason: string): void {
    page.id = page.context.nextRequestId()
    this.#log.info({ requestId: page.id, code, ip: addressOfClient(page), reason }, `request refused with ${statusOf(code)}`)
    this.#fill(page, problemOf(code, page.id, '', errorFormOf(findField(page, 'accept', ', '))), [])
  }

  #fill(page: Exchange, problem: Problem, fields: readonly (readonly [string, string])[]): void {
    const own = this.#pages.get(problem.status)
    if (own !== undefined) {
      const draft = page.successor()
      this.#preset(draft, problem, fields)
      if (this.#isAnswered(draft, problem, own)) {
        page.takeAnswer(draft)
        return
      }
      // What it says from here on goes nowhere.
      draft.state = AnswerState.Expired
    }
    this.#preset(page, problem, fields)
    page.contentType = problem.accepts === 'json' ? 'application/problem+json' : 'text/html; charset=utf-8'
    page.body = problem.accepts === 'json' ? problemJson(problem) : String(errorPage(problem))
  }

  /** Status and fields that an error has, whoever writes its page. */
  #preset(page: Exchange, { status, requestId }: Problem, fields: readonly (readonly [string, string])[]): void {
    const res = new HttpResponse(page)
    res.status(status)
    for (const [name, value] of fields) res.header(name, value)
    if (status === 503) res.header('Retry-After', '1')
    // RFC 9110 §12.5.5: a cache must not give the page of one client to another.
    res.header('Vary', 'Accept').header('X-Request-Id', requestId)
  }

  /** Has the site write the page: at once, and of the status that it is for. */
  #isAnswered(page: Exchange, problem: Problem, own: ErrorTarget): boolean {
    const fault = (what: string, error?: unknown): false => {
      const { requestId, code } = problem
      const stack = error === undefined ? {} : { error: stackOf(error) }
      this.#log.error({ requestId, code, ...stack }, `the site's page for status ${problem.status} ${what}`)
      return false
    }
    try {
      const res = new HttpResponse(page)
      const result = own.handle(problem, res)
      if (isThenable(result)) {
        // Its own failure is told, and not thrown at the process.
        Promise.resolve(result).catch((error: unknown) => fault('rejected', error))
        return fault('returned a promise; it answers at once')
      }
      if (page.isWritten && !page.answered) res.finish()
    } catch (error) {
      return fault(`failed: ${messageOf(error)}`, error)
    }
    if (page.state !== AnswerState.Answered) return fault('did not answer; it does at once, and not with a file')
    return page.statusCode === problem.status || fault(`answered with status ${page.statusCode}`)
  }
}
