import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { npp } from './contenders.mjs'
import { readMachine, readTicksPerSecond } from './machine.mjs'
import { formatColumns } from './markdown-table.mjs'
import { measure } from './measurement.mjs'
import { median } from './median.mjs'
import { common, namesOf, readOptions, wholeNumber } from './options.mjs'
import { PinnedProcess } from './pinned-process.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'
import { Server } from './server.mjs'
import { sessionTicks } from './session-usage.mjs'

const here = import.meta.dirname
const site = join(here, 'site')
const echo = join(here, 'call-echo.mjs')
const parts = ['echo', 'http', 'single', 'idle', 'two']

const usage = `node bench/call.mjs [options]
  --seconds N            length of one measurement, 1 to 60 (5)
  --rounds N             measurements, of which the median counts, 1 to 15 (3)
  --only name,name       ${parts.join(', ')}
  --json file            all figures, every single measurement too
  --help
`
const kinds = { ...common, seconds: wholeNumber(5, 1, 60), only: namesOf(parts) }

const json = { body: null, type: 'application/json', pipeline: 1, headers: {}, leastSeconds: 1, connections: 64 }
const hello = { ...json, name: 'hello', path: '/hello', body: 'Hello World!', type: 'text/plain' }
const call = { ...json, name: 'async', path: '/async/hello' }
const welcome = npp('npp', {})
const services = (count) => npp(`${count} service(s)`, { NPP_ASYNC_SVC_PROCESSES: String(count) }, site)

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  requirePinning()
  if (!isInstalled('wrk')) throw new BenchError('wrk not found: install the package wrk')
  if (!existsSync(join(here, '../dist/ipc/posix-queue.js'))) throw new BenchError('npp is not built: npm run build')
  const machine = readMachine('wrk')
  const { seconds, rounds } = options
  const method = `${rounds} round(s) of ${seconds} s, fresh processes each, in turns; medians`
  const report = new Report('call.mjs', words, machine, method)
  report.announce()
  const settings = { seconds, warmup: 2, tool: 'wrk', machine: machine.facts, ticksPerSecond: readTicksPerSecond() }
  const asked = (part) => options.only.includes(part)

  if (asked('echo')) {
    const ways = ['single', 'coalesced'].map((way) => ({ name: way, take: () => echoes(way, settings) }))
    await add(report, rounds, { name: 'call-echo', title: 'queue alone, 200 bytes, both processes on one core' }, ways, {
      'round trips/s': [({ roundTrips }) => roundTrips, 0],
      'core %': [({ busyPercent }) => busyPercent, 0],
    })
  }
  if (asked('http')) {
    const loads = [hello, call, { ...call, connections: 256 }].map((scenario) => ({
      name: `${scenario.path}, ${scenario.connections} connections`,
      take: () => measure(welcome, scenario, settings),
    }))
    await add(report, rounds, { name: 'call-http', title: 'engine and one service on one core' }, loads, {
      'requests/s': [({ requestsPerSecond }) => requestsPerSecond, 0],
      'CPU µs/request': [({ cpuMicros }) => cpuMicros, 2],
      'core %': [({ busyPercent }) => busyPercent, 0],
      'p99 ms': [({ p99 }) => p99, 2],
    })
  }
  if (asked('single')) {
    const loads = [hello, call].map((scenario) => ({
      name: scenario.path,
      take: () => measure(welcome, { ...scenario, connections: 1 }, settings),
    }))
    await add(report, rounds, { name: 'call-single', title: 'one request in flight' }, loads, {
      'p50 µs': [({ p50 }) => p50 * 1000, 0],
      'p99 µs': [({ p99 }) => p99 * 1000, 0],
    })
  }
  if (asked('idle')) {
    const one = { name: '100 calls pending', take: () => pending(settings) }
    await add(report, rounds, { name: 'call-idle', title: 'engine and service while calls wait in a slow service' }, [one], {
      'CPU %': [({ busyPercent }) => busyPercent, 2],
    })
  }
  if (asked('two')) {
    const both = {
      ...settings,
      machine: { ...settings.machine, serverCore: [...new Set([settings.machine.serverCore, settings.machine.loadCore])].join(',') },
    }
    const scenario = { ...json, name: 'busy', path: '/busy/5', connections: 16 }
    const counts = [1, 2].map((count) => ({ name: `${count} service(s)`, take: () => measure(services(count), scenario, both) }))
    await add(report, rounds, { name: 'call-two', title: 'calls that compute for about 5 ms, all processes on two cores' }, counts, {
      'requests/s': [({ requestsPerSecond }) => requestsPerSecond, 0],
    })
  }
  if (isInterrupted()) throw new BenchError('interrupted')
  return report.end(options.json)
}

/** Measures all of them in turns. `columns` are the figures of a sample, and their decimals. */
async function add(report, rounds, scenario, competitors, columns) {
  const samples = new Map(competitors.map(({ name }) => [name, []]))
  const failures = new Map()
  for (let round = 0; round < rounds; round++) {
    for (const { name, take } of competitors) {
      if (isInterrupted() || failures.has(name)) continue
      progress(`${scenario.name}, round ${round + 1} of ${rounds}: ${name}`)
      await take().then(
        (sample) => samples.get(name).push(sample),
        (error) => failures.set(name, error),
      )
    }
  }
  progress('')
  const results = competitors.map(({ name }) => {
    const own = samples.get(name)
    const figures = Object.entries(columns).map(([title, [figure]]) => [title, own.length === 0 ? null : median(own.map(figure))])
    const errors = own.flatMap(({ errors = {} }) => Object.keys(errors))
    return { server: name, samples: own, isValid: !failures.has(name) && errors.length === 0, ...Object.fromEntries(figures) }
  })
  const rows = results.map((result) => [
    result.server,
    ...Object.entries(columns).map(([title, [, decimals]]) =>
      result[title] === null
        ? '–'
        : result[title].toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
    ),
    result.isValid ? '' : `INVALID: ${failures.get(result.server)?.message ?? 'errors'}`,
  ])
  report.add(scenario, results, formatColumns([scenario.name, ...Object.keys(columns), ''], rows))
}

async function echoes(way, { seconds, machine, ticksPerSecond }) {
  const name = `/npp-bench-${process.pid}`
  const server = new PinnedProcess(machine.serverCore, process.execPath, [echo, 'server', way, name])
  try {
    if ((await server.said(/ready/, 10_000)) === undefined) throw new BenchError(`the echo did not start: ${server.err}`)
    const client = new PinnedProcess(machine.serverCore, process.execPath, [echo, 'client', way, name, String(seconds)])
    const before = sessionTicks(server.pid)
    const answer = await client.said(/\{.*\}/, (seconds + 10) * 1000)
    const ticks = sessionTicks(server.pid) - before
    await client.end(1000)
    if (answer === undefined) throw new BenchError(`the echo said nothing: ${client.err}`)
    const { roundTrips, wrong } = JSON.parse(answer[0])
    return { roundTrips, busyPercent: (ticks / ticksPerSecond / (seconds + 1)) * 100, errors: wrong > 0 ? { wrong } : {} }
  } finally {
    await server.end(2000)
  }
}

// The processes have started by then: what they use is for what waits.
async function pending({ seconds, machine, ticksPerSecond }) {
  const scenario = { ...json, name: 'slow', path: '/slow/1' }
  const server = new Server(services(1), scenario, machine.serverCore)
  const given = new AbortController()
  try {
    await server.listening()
    await server.check()
    const url = `http://127.0.0.1:${server.port}/slow/${(seconds + 30) * 1000}`
    const calls = Array.from({ length: 100 }, () => fetch(url, { signal: given.signal }).catch(() => undefined))
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
