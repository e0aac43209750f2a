import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './commands.mjs'
import { runLoad } from './load.mjs'
import { Server } from './server.mjs'
import { sessionResidentMB, sessionTicks } from './session-usage.mjs'
import { notAccepted } from './tcp-sockets.mjs'

// A server is started anew for every measurement, so that its memory is that of this scenario alone.
export async function measure(contender, scenario, { seconds: wanted, warmup, tool, machine, ticksPerSecond }) {
  const seconds = Math.max(wanted, scenario.leastSeconds)
  const server = new Server(contender, scenario, machine.serverCore)
  let sample
  try {
    await server.listening()
    const reply = await server.check()
    await runLoad(tool, machine.loadCore, server.port, scenario, Math.max(warmup, scenario.leastSeconds))
    sample = { ...(await underLoad()), reply }
  } finally {
    const left = await server.end()
    if (sample && left) sample.left = left
  }
  return sample

  async function underLoad() {
    const { pid } = server.process
    const ticksBefore = sessionTicks(pid)
    const begun = performance.now()
    // While the connections are still open: afterwards their memory may be gone.
    const { connections } = scenario
    const resident = sleep(seconds * 800).then(() => ({
      residentMB: sessionResidentMB(pid),
      waiting: notAccepted(server.port, connections),
    }))
    const [load, { residentMB, waiting }] = await Promise.all([runLoad(tool, machine.loadCore, server.port, scenario, seconds), resident])
    const elapsed = (performance.now() - begun) / 1000
    const cpuSeconds = (sessionTicks(pid) - ticksBefore) / ticksPerSecond
    if (!server.process.isAlive) throw new BenchError(`ended under load${server.lastWords()}`)
    if (load.requests === 0) throw new BenchError('answered no request under load')
    return {
      requestsPerSecond: load.requests / load.seconds,
      cpuMicros: (cpuSeconds * 1e6) / load.requests,
      busyPercent: (cpuSeconds / elapsed) * 100,
      // The generators take the interval between single replies for that between batches, and correct latencies by it.
      p50: scenario.pipeline > 1 ? null : load.p50,
      p99: scenario.pipeline > 1 ? null : load.p99,
      residentMB,
      waiting,
      requests: load.requests,
      errors: Object.fromEntries(Object.entries(load.errors).filter(([, count]) => count > 0)),
    }
  }
}
