import { performance } from 'node:perf_hooks'
import { readTicksPerSecond } from './machine.mjs'
import { sessionTicks } from './session-usage.mjs'

const warmupMs = 1000
const stallMs = 2000

/**
 * What the measuring side of an echo does besides: after a second it measures for so many, says what it found in one line of JSON, and ends the
 * process with `end`. `count` tells how many round trips there were, and how many with a wrong answer; `sessions` are those of all processes that take part.
 */
export function measureWindow(seconds, sessions, count, end) {
  const ticksPerSecond = readTicksPerSecond()
  const ticks = () => sessions.reduce((sum, session) => sum + sessionTicks(session), 0)
  let last = 0
  let movedAt = performance.now()
  const watch = setInterval(() => {
    const { received } = count()
    if (received !== last) [last, movedAt] = [received, performance.now()]
    else if (performance.now() - movedAt > stallMs) finish({ stalledAfter: received })
  }, 100)
  setTimeout(() => {
    const [ticksBefore, before, begun] = [ticks(), count().received, performance.now()]
    setTimeout(() => {
      const { received, wrong } = count()
      const elapsed = (performance.now() - begun) / 1000
      if (performance.now() - movedAt > stallMs / 4) return
      const cpuMicros = ((ticks() - ticksBefore) / ticksPerSecond / (received - before)) * 1e6
      finish({ roundTrips: (received - before) / elapsed, cpuMicros, wrong })
    }, seconds * 1000)
  }, warmupMs)

  function finish(found) {
    clearInterval(watch)
    process.stdout.write(`${JSON.stringify(found)}\n`, end)
  }
}
