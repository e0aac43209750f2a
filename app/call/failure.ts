import { NppError, isNppCode, type NppCode } from '../../shared/errors.ts'
import { ServiceError } from './service-error.ts'

/** Failure codes that a service process may report; any other becomes NPP_SERVICE_FAILED. */
const REPORTED: ReadonlySet<NppCode> = new Set([
  'NPP_NO_SUCH_SERVICE',
  'NPP_CALL_TOO_LARGE',
  'NPP_REPLY_TOO_LARGE',
  'NPP_CALL_INPUT',
  'NPP_CALL_TIMEOUT',
])

/** The error that a Failure frame stands for. */
export function failureOf(name: string, value: unknown): NppError {
  const code = typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' ? value.code : ''
  const message =
    typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string' ? value.message : ''
  if (isNppCode(code) && REPORTED.has(code)) return new NppError(code, message)
  return new ServiceError(name, code, message)
}
