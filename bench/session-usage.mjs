import { readFileSync, readdirSync } from 'node:fs'

// Each server leads a session of its own; unlike the parent id, the session stays when a parent ends.
export function sessionMembers(session) {
  const members = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = read(`/proc/${entry}/stat`)
    // The name in parentheses may contain anything, so count from its end; fields as in proc_pid_stat(5), from field 3 on.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(fields[3]) !== session || fields[0] === 'Z') continue
    // With the time of children already waited for, a service that ends within the window is not lost.
    const [user, system, waitedUser, waitedSystem] = fields.slice(11, 15).map(Number)
    const ownTicks = user + system
    members.push({ pid: Number(entry), ownTicks, ticks: ownTicks + waitedUser + waitedSystem })
  }
  return members
}

export function sessionTicks(session) {
  return sessionMembers(session).reduce((sum, { ticks }) => sum + ticks, 0)
}

// Of the children of this process that have ended.
export function childTicks() {
  const fields = read('/proc/self/stat').split(') ')[1].split(' ')
  return Number(fields[13]) + Number(fields[14])
}

// In which the core did anything; fields as in proc_stat(5), without idle and iowait, and without guests, who are in user and nice.
export function coreTicks(core) {
  const [, user, nice, system, , , irq, softirq, steal] = (new RegExp(`^cpu${core} .*$`, 'm').exec(read('/proc/stat'))?.[0] ?? '')
    .split(' ')
    .map(Number)
  return user + nice + system + irq + softirq + steal
}

export function sessionResidentMB(session) {
  const kilobytes = sessionMembers(session).map(({ pid }) => Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0))
  return kilobytes.reduce((sum, value) => sum + value, 0) / 1024
}

// Of one process.
export function residentBytes(pid) {
  return Number(/^Rss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? NaN) * 1024
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It ended between the listing and the reading.
    return ''
  }
}
