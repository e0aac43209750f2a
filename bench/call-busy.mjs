import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './commands.mjs'
import { runLoad } from './load.mjs'
import { Server } from './server.mjs'
import { coreTicks, childTicks, sessionMembers } from './session-usage.mjs'

// More than there are services, so that one that replies finds the next call in the queue.
const callsAService = 4
const startLimitMs = 10_000
const callPath = '/busy/50'
// Of the time, for which each service must have run or have wanted its core.
const leastBusyPercent = 95
// Of the engine's core, for everybody else on the machine: when the services fill their core, the others move to this one, and the engine waits for them.
const mostOthersPercent = 10

/**
 * p99 of /hello while all services compute, and while they have nothing to do, in one instance: engine and load on one core, services on the other.
 * Where the load is on the core of the services it waits for them itself, and that is no fault of the engine.
 */
export async function latencyBesideBusyServices(contender, services, scenario, round, { seconds, warmup, tool, machine, ticksPerSecond }) {
  const server = new Server(contender, scenario, machine.serverCore)
  try {
    await server.listening()
    await server.check()
    const pids = await servicesOf(server.process.pid, services)
    for (const pid of pids) pin(pid, machine.loadCore)
    const load = (time) => runLoad(tool, machine.serverCore, server.port, scenario, time)
    const measured = () => withOthersPercent(server.process.pid, machine.serverCore, ticksPerSecond, () => load(seconds))
    const ways = { without: measured, with: () => withBusyServices(server.port, pids, machine.loadCore, measured) }
    await load(warmup)
    const found = {}
    // The first of both has a younger process: so they take turns.
    for (const way of round % 2 === 0 ? ['without', 'with'] : ['with', 'without']) found[way] = await ways[way]()
    const { without, with: beside } = found
    const errors = { ...errorsOf(without), ...errorsOf(beside) }
    if (beside.failed > 0) errors['failed calls'] = beside.failed
    if (beside.busyPercent < leastBusyPercent) errors['services busy, per cent of the time:'] = beside.busyPercent.toFixed(0)
    return {
      ...beside,
      without: without.p99,
      with: beside.p99,
      ratio: beside.p99 / without.p99,
      requestsPerSecond: beside.requests / beside.seconds,
      errors,
      ...(beside.othersPercent > mostOthersPercent
        ? { note: 'others used the core of the engine: NOT COMPARABLE', isComparable: false }
        : {}),
    }
  } finally {
    await server.end()
  }
}

function errorsOf({ errors }) {
  return Object.fromEntries(Object.entries(errors).filter(([, count]) => count > 0))
}

async function servicesOf(session, count) {
  const deadline = performance.now() + startLimitMs
  for (;;) {
    const pids = sessionMembers(session).flatMap(({ pid }) => (isService(pid) ? [pid] : []))
    if (pids.length === count) return pids
    if (performance.now() > deadline) throw new BenchError(`${pids.length} services are there in place of ${count}`)
    await sleep(50)
  }
}

function isService(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('npp_svc')
  } catch {
    // It ended by itself meanwhile.
    return false
  }
}

/** The load, and how much of the core somebody else used meanwhile than the engine and the load. */
async function withOthersPercent(engine, core, ticksPerSecond, measure) {
  const used = () => coreTicks(core) - childTicks() - (sessionMembers(engine).find(({ pid }) => pid === engine)?.ownTicks ?? 0)
  const [begun, before] = [performance.now(), used()]
  const load = await measure()
  const others = (used() - before) / ticksPerSecond
  return { ...load, othersPercent: (others / ((performance.now() - begun) / 1000)) * 100 }
}

async function withBusyServices(port, pids, loadCore, measure) {
  const over = new AbortController()
  const seen = new Set()
  let calls = 0
  let failed = 0
  const callAgain = async () => {
    while (!over.signal.aborted) {
      try {
        const reply = await fetch(`http://127.0.0.1:${port}${callPath}`)
        const { pid } = await reply.json()
        if (!pids.includes(pid)) throw new BenchError('no service has answered')
        seen.add(pid)
        calls++
      } catch {
        failed++
        await sleep(100)
      }
    }
  }
  const cores = affinityOf(process.pid)
  // Where services are: this program would else move to the core of the engine, as that is the one with time left.
  pin(process.pid, loadCore)
  const callers = Array.from({ length: pids.length * callsAService }, callAgain)
  try {
    const deadline = performance.now() + startLimitMs
    while (seen.size < pids.length) {
      if (performance.now() > deadline) throw new BenchError('not all services have got a call')
      await sleep(20)
    }
    const [begun, wanted] = [performance.now(), pids.map(wantedNanos)]
    const load = await measure()
    const elapsed = performance.now() - begun
    const shares = pids.map((pid, at) => (wantedNanos(pid) - wanted[at]) / 1e4 / elapsed)
    return { ...load, busyPercent: Math.min(...shares), calls, failed }
  } finally {
    over.abort()
    pin(process.pid, cores)
    await Promise.all(callers)
  }
}

function pin(pid, cores) {
  execFileSync('taskset', ['-a', '-p', '-c', String(cores), String(pid)], { stdio: 'ignore' })
}

function affinityOf(pid) {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]
}

// proc_pid_schedstat: nanoseconds that the main thread had a core, and that it waited for one.
function wantedNanos(pid) {
  const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
  return Number(ran) + Number(waited)
}
