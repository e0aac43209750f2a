import { STATUS_CODES } from 'node:http'
import { statusOf, summaryOf, type NppCode } from '../../shared/errors.ts'
import type { ErrorForm } from './accept.ts'

/** What went wrong, as a client may know it: what the status says, and what leads to the log. */
export interface Problem {
  readonly status: number
  readonly code: NppCode
  /** The phrase of the status. */
  readonly title: string
  /** Names the request in the log. */
  readonly requestId: string
  /** Decoded path of the request; '' where there is no request, as its bytes were refused. */
  readonly path: string
  /** What the client wants to read. */
  readonly accepts: ErrorForm
}

export function problemOf(code: NppCode, requestId: string, path: string, accepts: ErrorForm): Problem {
  const status = statusOf(code)
  return { status, code, title: STATUS_CODES[status] ?? 'Error', requestId, path, accepts }
}

/** RFC 9457. Details are given where the client can do something about them: below 500. */
export function problemJson({ status, code, title, requestId }: Problem): string {
  return JSON.stringify({ type: 'about:blank', title, status, code, detail: status < 500 ? summaryOf(code) : undefined, requestId })
}
