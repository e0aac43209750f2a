import { setTimeout as sleep } from 'node:timers/promises'
import { Server } from './server.mjs'
import { sessionTicks } from './session-usage.mjs'

/** Processor time of engine and service while 100 calls wait in a slow service. */
export async function pendingCalls(contender, scenario, { seconds, machine, ticksPerSecond }) {
  const server = new Server(contender, scenario, machine.serverCore)
  const given = new AbortController()
  try {
    await server.listening()
    await server.check()
    const url = `http://127.0.0.1:${server.port}/slow/${(seconds + 30) * 1000}`
    const calls = Array.from({ length: 100 }, () => fetch(url, { signal: given.signal }).catch(() => undefined))
    // The processes have started by then: what they use is for what waits.
    await sleep(2000)
    const before = sessionTicks(server.process.pid)
    await sleep(seconds * 1000)
    const ticks = sessionTicks(server.process.pid) - before
    given.abort()
    await Promise.all(calls)
    return { busyPercent: (ticks / ticksPerSecond / seconds) * 100 }
  } finally {
    await server.end()
  }
}
