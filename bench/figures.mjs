import { formatColumns } from './markdown-table.mjs'
import { thresholds } from './thresholds.mjs'

const holds = {
  '<=': (value, limit) => value <= limit,
  '<': (value, limit) => value < limit,
  '>=': (value, limit) => value >= limit,
}

// Each threshold whose scenario ran with the servers it compares. What failed there is not met, and has no value.
export function judge(scenarios) {
  return thresholds.flatMap(({ what, of, value, relation, limit, unit }) => {
    const results = of.map(([scenario, server]) => findResult(scenarios, scenario, server))
    if (results.includes(undefined)) return []
    const measured = results.every(({ isValid, isComparable = isValid }) => isComparable) ? value(...results) : null
    const met = measured !== null && holds[relation](measured, limit)
    return [{ what, measured, relation, limit, unit, met }]
  })
}

function findResult(scenarios, name, server) {
  return scenarios.find((scenario) => scenario.name === name)?.results.find((result) => result.server === server)
}

export function formatFigures(figures) {
  const rows = figures.map((figure) => [
    figure.what,
    figure.measured === null ? '–' : withUnit(round(figure.measured), figure.unit),
    `${figure.relation} ${withUnit(String(figure.limit), figure.unit)}`,
    verdict(figure),
  ])
  return formatColumns(['figure', 'measured', 'must reach', 'verdict'], rows)
}

function withUnit(number, unit) {
  return unit === '' ? number : `${number} ${unit}`
}

function round(value) {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
}

function verdict({ measured, limit, met }) {
  if (met) return 'met'
  if (measured === null) return 'not measured, see its rows'
  // Of nothing there is no per cent.
  if (limit === 0) return `missed by ${measured}`
  const percent = Math.abs(measured / limit - 1) * 100
  return `missed by ${percent < 0.1 ? 'less than 0.1' : percent.toFixed(percent < 10 ? 1 : 0)} %`
}
