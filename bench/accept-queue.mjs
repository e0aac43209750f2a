import { readFileSync } from 'node:fs'

const listening = '0A'

// For a listening socket, rx_queue is the number of connections that wait to be accepted (proc_net_tcp in the kernel's documentation).
export function waitingConnections(port) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  let waiting = 0
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readTable(table)) {
      const [, local, , state, queues] = line.trim().split(/\s+/)
      if (state === listening && local.endsWith(suffix)) waiting += Number.parseInt(queues.split(':')[1], 16)
    }
  }
  return waiting
}

function readTable(path) {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(1)
  } catch {
    // A kernel without IPv6 has no tcp6.
    return []
  }
}
