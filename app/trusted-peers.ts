import { BlockList, isIP } from 'node:net'
import type { Config } from '../shared/config.ts'
import type { TrustedPeers } from './http/client.ts'
import { UNIX_PEER } from './net/transport.ts'

/** Addresses of which the answer is kept: a site has few proxies, and asking the list costs as much as the rest of a request. */
const KEPT = 1000

/** The peers that the configuration trusts; undefined where it trusts nobody. */
export function trustedPeersOf({ trustedProxies, proxyFields }: Pick<Config, 'trustedProxies' | 'proxyFields'>): TrustedPeers | undefined {
  if (trustedProxies.length === 0) return undefined
  const list = new BlockList()
  let trustsUnix = false
  for (const word of trustedProxies) {
    const [address = '', bits] = word.split('/')
    const version = address.includes(':') ? 'ipv6' : 'ipv4'
    if (word === 'unix') trustsUnix = true
    else if (bits === undefined) list.addAddress(address, version)
    else list.addSubnet(address, Number(bits), version)
  }
  const known = new Map<string, boolean>()
  const look = (address: string): boolean => {
    if (address === UNIX_PEER) return trustsUnix
    // The link of a link-local address is ours, and no part of a net.
    const [plain = ''] = address.split('%')
    const version = isIP(plain)
    return version !== 0 && list.check(plain, version === 6 ? 'ipv6' : 'ipv4')
  }
  return {
    fields: proxyFields,
    isAddress: (text) => !text.includes('%') && isIP(text) !== 0,
    trusts(address) {
      const kept = known.get(address)
      if (kept !== undefined) return kept
      const isTrusted = look(address)
      if (known.size === KEPT) known.clear()
      known.set(address, isTrusted)
      return isTrusted
    },
  }
}
