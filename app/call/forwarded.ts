import type { ForwardedAnswer, ForwardedRequest } from '../../shared/services.ts'
import type { HttpRequest } from '../http/request.ts'
import type { HttpResponse } from '../http/response.ts'
import { NppError } from '../../shared/errors.ts'

/** The request as it travels to a page service. */
export function forwardedRequest(req: HttpRequest): ForwardedRequest {
  return {
    method: req.method,
    target: req.target,
    path: req.path,
    params: { ...req.params },
    headers: [...req.headers],
    ip: req.ip,
    protocol: req.protocol,
    host: req.host,
    body: req.body,
  }
}

/** Puts the answer of a page service into the response. Throws NPP_SERVICE_FAILED or NPP_HEADER_INVALID for what is not one. */
export function answerForwarded(name: string, value: unknown, res: HttpResponse): void {
  if (!isForwardedAnswer(value)) throw new NppError('NPP_SERVICE_FAILED', `service ${name} did not reply with a page`)
  res.status(value.status)
  for (const [field, content] of value.headers) res.header(field, content)
  if (typeof value.body === 'string') res.write(value.body).finish()
  else res.send(value.body)
}

function isForwardedAnswer(value: unknown): value is ForwardedAnswer {
  if (typeof value !== 'object' || value === null || !('status' in value) || !('headers' in value) || !('body' in value)) return false
  const { status, headers, body } = value
  if (typeof status !== 'number' || !Array.isArray(headers)) return false
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return false
  return headers.every(
    (pair: unknown) => Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && typeof pair[1] === 'string',
  )
}
