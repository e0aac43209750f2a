import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { BenchError, isInstalled, requirePinning } from './commands.mjs'
import { contenders } from './contenders.mjs'
import { readMachine, readTicksPerSecond } from './machine.mjs'
import { measure } from './measurement.mjs'
import { readOptions, usage } from './options.mjs'
import { endAll, killAll } from './pinned-process.mjs'
import { summarize } from './result.mjs'
import { scenarios } from './scenarios.mjs'
import { StartError } from './server.mjs'
import { formatTable } from './table.mjs'

const endGraceMs = 12_000
// Besides its connections a process holds its libraries, epoll sets and pipes.
const spareDescriptors = 64

const say = (text) => process.stdout.write(`${text}\n`)
const names = (list) => list.map(({ name }) => name)
const progress = (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`)

let interrupted = false
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.on(signal, () => {
    if (interrupted) process.exit(code)
    interrupted = true
    process.stderr.write('\nending what was started …\n')
    void endAll(endGraceMs).finally(() => process.exit(code))
  })
}
process.on('exit', killAll)

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // When interrupted, everything fails; the signal's handler ends this process.
  if (!interrupted) {
    process.stderr.write(`bench: ${error instanceof BenchError ? error.message : error.stack}\n`)
    await endAll(endGraceMs)
    process.exitCode = 2
  }
}

async function main(words) {
  const options = readOptions(words, names(contenders), names(scenarios))
  if (options.help) {
    say(`${usage}servers: ${names(contenders).join(', ')}\nscenarios: ${names(scenarios).join(', ')}`)
    return 0
  }
  requirePinning()
  const tool = options.load ?? (isInstalled('wrk') ? 'wrk' : 'autocannon')
  if (tool === 'wrk' && !isInstalled('wrk')) throw new BenchError('wrk not found: install the package wrk, or use --load autocannon')
  const { facts, warnings } = readMachine(tool)
  // A fresh V8 needs about two seconds under load until its code is compiled.
  const warmup = options.seconds >= 5 ? 2 : 1
  const settings = { seconds: options.seconds, warmup, tool, machine: facts, ticksPerSecond: readTicksPerSecond() }
  const command = ['node bench/run.mjs', ...words].join(' ')
  announce(command, facts, warnings, options, warmup)

  const chosen = contenders.filter(({ name }) => options.servers.includes(name))
  const broken = await prepare(chosen)
  const report = { command, machine: facts, warnings, seconds: options.seconds, rounds: options.rounds, warmup, scenarios: [] }
  let allValid = true
  for (const scenario of scenarios.filter(({ name }) => options.scenarios.includes(name))) {
    const running = chosen.filter(({ name }) => !scenario.nppOnly || name.startsWith('npp'))
    if (running.length === 0) continue
    if (facts.descriptors < scenario.connections + spareDescriptors) {
      throw new BenchError(
        `${scenario.name}: ${scenario.connections} connections need more descriptors than ${facts.descriptors}: ulimit -n 20000`,
      )
    }
    const results = await runScenario(scenario, running, options.rounds, settings, broken)
    if (interrupted) throw new BenchError('interrupted')
    allValid &&= results.every(({ isValid }) => isValid)
    report.scenarios.push({ name: scenario.name, title: scenario.title, results })
    say(`\n## ${scenario.name}: ${scenario.title}\n\n${formatTable(results)}`)
  }
  if (options.json !== undefined) writeFileSync(resolve(options.json), `${JSON.stringify(report, null, 2)}\n`)
  if (!allValid) say('\nAt least one row failed or is invalid.')
  return allValid ? 0 : 1
}

function announce(command, facts, warnings, options, warmup) {
  say(`command   ${command}`)
  say(`date      ${facts.date}`)
  say(
    `machine   ${facts.cpu}, ${facts.cores} core(s), ${facts.memoryMB} MB; server on core ${facts.serverCore}, load on core ${facts.loadCore}`,
  )
  say(`software  Linux ${facts.kernel}, Node ${facts.node}, load by ${facts.load}`)
  say(
    `method    ${options.rounds} round(s) of ${options.seconds} s after ${warmup} s of warm-up, a fresh server each, order rotated, medians`,
  )
  for (const warning of warnings) say(`WARNING   ${warning}`)
}

async function prepare(chosen) {
  const broken = new Map()
  for (const contender of chosen) {
    await contender.prepare().catch((error) => broken.set(contender.name, error.message))
  }
  return broken
}

async function runScenario(scenario, running, rounds, settings, broken) {
  const samples = new Map(running.map(({ name }) => [name, []]))
  const failures = new Map()
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < running.length; turn++) {
      const contender = running[(turn + round) % running.length]
      const { name } = contender
      if (interrupted || broken.has(name) || failures.has(name)) continue
      progress(`${scenario.name}, round ${round + 1} of ${rounds}: ${name}`)
      try {
        samples.get(name).push(await measure(contender, scenario, settings))
      } catch (error) {
        const reason = error instanceof BenchError ? error.message : String(error)
        // What does not start once need not be tried in every scenario.
        ;(error instanceof StartError ? broken : failures).set(name, reason)
      }
    }
  }
  progress('')
  return running.map(({ name }) => summarize(name, samples.get(name), broken.get(name) ?? failures.get(name)))
}
