import { parseArgs } from 'node:util'
import { BenchError } from './commands.mjs'

export function wholeNumber(initial, from, to) {
  return {
    initial,
    read(text) {
      const number = Number(text)
      if (Number.isInteger(number) && number >= from && number <= to) return number
      throw new BenchError(`a whole number from ${from} to ${to} is wanted`)
    },
  }
}

// Some of the known names, in the order in which they are known.
export function namesOf(known, initial = known) {
  return {
    initial,
    read(text) {
      const names = text.split(',').map((name) => name.trim())
      const unknown = names.filter((name) => !known.includes(name))
      if (unknown.length > 0) throw new BenchError(`there are ${known.join(', ')}`)
      return known.filter((name) => names.includes(name))
    },
  }
}

export function wholeNumbers(initial, from, to) {
  const one = wholeNumber(undefined, from, to)
  return { initial, read: (text) => text.split(',').map((word) => one.read(word.trim())) }
}

export const anyText = { initial: undefined, read: (text) => text }

// What every program of bench takes.
export const common = { rounds: wholeNumber(3, 1, 15), json: anyText }

// The values by `kinds`, or undefined after --help.
export function readOptions(words, usage, kinds) {
  const options = { help: { type: 'boolean' } }
  for (const name of Object.keys(kinds)) options[name] = { type: 'string' }
  let values
  try {
    values = parseArgs({ args: words, options }).values
  } catch (error) {
    throw new BenchError(`${error.message}\n${usage}`)
  }
  if (values.help) {
    process.stdout.write(usage)
    return undefined
  }
  return Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, readValue(name, kind, values[name])]))
}

function readValue(name, { initial, read }, text) {
  if (text === undefined) return initial
  try {
    return read(text)
  } catch (error) {
    throw new BenchError(`--${name} ${text}: ${error.message}`)
  }
}
