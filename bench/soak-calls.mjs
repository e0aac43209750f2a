import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { requirePinning } from './commands.mjs'
import { npp } from './contenders.mjs'
import { readMachine } from './machine.mjs'
import { anyText, readOptions, wholeNumber } from './options.mjs'
import { runProgram } from './program.mjs'
import { Server } from './server.mjs'
import { Soak } from './soak.mjs'

// As in idle.mjs: V8 else gives parts of its young generation back and takes them again.
const flags = ['--min-semi-space-size=16', '--max-semi-space-size=16', '--expose-gc']

const usage = `node bench/soak-calls.mjs [options]
  --calls N      calls after a warm-up of 300,000, 10,000 to 1,000,000,000 (5000000)
  --services N   service processes, 1 to 16 (2)
  --json file    all figures
  --help
`
const kinds = { calls: wholeNumber(5_000_000, 10_000, 1e9), services: wholeNumber(2, 1, 16), json: anyText }

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  requirePinning()
  const { facts } = readMachine('')
  const id = `soak-${process.pid}`
  const variables = { NPP_ASYNC_ID: id, NPP_ASYNC_SVC_PROCESSES: String(options.services), NPP_ASYNC_SVC_CONCURRENCY: '16' }
  const site = npp('soak', variables, join(import.meta.dirname, 'site'))
  const contender = { ...site, command: (scenario) => site.command(scenario, flags) }
  const scenario = { path: '/hello', body: 'Hello World!', type: 'text/plain', headers: {} }
  const server = new Server(contender, scenario, [...new Set([facts.serverCore, facts.loadCore])].join(','))
  const soak = new Soak(server, id, options)
  try {
    await server.listening()
    await server.check()
    await soak.run()
  } finally {
    const killed = await server.end()
    soak.agent.destroy()
    if (killed !== '') soak.complaints.push(killed)
  }
  soak.judge()
  if (options.json !== undefined) writeFileSync(resolve(options.json), `${JSON.stringify(soak.found(facts), null, 2)}\n`)
  return soak.complaints.length === 0 ? 0 : 1
}
