import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { contenders, prepareAll } from './contenders.mjs'
import { formatHeapTable, summarizeHeap } from './heap-result.mjs'
import { runLoad } from './load.mjs'
import { readMachine } from './machine.mjs'
import { join } from 'node:path'
import { common, namesOf, readOptions, wholeNumber } from './options.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'
import { scenarios } from './scenarios.mjs'
import { Server } from './server.mjs'

const servers = ['npp', 'npp-node']

const usage = `node bench/heap.mjs [options]
  --requests N           recorded requests, at least, 10,000 to 100,000,000 (1000000)
  --rounds N             measurements, of which the median counts, 1 to 15 (3)
  --only name,name       these servers only: ${servers.join(', ')} (npp)
  --json file            all figures, every single measurement too
  --help
`

const kinds = { ...common, requests: wholeNumber(1_000_000, 10_000, 100_000_000), only: namesOf(servers, ['npp']) }

const probe = join(import.meta.dirname, 'heap-probe.mjs')
const busy = scenarios.find(({ name }) => name === 'hello')
// Time to compile, and to let the heap find its size.
const warmupSeconds = 5
const probeLimitMs = 20_000
// wrk ends by time, not by number; a slow machine gets more of it.
const loadSeconds = 10
const mostLoads = 30

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  requirePinning()
  if (!isInstalled('wrk')) throw new BenchError('wrk not found: install the package wrk')
  const machine = readMachine('wrk')
  const wanted = options.requests.toLocaleString('en')
  const method = `${options.rounds} round(s), a fresh server each: ${warmupSeconds} s of warm-up, then at least ${wanted} requests; medians`
  const report = new Report('heap.mjs', words, machine, method)
  report.announce()
  const chosen = contenders.filter(({ name }) => options.only.includes(name))
  const broken = await prepareAll(chosen)
  const results = []
  for (const contender of chosen) results.push(await measureAll(contender, options, machine.facts, broken.get(contender.name)))
  progress('')
  if (isInterrupted()) throw new BenchError('interrupted')
  report.add({ name: 'heap', title: `${busy.title}, the heap of npp_app` }, results, formatHeapTable(results))
  return report.end(options.json)
}

async function measureAll(contender, { rounds, requests }, machine, unable) {
  const samples = []
  if (unable !== undefined) return summarizeHeap(contender.name, samples, unable)
  for (let round = 0; round < rounds && !isInterrupted(); round++) {
    progress(`heap, round ${round + 1} of ${rounds}: ${contender.name}`)
    try {
      samples.push(await measure(contender, requests, machine))
    } catch (error) {
      return summarizeHeap(contender.name, samples, error)
    }
  }
  return summarizeHeap(contender.name, samples)
}

async function measure(contender, wanted, { serverCore, loadCore }) {
  const probed = {
    ...contender,
    command: (scenario) => contender.command(scenario, ['--expose-gc', '--import', probe]),
    // No service process, which would inherit the probe; GET /hello has no use for one.
    env: { ...contender.env, NPP_ASYNC_SVC_PROCESSES: '0' },
  }
  const server = new Server(probed, busy, serverCore)
  try {
    await server.listening()
    await server.check()
    await load(warmupSeconds)
    await told(/^heap: recording\n/m)
    let requests = 0
    let errors = 0
    for (let count = 0; requests < wanted; count++) {
      if (count === mostLoads) throw new BenchError(`made only ${requests} requests in ${mostLoads * loadSeconds} s`)
      const done = await load(loadSeconds)
      requests += done.requests
      errors += Object.values(done.errors).reduce((sum, each) => sum + each, 0)
    }
    const [, text] = await told(/^heap: (\{.*\})\n/m)
    return { requests, errors, ...JSON.parse(text) }
  } finally {
    await server.end()
  }

  async function load(seconds) {
    return runLoad('wrk', loadCore, server.port, busy, seconds)
  }

  async function told(pattern) {
    process.kill(server.process.pid, 'SIGUSR2')
    const said = await server.process.said(pattern, probeLimitMs)
    if (said === undefined) throw new BenchError(`the probe did not answer${server.lastWords()}`)
    return said
  }
}
