import { formatColumns } from './markdown-table.mjs'
import { thresholds } from './thresholds.mjs'

const holds = {
  '<=': (value, limit) => value <= limit,
  '<': (value, limit) => value < limit,
  '>=': (value, limit) => value >= limit,
}

// Each threshold whose scenario ran with the servers it compares. What failed there is not met, and has no value.
export function judge(scenarios) {
  return thresholds.flatMap(({ what, of, or, ...first }) => {
    const results = of.map(([scenario, server]) => findResult(scenarios, scenario, server))
    if (results.includes(undefined)) return []
    const isMeasured = results.every(({ isValid, isComparable = isValid }) => isComparable)
    const ways = (or === undefined ? [first] : [first, or]).map((way) => judgeWay(way, isMeasured ? results : undefined))
    const isComparison = first.limit === undefined
    return [{ what, ways, isComparison, met: !isComparison && ways.some(({ met }) => met) }]
  })
}

function judgeWay({ value, relation, limit, unit }, results) {
  const measured = results === undefined ? null : value(...results)
  return { measured, relation, limit, unit, met: measured !== null && limit !== undefined && holds[relation](measured, limit) }
}

function findResult(scenarios, name, server) {
  return scenarios.find((scenario) => scenario.name === name)?.results.find((result) => result.server === server)
}

export function formatFigures(figures) {
  const rows = figures.map((figure) => [
    figure.what,
    figure.ways.map(({ measured, unit }) => (measured === null ? '–' : withUnit(round(measured), unit))).join(', '),
    figure.isComparison ? '–' : figure.ways.map(({ relation, limit, unit }) => `${relation} ${withUnit(String(limit), unit)}`).join(' or '),
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

function verdict({ ways, isComparison, met }) {
  if (met) return 'met'
  if (ways.some(({ measured }) => measured === null)) return 'not measured, see its rows'
  if (isComparison) return 'for comparison'
  // Of nothing there is no per cent.
  const zero = ways.find(({ limit }) => limit === 0)
  if (zero !== undefined) return `missed by ${zero.measured}`
  const percent = Math.min(...ways.map(({ measured, limit }) => Math.abs(measured / limit - 1) * 100))
  return `missed by ${percent < 0.1 ? 'less than 0.1' : percent.toFixed(percent < 10 ? 1 : 0)} %`
}
