/** A form in which npp says what went wrong. */
export type ErrorForm = 'html' | 'json'

const HTML = 'text/html'
/** Who asks for JSON of any kind reads this too; RFC 9457 §3 gives it a name of its own. */
const JSON_TYPES = ['application/problem+json', 'application/json']

/** RFC 9110 §12.5.1: a media range with its parameters, a weight among them. */
const RANGE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\/([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*((?:;.*)?)$/s
/** RFC 9110 §12.4.2. */
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

interface Range {
  readonly type: string
  readonly weight: number
}

/**
 * The form that the client wants to read, by its Accept field. HTML where it says nothing or likes both as much; also where it takes neither:
 * an answer of status 406 would tell it less.
 */
export function errorFormOf(accept: string | undefined): ErrorForm {
  if (accept === undefined) return 'html'
  const ranges = accept.split(',').flatMap((element) => rangeOf(element.trim()))
  const json = Math.max(...JSON_TYPES.map((type) => weightOf(type, ranges)))
  return json > weightOf(HTML, ranges) ? 'json' : 'html'
}

/** The range, or nothing where it is malformed, or is one of a type with parameters, which npp's forms do not have. */
function rangeOf(element: string): Range[] {
  const [, type = '', subtype = '', rest = ''] = RANGE.exec(element) ?? []
  if (type === '' || (type === '*' && subtype !== '*')) return []
  let weight = 1
  for (const parameter of rest.split(';').slice(1)) {
    const [name = '', value = ''] = parameter.split('=').map((part) => part.trim())
    if (name === '') continue // RFC 9110 §5.6.6 lets a parameter be left out.
    if (name.toLowerCase() === 'q') {
      if (!WEIGHT.test(value)) return []
      weight = Number(value)
      break // What follows a weight is of no media type.
    }
    if (name.toLowerCase() !== 'charset' || !/^"?utf-8"?$/i.test(value)) return []
  }
  return [{ type: `${type}/${subtype}`.toLowerCase(), weight }]
}

/** RFC 9110 §12.5.1: the most specific range that matches decides. 0 for a type that none does. */
function weightOf(type: string, ranges: readonly Range[]): number {
  for (const range of [type, `${type.slice(0, type.indexOf('/'))}/*`, '*/*']) {
    const found = ranges.filter((one) => one.type === range)
    if (found.length > 0) return Math.max(...found.map(({ weight }) => weight))
  }
  return 0
}
