import { NppError } from '../../shared/errors.ts'
import { checkToken, percentEncoded, textOf } from './field-text.ts'

/** How a cookie is set; what is left out has the safe value. RFC 6265 and its draft successor for SameSite. */
export interface CookieOptions {
  /** Seconds to live; without it the cookie ends with the browser session. */
  readonly maxAge?: number
  readonly expires?: Date
  /** Host whose subdomains get the cookie too; without it this very host alone. */
  readonly domain?: string
  /** '/' without it. */
  readonly path?: string
  /** Sent back by HTTPS only; without it true where the client came by HTTPS. 'None' of sameSite needs it. */
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

/**
 * The value of a Set-Cookie field. `isSecure`: the client came by HTTPS, so that the cookie goes back by HTTPS only unless `secure` says
 * otherwise. Throws NPP_HEADER_INVALID for what may not stand in a cookie, and for cookies that browsers would drop without a word.
 */
export function serializeCookie(name: string, value: string, options: CookieOptions = {}, isSecure = false): string {
  checkToken('cookie name', textOf('a cookie name', name))
  const { maxAge, expires, domain, path = '/', secure = isSecure, httpOnly, sameSite = 'Lax' } = options
  checkPath(path)
  if (domain !== undefined) checkDomain(domain)
  if (!SAME_SITES.has(sameSite)) throw invalid(name, `sameSite is ${JSON.stringify(sameSite)}; allowed: Strict, Lax, None`)
  if (maxAge !== undefined && !Number.isSafeInteger(maxAge)) throw invalid(name, 'maxAge is a whole number of seconds')
  // The draft that follows RFC 6265, §5.7: browsers drop it.
  if (sameSite === 'None' && !secure) throw invalid(name, 'sameSite None needs secure, or browsers drop it: by plain HTTP it cannot be set')
  checkPrefix(name, secure, path, domain)
  let text = `${name}=${percentEncoded(`cookie ${name}`, textOf(`the value of cookie ${name}`, value))}; Path=${path}`
  if (domain !== undefined) text += `; Domain=${domain}`
  if (maxAge !== undefined) text += `; Max-Age=${maxAge}`
  if (expires !== undefined) text += `; Expires=${dateOf(name, expires)}`
  if (httpOnly !== false) text += '; HttpOnly'
  if (secure) text += '; Secure'
  return `${text}; SameSite=${sameSite}`
}

const SAME_SITES: ReadonlySet<unknown> = new Set(['Strict', 'Lax', 'None'])

/** RFC 6265 §5.2.4: a path that does not begin with a slash counts as none. */
function checkPath(path: unknown): void {
  if (!/^\/[\x20-\x3a\x3c-\x7e]*$/.test(textOf('the path of a cookie', path)))
    throw new NppError(
      'NPP_HEADER_INVALID',
      `cookie path ${JSON.stringify(path)} does not begin with / or has a character that may not stand in it`,
    )
}

/** RFC 6265 §4.1.2.3: a name of labels (RFC 1123 §2.1), whose leading dot is passed over, or an address. */
function checkDomain(domain: unknown): void {
  const text = textOf('the domain of a cookie', domain)
  if (!/^\.?(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?$/.test(text))
    throw new NppError('NPP_HEADER_INVALID', `cookie domain ${JSON.stringify(text)} is not the name of a host`)
}

/** The draft that follows RFC 6265, §4.1.3: browsers drop what breaks the promise of its name, whatever the case of the prefix. */
function checkPrefix(name: string, secure: boolean, path: string, domain: string | undefined): void {
  const lower = name.toLowerCase()
  if (lower.startsWith('__secure-') && !secure) throw invalid(name, 'its prefix needs secure, or browsers drop it')
  if (lower.startsWith('__host-') && !(secure && path === '/' && domain === undefined))
    throw invalid(name, 'its prefix needs secure, the path / and no domain, or browsers drop it')
}

/** RFC 6265 §4.1.1: a date of RFC 1123, whose year has four digits; §5.1.1: from 1601 on. */
function dateOf(name: string, expires: unknown): string {
  const year = expires instanceof Date ? expires.getUTCFullYear() : Number.NaN
  if (!(expires instanceof Date) || !(year >= 1601 && year <= 9999)) throw invalid(name, 'expires is a Date from the year 1601 to 9999')
  return expires.toUTCString()
}

function invalid(name: string, what: string): NppError {
  return new NppError('NPP_HEADER_INVALID', `cookie ${name}: ${what}`)
}
