/**
 * What proxies say of a client, in X-Forwarded-For and its like or in Forwarded (RFC 7239). Text in, text out: who is believed, and which of
 * the two kinds is read at all, is decided by whoever calls.
 */

/** What one proxy says of the side that it was asked from; '' for what it does not say. */
export interface Hop {
  /** With port and brackets, as the proxy wrote it. */
  readonly node: string
  readonly protocol: string
  readonly host: string
}

/** The values of the three fields of a request, undefined where it has none. */
export interface XForwarded {
  readonly nodes: string | undefined
  readonly protocols: string | undefined
  readonly hosts: string | undefined
}

/** The hops that the fields name, the nearest proxy's first: proxies add at the right. */
export function hopsOfXForwarded(fields: XForwarded): Hop[] {
  // Many proxies add to the addresses, but replace the others: a list that is shorter speaks, with its first, for all that it leaves out.
  const nodes = listOf(fields.nodes)
  const protocols = listOf(fields.protocols)
  const hosts = listOf(fields.hosts)
  return (nodes.length === 0 ? [''] : nodes).map((node, index) => ({
    node,
    protocol: protocols[index] ?? protocols.at(-1) ?? '',
    host: hosts[index] ?? hosts.at(-1) ?? '',
  }))
}

/** Elements of a list, the last first. */
function listOf(text: string | undefined): string[] {
  const elements = text?.split(',').map((element) => element.trim()) ?? []
  return elements.toReversed()
}

/** RFC 7239 §4: pairs of a token and a token or a quoted string. */
const TOKEN = String.raw`[!#$%&'*+.^_\x60|~0-9A-Za-z-]+`
const PAIR = String.raw`(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\]|\\[\t\x20-\xff])*)")`
const ONE_PAIR = new RegExp(PAIR, 'g')
const ELEMENT = new RegExp(String.raw`^[ \t]*${PAIR}(?:[ \t]*;[ \t]*${PAIR})*[ \t]*$`)

/**
 * The hops of a Forwarded field, the nearest proxy's first. It is read from its end, where the trusted proxies have written: a client that
 * leaves a quote open at the beginning takes nothing away from them. A malformed element ends it.
 */
export function* hopsOfForwarded(field: string | undefined): Generator<Hop> {
  let text = field
  while (text !== undefined) {
    // The comma may stand in a quoted string; what follows it is no element then, as the string ends with a quote that nothing began.
    let comma = text.lastIndexOf(',')
    while (comma !== -1 && !isElement(text.slice(comma + 1))) comma = text.lastIndexOf(',', comma - 1)
    const element = text.slice(comma + 1)
    if (!isElement(element)) return
    if (element.trim() !== '') yield hopOf(element)
    text = comma <= 0 ? undefined : text.slice(0, comma)
  }
}

/** RFC 9110 §5.6.1.2: an empty element of a list is passed over. */
function isElement(text: string): boolean {
  return /^[ \t]*$/.test(text) || ELEMENT.test(text)
}

function hopOf(element: string): Hop {
  const said = new Map<string, string>()
  for (const [, name = '', token, quoted = ''] of element.matchAll(ONE_PAIR))
    said.set(name.toLowerCase(), token ?? quoted.replaceAll(/\\(.)/gs, '$1'))
  return { node: said.get('for') ?? '', protocol: said.get('proto') ?? '', host: said.get('host') ?? '' }
}

const PLAIN_V4 = /^[\d.]+$/

/** The address of a node, without its port and brackets; what is none comes back as something that is none. */
export function addressOfNode(node: string): string {
  if (PLAIN_V4.test(node)) return node
  const [, bracketed, v4] = /^(?:\[([^\]]*)\]|([\d.]+))(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?$/.exec(node) ?? []
  return bracketed ?? v4 ?? node
}
