import type { Config } from '../../shared/config.ts'
import { Limits } from '../../shared/limits.ts'

/**
 * What to say at the start where select cannot hold as many connections as the configuration allows; '' where it can. `descriptors` are in use
 * by then: each takes one of those that select can watch.
 */
export function selectWarning(
  { transport, polling, maxConnections }: Pick<Config, 'transport' | 'polling' | 'maxConnections'>,
  descriptors: number,
): string {
  const room = Math.max(0, Limits.selectDescriptors - descriptors)
  if (transport !== 'native' || polling !== 'select' || maxConnections <= room) return ''
  return (
    `polling = select watches ${Limits.selectDescriptors} descriptors (FD_SETSIZE), of which ${descriptors} are in use already: it holds ${room} connections ` +
    `at the most, not the ${maxConnections} of maxConnections, and refuses more with 503; set polling to epoll or poll`
  )
}
