import { NppError } from '../../shared/errors.ts'
import { TOKEN, isMadeOf } from './byte-classes.ts'

/** How a cookie is set; what is left out has the safe value. RFC 6265 and its draft successor for SameSite. */
export interface CookieOptions {
  /** Seconds to live; without it the cookie ends with the browser session. */
  readonly maxAge?: number
  readonly expires?: Date
  readonly domain?: string
  /** '/' without it. */
  readonly path?: string
  readonly secure?: boolean
  /** true without it: no script reads the cookie. */
  readonly httpOnly?: boolean
  /** 'Lax' without it. */
  readonly sameSite?: 'Strict' | 'Lax' | 'None'
}

/** Cookies of a request by their exact names; the first of a name counts, as browsers send the most specific first. */
export function parseCookies(field: string | undefined): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>()
  if (field === undefined) return cookies
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=')
    if (equals === -1) continue
    const name = pair.slice(0, equals).trim()
    if (name === '' || cookies.has(name)) continue
    cookies.set(name, decodeValue(pair.slice(equals + 1).trim()))
  }
  return cookies
}

function decodeValue(text: string): string {
  const value = text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
  if (!value.includes('%')) return value
  try {
    return decodeURIComponent(value)
  } catch {
    return value // Another server on the domain may set what is not percent-encoded.
  }
}

/** The value of a Set-Cookie field. Throws NPP_HEADER_INVALID for a name, domain or path that may not stand in one. */
export function serializeCookie(name: string, value: string, options: CookieOptions = {}): string {
  if (name === '' || !isMadeOf(name, TOKEN)) throw new NppError('NPP_HEADER_INVALID', `cookie name ${JSON.stringify(name)} is not a token`)
  const path = options.path ?? '/'
  for (const part of [path, options.domain ?? '']) {
    if (/[^\x20-\x3a\x3c-\x7e]/.test(part))
      throw new NppError('NPP_HEADER_INVALID', `cookie attribute ${JSON.stringify(part)} has a character that may not stand in it`)
  }
  if (options.maxAge !== undefined && !Number.isInteger(options.maxAge))
    throw new NppError('NPP_HEADER_INVALID', 'maxAge of a cookie is a whole number of seconds')
  let text = `${name}=${encodeURIComponent(value)}; Path=${path}`
  if (options.domain !== undefined) text += `; Domain=${options.domain}`
  if (options.maxAge !== undefined) text += `; Max-Age=${options.maxAge}`
  if (options.expires !== undefined) text += `; Expires=${options.expires.toUTCString()}`
  if (options.httpOnly !== false) text += '; HttpOnly'
  if (options.secure === true) text += '; Secure'
  return `${text}; SameSite=${options.sameSite ?? 'Lax'}`
}
