import { whyNot } from './result.mjs'
import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { isInterrupted } from './program.mjs'
import { progress } from './report.mjs'

/**
 * Measures all competitors in turns and adds what came of it to the report. `columns` are the figures of a sample, each with its decimals; the
 * median of the rounds counts. A sample may say `errors`, which make its row invalid, `stalled`, which leaves it without figures, `note`, and
 * `isComparable: false`, of which no figure is judged.
 */
export async function takeTurns(report, rounds, scenario, competitors, columns) {
  const samples = new Map(competitors.map(({ name }) => [name, []]))
  const failures = new Map()
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another one, so that nobody is always the first.
    for (let turn = 0; turn < competitors.length; turn++) {
      const { name, take } = competitors[(round + turn) % competitors.length]
      if (isInterrupted() || failures.has(name)) continue
      progress(`${scenario.name}, round ${round + 1} of ${rounds}: ${name}`)
      await take(round).then(
        (sample) => samples.get(name).push(sample),
        (error) => failures.set(name, error),
      )
    }
  }
  progress('')
  const results = competitors.map(({ name }) => resultOf(name, samples.get(name), failures.get(name), columns))
  const rows = results.map((result) => [
    result.server,
    ...Object.entries(columns).map(([title, [, decimals]]) => formatNumber(result[title], decimals)),
    verdictOf(result),
  ])
  report.add(scenario, results, formatColumns([scenario.name, ...Object.keys(columns), ''], rows))
}

function resultOf(name, samples, error, columns) {
  const stalls = samples.filter(({ stalled }) => stalled !== undefined)
  const errors = samples.flatMap(({ errors = {} }) => Object.entries(errors).map(([kind, count]) => `${kind} ${count}`))
  const hasFigures = samples.length > 0 && stalls.length === 0
  const isValid = error === undefined && errors.length === 0 && stalls.length === 0
  return {
    server: name,
    samples,
    isValid,
    isComparable: isValid && samples.every(({ isComparable = true }) => isComparable),
    errors,
    notes: [...new Set(samples.flatMap(({ note }) => note ?? []))],
    ...(error === undefined ? {} : whyNot(error)),
    // A peer that stalls is nothing that failed here.
    ...(stalls.length === 0 ? {} : { skipped: `stalled in ${stalls.length} of ${samples.length} rounds: ${stalls[0].stalled}` }),
    ...Object.fromEntries(Object.entries(columns).map(([title, [figure]]) => [title, hasFigures ? median(samples.map(figure)) : null])),
  }
}

function formatNumber(value, decimals) {
  return value === null ? '–' : value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}

function verdictOf({ isValid, skipped, failure, errors, notes }) {
  if (isValid) return notes.join('; ')
  return skipped ?? `INVALID: ${failure ?? errors.join(', ')}`
}
