import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

// Besides its connections a process holds its libraries, epoll sets and pipes.
const spare = 64

function readLimits() {
  const [, soft, hard] = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return { soft: asNumber(soft), hard: asNumber(hard) }
}

function asNumber(text) {
  return text === undefined || text === 'unlimited' ? Infinity : Number(text)
}

export function descriptorLimit() {
  return readLimits().soft
}

// Raises the limit of this process, from which its children have theirs. Returns why that many connections cannot be, undefined if they can.
export function lackOfDescriptors(connections) {
  const wanted = connections + spare
  if (readLimits().soft >= wanted) return undefined
  // The hard limit too, which takes a privilege (CAP_SYS_RESOURCE) that root has, but not in every container.
  const most = Math.max(wanted, readLimits().hard)
  spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${wanted}:${most === Infinity ? 'unlimited' : most}`])
  const { soft, hard } = readLimits()
  if (soft >= wanted) return undefined
  return `${connections.toLocaleString('en')} connections take ${wanted.toLocaleString('en')} descriptors a process, and the hard limit here is ${hard.toLocaleString('en')}: raise it (ulimit -Hn ${wanted}, as root with CAP_SYS_RESOURCE, or LimitNOFILE, or docker run --ulimit) and start again`
}
