import { readFileSync, readdirSync, readlinkSync } from 'node:fs'

const established = '01'
const listening = '0A'

// The kernel's tables of TCP sockets (proc_net_tcp in its documentation).
function readSockets() {
  const sockets = []
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readTable(table)) {
      const [, local, , state, queues, , , , , inode] = line.trim().split(/\s+/)
      if (inode === undefined) continue
      const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)
      // For a listening socket, rx_queue is the number of connections that wait to be accepted.
      sockets.push({ port, state, received: Number.parseInt(queues.split(':')[1], 16), inode })
    }
  }
  return sockets
}

function readTable(path) {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(1)
  } catch {
    // A kernel without IPv6 has no tcp6.
    return []
  }
}

// Of `wanted` connections, those that the server has not accepted, be it that they wait for it or that its queue had no room for them.
export function notAccepted(port, wanted) {
  const sockets = readSockets().filter((socket) => socket.port === port)
  const queued = sockets.filter(({ state }) => state === listening).reduce((sum, { received }) => sum + received, 0)
  const connected = sockets.filter(({ state }) => state === established).length
  return queued + Math.max(wanted - connected, 0)
}

// The port on which a process listens, undefined while there is none.
export function listeningPort(pid) {
  const inodes = new Set(socketInodes(pid))
  return readSockets().find(({ state, inode }) => state === listening && inodes.has(inode))?.port
}

function socketInodes(pid) {
  const folder = `/proc/${pid}/fd`
  try {
    return readdirSync(folder).flatMap((name) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${name}`))?.[1] ?? [])
  } catch {
    // The process ended, or closed one of them meanwhile; who waits asks again.
    return []
  }
}
