import { NppError, type NppCode } from '../../shared/errors.ts'

/** For assert.throws and assert.rejects: an NppError of this code. */
export function isCode(code: NppCode): (error: unknown) => boolean {
  return (error) => error instanceof NppError && error.code === code
}
