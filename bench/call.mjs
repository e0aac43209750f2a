import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { latencyBesideBusyServices } from './call-busy.mjs'
import { floorEcho, nppEcho, peerEcho, requirePackage, sizedEcho } from './call-echoes.mjs'
import { largeReplies } from './call-large.mjs'
import { pendingCalls } from './call-pending.mjs'
import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { npp, peer } from './contenders.mjs'
import { readMachine, readTicksPerSecond } from './machine.mjs'
import { measure } from './measurement.mjs'
import { common, namesOf, readOptions, wholeNumber } from './options.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report } from './report.mjs'
import { takeTurns } from './turns.mjs'

const here = import.meta.dirname
const site = join(here, 'site')

const json = { body: null, type: 'application/json', pipeline: 1, headers: {}, leastSeconds: 1, connections: 64 }
const hello = { ...json, name: 'hello', path: '/hello', body: 'Hello World!', type: 'text/plain' }
const call = { ...json, name: 'async', path: '/async/hello' }
const welcome = npp('npp', {})
const services = (count, variables = {}) => npp(`${count} service(s)`, { NPP_ASYNC_SVC_PROCESSES: String(count), ...variables }, site)
const piscina = peer('node-http-piscina')

const parts = { echo, http, single, idle, busy, large, two, depth }

const usage = `node bench/call.mjs [options]
  --seconds N            length of one measurement, 1 to 60 (5)
  --rounds N             measurements, of which the median counts, 1 to 15 (3)
  --only name,name       ${Object.keys(parts).join(', ')}
  --json file            all figures, every single measurement too
  --help
`
const kinds = { ...common, seconds: wholeNumber(5, 1, 60), only: namesOf(Object.keys(parts)) }

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
  for (const name of options.only) {
    const { title, competitors, columns } = parts[name](settings)
    await takeTurns(report, rounds, { name: `call-${name}`, title }, competitors, columns)
  }
  if (isInterrupted()) throw new BenchError('interrupted')
  return report.end(options.json)
}

function echo(settings) {
  const own = (way, inFlight) => ({ name: `${way}, ${inFlight} in flight`, take: () => nppEcho(way, inFlight, settings) })
  const peer = (name, file, needed, ...words) => ({
    name: `${name}, 64 in flight`,
    take: () => peerEcho(file, needed, words, 64, settings),
  })
  return {
    title: '200 bytes to and fro, everybody on one core',
    competitors: [
      own('coalesced', 256),
      own('coalesced', 64),
      own('single', 64),
      own('raw', 64),
      { name: 'C, raw, 64 in flight', take: () => floorEcho(64, settings) },
      peer('piscina', 'echo-piscina.mjs', 'piscina'),
      peer('process.send, json', 'echo-process-send.mjs', '', 'json'),
      peer('process.send, advanced', 'echo-process-send.mjs', '', 'advanced'),
      peer('posix-mq', 'echo-posix-mq.mjs', 'posix-mq', `/npp-bench-${process.pid}-peer`),
    ],
    columns: {
      'round trips/s': [({ roundTrips }) => roundTrips, 0],
      'CPU µs/round trip': [({ cpuMicros }) => cpuMicros, 2],
    },
  }
}

function depth(settings) {
  const sizes = [
    [10, 2048],
    [5, 8192],
    [10, 8192],
    [40, 8192],
    [10, 32768],
  ]
  return {
    title: 'coalesced echo with queues of other sizes, 4,096 in flight, everybody on one core',
    competitors: sizes.map(([messages, bytes]) => ({
      name: `${messages} messages of ${bytes.toLocaleString('en')} bytes`,
      take: () => sizedEcho(messages, bytes, settings),
    })),
    columns: {
      'round trips/s': [({ roundTrips }) => roundTrips, 0],
      'CPU µs/round trip': [({ cpuMicros }) => cpuMicros, 2],
    },
  }
}

function http(settings) {
  return {
    title: 'engine and one service on one core, the load on the other',
    competitors: [
      ...[hello, call, { ...call, connections: 256 }].map((scenario) => ({
        name: `${scenario.path}, ${scenario.connections} connections`,
        take: () => measure(welcome, scenario, settings),
      })),
      {
        name: 'node:http + piscina, 64 connections',
        take: () => {
          requirePackage('piscina')
          return measure(piscina, call, settings)
        },
      },
    ],
    columns: {
      'requests/s': [({ requestsPerSecond }) => requestsPerSecond, 0],
      'CPU µs/request': [({ cpuMicros }) => cpuMicros, 2],
      'core %': [({ busyPercent }) => busyPercent, 0],
      'p99 ms': [({ p99 }) => p99, 2],
    },
  }
}

function single(settings) {
  return {
    title: 'one request in flight, engine and one service on one core',
    competitors: [hello, call].map((scenario) => ({
      name: scenario.path,
      take: () => measure(welcome, { ...scenario, connections: 1 }, settings),
    })),
    columns: {
      'p50 µs': [({ p50 }) => p50 * 1000, 0],
      'p99 µs': [({ p99 }) => p99 * 1000, 0],
    },
  }
}

function idle(settings) {
  // Nobody waits for the calls at the end, and they would take longer than a drain.
  const contender = services(1, { NPP_DRAIN_TIMEOUT: '1' })
  return {
    title: 'engine and service while calls wait in a slow service',
    competitors: [{ name: '100 calls pending', take: () => pendingCalls(contender, { ...json, name: 'slow', path: '/slow/1' }, settings) }],
    columns: { 'CPU %': [({ busyPercent }) => busyPercent, 2] },
  }
}

function busy(settings) {
  const loads = [
    ['at full load', hello],
    ['at 6,400 requests/s', { ...hello, pauseMs: 10 }],
  ]
  return {
    title: '/hello while two services compute; engine and load on one core, the services on the other',
    competitors: loads.map(([name, scenario]) => ({
      name,
      take: (round) => latencyBesideBusyServices(services(2), 2, scenario, round, settings),
    })),
    columns: {
      'p99 ms, services idle': [(sample) => sample.without, 2],
      'p99 ms, services busy': [(sample) => sample.with, 2],
      'busy / idle': [({ ratio }) => ratio, 2],
      'requests/s': [({ requestsPerSecond }) => requestsPerSecond, 0],
      'services busy %': [({ busyPercent }) => busyPercent, 0],
      calls: [({ calls }) => calls, 0],
      'others %': [({ othersPercent }) => othersPercent, 0],
    },
  }
}

function large(settings) {
  const { serverCore } = settings.machine
  const ways = [
    ['one after the other, one core', serverCore, 1],
    ['4 in flight, one core', serverCore, 4],
    ['4 in flight, two cores', coresOf(settings), 4],
  ]
  const overHttp = { ...json, name: 'large', path: '/large', type: 'application/octet-stream', connections: 4 }
  return {
    title: 'replies of 1 MiB, counted by the engine, and by a client over HTTP',
    competitors: [
      ...ways.map(([name, core, inFlight]) => ({ name, take: () => largeReplies(services(1), hello, core, inFlight, settings) })),
      {
        name: 'GET /large, 4 connections, one core',
        take: async () => {
          const { requestsPerSecond, errors } = await measure(services(1), overHttp, settings)
          return { megabytes: (requestsPerSecond * 2 ** 20) / 1e6, micros: 1e6 / requestsPerSecond, errors }
        },
      },
    ],
    columns: {
      'MB/s': [({ megabytes }) => megabytes, 0],
      'µs/reply': [({ micros }) => micros, 0],
    },
  }
}

function two(settings) {
  const both = { ...settings, machine: { ...settings.machine, serverCore: coresOf(settings) } }
  const scenario = { ...json, name: 'busy', path: '/busy/5', connections: 16 }
  return {
    title: 'calls that compute for about 5 ms, all processes on two cores',
    competitors: [1, 2].map((count) => ({ name: `${count} service(s)`, take: () => measure(services(count), scenario, both) })),
    columns: { 'requests/s': [({ requestsPerSecond }) => requestsPerSecond, 0] },
  }
}

function coresOf({ machine }) {
  return [...new Set([machine.serverCore, machine.loadCore])].join(',')
}
