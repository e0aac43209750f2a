import type { Config } from '../../shared/config.ts'

/** Bits of the fields that npp sets where the handler does not: those that the handler has set itself are left out. */
const SECURITY_FIELDS: Readonly<Record<string, number>> = {
  'x-content-type-options': 1,
  'x-frame-options': 2,
  'content-security-policy': 4,
  'referrer-policy': 8,
  'strict-transport-security': 16,
}

/** The bit of a field, by its name in lower case; 0 for one that npp never sets. */
export function securityFieldOf(lowerName: string): number {
  return Object.hasOwn(SECURITY_FIELDS, lowerName) ? (SECURITY_FIELDS[lowerName] ?? 0) : 0
}

export type SecuritySettings = Pick<
  Config,
  'nosniff' | 'frameOptions' | 'hstsMaxAge' | 'hstsIncludeSubDomains' | 'contentSecurityPolicy' | 'referrerPolicy'
>

/** The lines of the header that tell browsers to be careful, made once. */
export class SecurityFields {
  /** Lines of an answer by plain HTTP. */
  readonly plain: string
  /** Lines of an answer to a client that came by HTTPS. */
  readonly secure: string
  readonly #fields: readonly SecurityField[]

  constructor(settings: SecuritySettings) {
    const { nosniff, frameOptions, hstsMaxAge, hstsIncludeSubDomains, contentSecurityPolicy, referrerPolicy } = settings
    this.#fields = [
      nosniff ? field('X-Content-Type-Options', 'nosniff') : undefined,
      frameOptions === 'none' ? undefined : field('X-Frame-Options', frameOptions),
      contentSecurityPolicy === '' ? undefined : field('Content-Security-Policy', contentSecurityPolicy),
      referrerPolicy === '' ? undefined : field('Referrer-Policy', referrerPolicy),
      hstsMaxAge === 0
        ? undefined
        : field('Strict-Transport-Security', `max-age=${hstsMaxAge}${hstsIncludeSubDomains ? '; includeSubDomains' : ''}`),
    ].filter((one) => one !== undefined)
    this.plain = this.#join(false, 0)
    this.secure = this.#join(true, 0)
  }

  /** Lines of an answer, without the fields whose bits are in `ownFields`: those are the handler's. */
  lines(isSecure: boolean, ownFields: number): string {
    if (ownFields !== 0) return this.#join(isSecure, ownFields)
    return isSecure ? this.secure : this.plain
  }

  #join(isSecure: boolean, ownFields: number): string {
    let text = ''
    // RFC 6797 §7.2: Strict-Transport-Security never by plain HTTP.
    for (const { bit, line } of this.#fields) if ((ownFields & bit) === 0 && (isSecure || bit !== HSTS)) text += line
    return text
  }
}

interface SecurityField {
  readonly bit: number
  readonly line: string
}

const HSTS = securityFieldOf('strict-transport-security')

function field(name: string, value: string): SecurityField {
  return { bit: securityFieldOf(name.toLowerCase()), line: `${name}: ${value}\r\n` }
}
