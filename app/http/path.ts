const AUTHORITY = /^https?:\/\/[^/?]+/i

/**
 * The path of a request target, ready for routing: of an absolute-form target (RFC 9112 §3.2.2) what follows the authority, which the parser
 * has judged, dot segments resolved (RFC 3986 §5.2.4), also encoded ones. The asterisk stays one. Undefined for a target that is of no form, or whose escapes are not UTF-8 or hide a NUL.
 */
export function routingPathOf(rawPath: string): string | undefined {
  if (rawPath.startsWith('/') && !rawPath.includes('%') && !rawPath.includes('/.')) return rawPath
  if (rawPath === '*') return rawPath
  let path = rawPath
  if (!path.startsWith('/')) {
    const authority = AUTHORITY.exec(path)?.[0]
    if (authority === undefined) return undefined
    path = path.slice(authority.length)
    if (path === '') path = '/'
  }
  if (path.includes('%') && (/%(?![0-9A-Fa-f]{2})|%00/.test(path) || decoded(path) === undefined)) return undefined
  return path.includes('.') || /%2e/i.test(path) ? withoutDotSegments(path) : path
}

/**
 * The path with its escapes decoded, or undefined where they are not UTF-8. An encoded slash stays %2F: decoded it would look like one that
 * parts segments, and lead a check of prefixes astray. So %252F comes out as %2F too; neither parts anything, and nothing decodes it again.
 */
export function decoded(path: string): string | undefined {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path.replaceAll(/%2f/gi, '%252F'))
  } catch {
    return undefined // A URIError is the answer to the question, not a failure.
  }
}

function withoutDotSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split('/').slice(1)
  for (const [index, segment] of segments.entries()) {
    const plain = segment.replaceAll(/%2e/gi, '.')
    const last = index === segments.length - 1
    if (plain === '..') kept.pop()
    else if (plain !== '.') kept.push(segment)
    if (last && (plain === '.' || plain === '..')) kept.push('')
  }
  return `/${kept.join('/')}`
}
