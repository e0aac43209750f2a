import type { Config } from '../shared/config.ts'
import { NppError, errnoOf } from '../shared/errors.ts'
import type { ListenAddress, Transport } from './net/transport.ts'

const ALL_IPV6 = '::'
const ALL_IPV4 = '0.0.0.0'
/** What listening on '::' says where the kernel has no IPv6. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'])

/** sd_listen_fds(3): the first descriptor that systemd hands over. */
const FIRST_INHERITED = 3

/** Descriptors that listen already, as systemd or a tool like it left them to this process: LISTEN_FDS of them, if LISTEN_PID is ours. */
export function inheritedDescriptors(environment: Readonly<Record<string, string | undefined>>, pid: number): number[] {
  const { LISTEN_PID: forWhom, LISTEN_FDS: count } = environment
  if (forWhom !== String(pid) || count === undefined || !/^\d{1,3}$/.test(count)) return []
  return Array.from({ length: Number(count) }, (_, index) => FIRST_INHERITED + index)
}

/** Listens on what this process has inherited, else where the configuration says. Returns the addresses. */
export async function listenOnAll(
  transport: Pick<Transport, 'listen' | 'listenUnix' | 'adopt'>,
  config: Pick<Config, 'httpAddress' | 'httpPort' | 'httpSocket' | 'httpSocketMode'>,
  inherited: readonly number[],
): Promise<ListenAddress[]> {
  if (inherited.length > 0) return Promise.all(inherited.map((descriptor) => transport.adopt(descriptor)))
  const { httpAddress, httpPort, httpSocket, httpSocketMode } = config
  if (httpSocket === '') return listenOnPort(transport, httpAddress, httpPort)
  const socket = await transport.listenUnix(httpSocket, Number.parseInt(httpSocketMode, 8))
  return httpAddress.length === 0 ? [socket] : [...(await listenOnPort(transport, httpAddress, httpPort)), socket]
}

/** Listens on each host; without any on all of the machine, IPv6 and IPv4, or IPv4 alone where there is no IPv6. */
export async function listenOnPort(transport: Pick<Transport, 'listen'>, hosts: readonly string[], port: number): Promise<ListenAddress[]> {
  if (hosts.length > 0) {
    const addresses: ListenAddress[] = []
    for (const host of hosts) addresses.push(await transport.listen({ host, port }))
    return addresses
  }
  try {
    return [await transport.listen({ host: ALL_IPV6, port })]
  } catch (error) {
    if (!(error instanceof NppError && NO_IPV6.has(errnoOf(error.cause)))) throw error
    return [await transport.listen({ host: ALL_IPV4, port })]
  }
}

/** The address as a person would type it on this machine. */
export function urlOf({ host, port }: ListenAddress, scheme: 'http' | 'https' = 'http'): string {
  if (host.startsWith('/')) return `http+unix://${encodeURIComponent(host)}`
  if (host === ALL_IPV6 || host === ALL_IPV4) return `${scheme}://localhost:${port}`
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
