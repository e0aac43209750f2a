import { NppError } from '../../shared/errors.ts'
import { FIELD_VALUE, TOKEN, isMadeOf } from './byte-classes.ts'

// What a site hands in is text by its type; in plain JavaScript it is anything, and an object would become text only after it was looked at.

/** The text; throws NPP_HEADER_INVALID for what is none. `what` begins the message. */
export function textOf(what: string, value: unknown): string {
  if (typeof value !== 'string') throw new NppError('NPP_HEADER_INVALID', `${what} is ${kindOf(value)}, not text`)
  return value
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : `of type ${typeof value}`
}

/** Throws NPP_HEADER_INVALID for what is no token (RFC 9110 §5.6.2). */
export function checkToken(what: string, text: string): void {
  if (text === '' || !isMadeOf(text, TOKEN)) throw new NppError('NPP_HEADER_INVALID', `${what} ${JSON.stringify(text)} is not a token`)
}

/** Throws NPP_HEADER_INVALID for what may not stand in a field. Refused, never stripped: CR LF would let a value write further fields. */
export function checkValue(name: string, value: string): void {
  if (!isMadeOf(value, FIELD_VALUE)) {
    throw new NppError(
      'NPP_HEADER_INVALID',
      `the value of ${name} has a character that may not stand in a field: control characters never, others only up to U+00FF`,
    )
  }
}

/** The text with its characters percent-encoded that encodeURIComponent encodes. Throws NPP_HEADER_INVALID for half a character. */
export function percentEncoded(what: string, text: string): string {
  try {
    return encodeURIComponent(text)
  } catch (cause) {
    throw new NppError('NPP_HEADER_INVALID', `${what} has half of a surrogate pair, which is no character`, { cause })
  }
}
