import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { contenders, prepareAll } from './contenders.mjs'
import { lackOfDescriptors } from './descriptors.mjs'
import { readMachine, readTicksPerSecond } from './machine.mjs'
import { measure } from './measurement.mjs'
import { anyText, common, namesOf, readOptions, wholeNumber } from './options.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'
import { compareHeads, summarize } from './result.mjs'
import { scenarios } from './scenarios.mjs'
import { StartError } from './server.mjs'
import { formatTable } from './table.mjs'

const names = (list) => list.map(({ name }) => name)

const usage = `node bench/run.mjs [options]
  --seconds N            length of one measurement, 1 to 60 (5)
  --rounds N             measurements of each server, of which the median counts, 1 to 15 (3)
  --only name,name       these servers only
  --scenario name,name   these scenarios only
  --load wrk|autocannon  the load generator (wrk where installed)
  --json file            all figures, every single measurement too
  --help
servers: ${names(contenders).join(', ')}
scenarios: ${names(scenarios).join(', ')}
`

const kinds = {
  ...common,
  seconds: wholeNumber(5, 1, 60),
  only: namesOf(names(contenders)),
  scenario: namesOf(names(scenarios)),
  load: anyText,
}

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  requirePinning()
  const tool = chooseLoad(options.load)
  const machine = readMachine(tool)
  // A fresh V8 needs about two seconds under load until its code is compiled.
  const warmup = options.seconds >= 5 ? 2 : 1
  const settings = { seconds: options.seconds, warmup, tool, machine: machine.facts, ticksPerSecond: readTicksPerSecond() }
  const method = `${options.rounds} round(s) of ${options.seconds} s after ${warmup} s of warm-up, a fresh server each, order rotated, medians`
  const report = new Report('run.mjs', words, machine, method)
  report.announce()

  const chosen = contenders.filter(({ name }) => options.only.includes(name))
  const broken = await prepareAll(chosen)
  for (const scenario of scenarios.filter(({ name }) => options.scenario.includes(name))) {
    const running = chosen.filter(({ name }) => scenario.servers.includes(name))
    if (running.length === 0) continue
    const lack = lackOfDescriptors(scenario.connections)
    if (lack !== undefined) {
      report.skip(scenario, lack)
      continue
    }
    const results = await runScenario(scenario, running, options.rounds, settings, broken)
    if (isInterrupted()) throw new BenchError('interrupted')
    compareHeads(results)
    report.add(scenario, results, formatTable(results))
  }
  return report.end(options.json)
}

function chooseLoad(wanted) {
  const tool = wanted ?? (isInstalled('wrk') ? 'wrk' : 'autocannon')
  if (!['wrk', 'autocannon'].includes(tool)) throw new BenchError(`--load ${tool}: there are wrk, autocannon`)
  if (tool === 'wrk' && !isInstalled('wrk')) throw new BenchError('wrk not found: install the package wrk, or use --load autocannon')
  return tool
}

async function runScenario(scenario, running, rounds, settings, broken) {
  const samples = new Map(running.map(({ name }) => [name, []]))
  const failures = new Map()
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < running.length; turn++) {
      const contender = running[(turn + round) % running.length]
      const { name } = contender
      if (isInterrupted() || broken.has(name) || failures.has(name)) continue
      progress(`${scenario.name}, round ${round + 1} of ${rounds}: ${name}`)
      try {
        samples.get(name).push(await measure(contender, scenario, settings))
      } catch (error) {
        // What does not start once need not be tried in every scenario.
        ;(error instanceof StartError ? broken : failures).set(name, error)
      }
    }
  }
  progress('')
  return running.map(({ name }) => summarize(name, scenario, samples.get(name), broken.get(name) ?? failures.get(name)))
}
