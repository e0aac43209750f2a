import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { contenders, prepareAll } from './contenders.mjs'
import { lackOfDescriptors } from './descriptors.mjs'
import { IdleConnections } from './idle-connections.mjs'
import { formatIdleTable, summarizeIdle } from './idle-result.mjs'
import { runLoad } from './load.mjs'
import { readMachine } from './machine.mjs'
import { common, namesOf, readOptions, wholeNumber, wholeNumbers } from './options.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'
import { scenarios } from './scenarios.mjs'
import { Server } from './server.mjs'
import { residentBytes } from './session-usage.mjs'

const servers = ['npp', 'npp-node', 'bun', 'node-http']

const usage = `node bench/idle.mjs [options]
  --seconds N            length of one measurement of latency, 1 to 60 (5)
  --rounds N             measurements of each server, of which the median counts, 1 to 15 (3)
  --only name,name       these servers only: ${servers.join(', ')} (npp,node-http)
  --connections N,N      idle connections, 100 to 200,000 (10000,50000)
  --json file            all figures, every single measurement too
  --help
`

const kinds = {
  ...common,
  seconds: wholeNumber(5, 1, 60),
  only: namesOf(servers, ['npp', 'node-http']),
  connections: wholeNumbers([10_000, 50_000], 100, 200_000),
}

// V8 is to have compiled and to have grown its heap: this is more than 100,000 requests, for node:http too.
const warmupSeconds = 6
const wantedRequests = 100_000
// V8 gives parts of its young generation back and takes them again, seven megabytes at a time: what ten thousand connections take is less.
// At its usual most from the start, it stays the same.
const flags = ['--min-semi-space-size=16', '--max-semi-space-size=16']
const settleMs = 1000
const busy = scenarios.find(({ name }) => name === 'hello')

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  requirePinning()
  if (!isInstalled('wrk')) throw new BenchError('wrk not found: install the package wrk; autocannon rounds latencies to whole milliseconds')
  const machine = readMachine('wrk')
  const method = `${options.rounds} round(s), a fresh server each: ${warmupSeconds} s of warm-up, ${options.seconds} s of ${busy.connections} busy connections without and with the idle ones; medians`
  const report = new Report('idle.mjs', words, machine, method)
  report.announce()
  await IdleConnections.build()

  const chosen = contenders.filter(({ name }) => options.only.includes(name))
  const broken = await prepareAll(chosen)
  for (const count of options.connections) {
    const scenario = { name: `idle-${count}`, title: `${count.toLocaleString('en')} idle keep-alive connections` }
    const lack = lackOfDescriptors(count + busy.connections)
    if (lack !== undefined) {
      report.skip(scenario, lack)
      continue
    }
    const results = []
    for (const contender of chosen) results.push(await measureAll(contender, count, options, machine.facts, broken.get(contender.name)))
    progress('')
    if (isInterrupted()) throw new BenchError('interrupted')
    report.add(scenario, results, formatIdleTable(results))
  }
  return report.end(options.json)
}

async function measureAll(contender, count, { rounds, seconds }, machine, unable) {
  const { name } = contender
  if (unable !== undefined) return summarizeIdle(name, count, [], unable)
  const samples = []
  for (let round = 0; round < rounds && !isInterrupted(); round++) {
    progress(`${count} idle, round ${round + 1} of ${rounds}: ${name}`)
    try {
      samples.push(await measure(contender, count, seconds, machine))
    } catch (error) {
      return summarizeIdle(name, count, samples, error)
    }
  }
  return summarizeIdle(name, count, samples)
}

async function measure(contender, count, seconds, { serverCore, loadCore }) {
  const patient = { ...contender, command: (scenario) => contender.command(scenario, flags), env: { ...contender.env, BENCH_IDLE: '1' } }
  const server = new Server(patient, busy, serverCore)
  let idle
  try {
    await server.listening()
    await server.check()
    const { requests } = await load(warmupSeconds)
    if (requests < wantedRequests)
      throw new BenchError(`made only ${requests} requests in the warm-up of ${warmupSeconds} s: the machine is too busy`)
    const without = await load(seconds)
    const emptyBytes = await resident()
    idle = new IdleConnections(loadCore, server.port, count)
    await idle.open()
    const withIdle = await load(seconds)
    const fullBytes = await resident()
    const answered = await idle.end()
    if (!server.process.isAlive) throw new BenchError(`ended with ${count} idle connections${server.lastWords()}`)
    return { emptyBytes, fullBytes, p99Without: without.p99, p99With: withIdle.p99, answered, errors: countErrors(without, withIdle) }
  } finally {
    idle?.process.kill()
    await server.end()
  }

  // After the same load each time.
  async function resident() {
    await sleep(settleMs)
    return residentBytes(server.process.pid)
  }

  function load(duration) {
    return runLoad('wrk', loadCore, server.port, busy, duration)
  }
}

function countErrors(...loads) {
  return loads.flatMap(({ errors }) => Object.values(errors)).reduce((sum, count) => sum + count, 0)
}
