import { parseArgs } from 'node:util'
import { BenchError } from './commands.mjs'

export const usage = `node bench/run.mjs [options]
  --seconds N            length of one measurement, 1 to 60 (5)
  --rounds N             measurements of each server, of which the median counts, 1 to 15 (3)
  --only name,name       these servers only
  --scenario name,name   these scenarios only
  --load wrk|autocannon  the load generator (wrk where installed)
  --json file            all figures, every single measurement too
  --help
`

export function readOptions(words, serverNames, scenarioNames) {
  const text = { type: 'string' }
  let values
  try {
    const options = { seconds: text, rounds: text, only: text, scenario: text, load: text, json: text, help: { type: 'boolean' } }
    values = parseArgs({ args: words, options }).values
  } catch (error) {
    throw new BenchError(`${error.message}\n${usage}`)
  }
  return {
    help: values.help ?? false,
    seconds: readNumber('seconds', values.seconds ?? '5', 60),
    rounds: readNumber('rounds', values.rounds ?? '3', 15),
    servers: readNames('only', values.only, serverNames),
    scenarios: readNames('scenario', values.scenario, scenarioNames),
    load: values.load === undefined ? undefined : readNames('load', values.load, ['wrk', 'autocannon'])[0],
    json: values.json,
  }
}

function readNumber(option, value, most) {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1 || number > most)
    throw new BenchError(`--${option} ${value}: a whole number from 1 to ${most} is wanted`)
  return number
}

function readNames(option, value, known) {
  if (value === undefined) return known
  const names = value.split(',').map((name) => name.trim())
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new BenchError(`--${option} ${unknown.join(', ')}: there are ${known.join(', ')}`)
  return known.filter((name) => names.includes(name))
}
