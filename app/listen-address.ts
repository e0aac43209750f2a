import type { Config } from '../shared/config.ts'
import { NppError, errnoOf } from '../shared/errors.ts'
import type { ListenAddress, Transport } from './net/transport.ts'

const ALL_IPV6 = '::'
const ALL_IPV4 = '0.0.0.0'
/** What listening on '::' says where the kernel has no IPv6. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'])

/** Listens where the configuration says; without an address on all of the machine, IPv6 and IPv4, or IPv4 alone where there is no IPv6. */
export async function listenAsConfigured(
  transport: Pick<Transport, 'listen'>,
  config: Pick<Config, 'httpAddress' | 'httpPort'>,
): Promise<ListenAddress> {
  const port = config.httpPort
  if (config.httpAddress !== '') return transport.listen({ host: config.httpAddress, port })
  try {
    return await transport.listen({ host: ALL_IPV6, port })
  } catch (error) {
    if (!(error instanceof NppError && NO_IPV6.has(errnoOf(error.cause)))) throw error
    return transport.listen({ host: ALL_IPV4, port })
  }
}

/** The address as a person would type it on this machine. */
export function urlOf({ host, port }: ListenAddress): string {
  if (host === ALL_IPV6 || host === ALL_IPV4) return `http://localhost:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
