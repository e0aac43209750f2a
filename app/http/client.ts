import type { Exchange } from './exchange.ts'
import { findField } from './fields.ts'
import { addressOfNode, hopsOfForwarded, hopsOfXForwarded, type Hop } from './forwarded-fields.ts'

/** The peers that are believed, and the fields in which they speak. */
export interface TrustedPeers {
  readonly fields: 'x-forwarded' | 'forwarded'
  /** True for the address of one of them. */
  trusts(address: string): boolean
  /** True for an address of IPv4 or IPv6. */
  isAddress(text: string): boolean
}

/** Where a request came from, in the words of the trusted proxies; '' for what they do not say. */
interface Origin {
  readonly address: string
  readonly protocol: string
  readonly host: string
}

/** The address of who asks: the peer's, or what trusted proxies say of theirs. */
export function addressOfClient(exchange: Exchange): string {
  const { context, slot, generation } = exchange
  const peer = context.addressOf(slot, generation)
  const { trustedPeers } = context
  if (trustedPeers === undefined || !trustedPeers.trusts(peer)) return peer
  if (trustedPeers.fields === 'forwarded') return originOf(exchange, trustedPeers, peer).address
  // Asked for each line of the access log: the same walk, of the addresses alone.
  const nodes = findField(exchange, 'x-forwarded-for', ', ')
  return nodes === undefined ? peer : addressIn(nodes, trustedPeers, peer)
}

/** How the client came: by TLS to npp, or as trusted proxies say. */
export function isSecureClient(exchange: Exchange): boolean {
  const { context, slot, generation } = exchange
  const { trustedPeers } = context
  if (trustedPeers !== undefined) {
    const peer = context.addressOf(slot, generation)
    const protocol = trustedPeers.trusts(peer) ? protocolOf(exchange, trustedPeers, peer) : ''
    if (protocol !== '') return protocol === 'https'
  }
  return context.isSecure(slot, generation)
}

/** The host that the client asked for, with its port where it named one; '' where it named none. */
export function hostOfClient(exchange: Exchange): string {
  const { context, slot, generation } = exchange
  const { trustedPeers } = context
  if (trustedPeers !== undefined) {
    const peer = context.addressOf(slot, generation)
    const host = trustedPeers.trusts(peer) ? originOf(exchange, trustedPeers, peer).host : ''
    if (host !== '') return host
  }
  // RFC 9112 §3.2.2: the authority of an absolute-form target takes the place of the field.
  const { raw } = exchange.target
  if (raw.startsWith('/')) return findField(exchange, 'host', ', ') ?? ''
  const authority = /^https?:\/\/([^/?#]*)/i.exec(raw)?.[1]
  return authority ?? findField(exchange, 'host', ', ') ?? ''
}

/**
 * From the nearest proxy on, each that is trusted is believed about who asked it; the first that is not is the client. Where all are, it is
 * the one that is farthest away. Protocol and host are those that the last believed proxy was asked with, or the one before where it says none.
 */
function originOf(exchange: Exchange, trusted: TrustedPeers, peer: string): Origin {
  let address = peer
  let protocol = ''
  let host = ''
  for (const hop of hopsOf(exchange, trusted)) {
    protocol = protocolIn(hop.protocol) || protocol
    if (isHost(hop.host)) host = hop.host
    const next = addressOfNode(hop.node)
    // Hidden, unknown or malformed: nobody knows whom to believe from here on.
    if (!trusted.isAddress(next)) break
    address = next
    if (!trusted.trusts(next)) break
  }
  return { address, protocol, host }
}

/** Asked for each answer: one protocol is that of all hops, however many there are. */
function protocolOf(exchange: Exchange, trusted: TrustedPeers, peer: string): string {
  if (trusted.fields === 'x-forwarded') {
    const field = findField(exchange, 'x-forwarded-proto', ', ')
    if (field === undefined) return ''
    if (!field.includes(',')) return protocolIn(field)
  }
  return originOf(exchange, trusted, peer).protocol
}

/** 'http' or 'https'; '' for text that is neither. */
function protocolIn(text: string): string {
  if (text === 'https' || text === 'http') return text
  return /^https?$/i.test(text) ? text.toLowerCase() : ''
}

function addressIn(nodes: string, trusted: TrustedPeers, peer: string): string {
  let address = peer
  for (let end = nodes.length, comma = 0; comma !== -1; end = comma) {
    comma = end === 0 ? -1 : nodes.lastIndexOf(',', end - 1)
    const next = addressOfNode(nodes.slice(comma + 1, end).trim())
    if (!trusted.isAddress(next)) break
    address = next
    if (!trusted.trusts(next)) break
  }
  return address
}

function hopsOf(exchange: Exchange, { fields }: TrustedPeers): Iterable<Hop> {
  if (fields === 'forwarded') return hopsOfForwarded(findField(exchange, 'forwarded', ', '))
  return hopsOfXForwarded({
    nodes: findField(exchange, 'x-forwarded-for', ', '),
    protocols: findField(exchange, 'x-forwarded-proto', ', '),
    hosts: findField(exchange, 'x-forwarded-host', ', '),
  })
}

/** RFC 3986 §3.2.2 and §3.2.3: a name or address, which has no userinfo, and a port. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::\d{0,5})?$/

function isHost(text: string): boolean {
  return HOST.test(text)
}
