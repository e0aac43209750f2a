import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { whyNot } from './result.mjs'

const columns = [
  'server',
  'RSS MB, empty',
  'with idle',
  'bytes each',
  'min–max',
  'p99 ms, without',
  'with idle',
  'ratio',
  'min–max',
  'idle that still answered',
]

export function summarizeIdle(server, count, samples, error) {
  const result = { server, count, samples, isValid: false }
  if (error) return { ...result, ...whyNot(error) }
  const of = (figure) => median(samples.map(figure))
  const each = samples.map(({ emptyBytes, fullBytes }) => (fullBytes - emptyBytes) / count)
  const ratios = samples.map(({ p99Without, p99With }) => p99With / p99Without)
  const answered = Math.min(...samples.map((sample) => sample.answered))
  const errors = samples.reduce((sum, sample) => sum + sample.errors, 0)
  return {
    ...result,
    emptyBytes: of(({ emptyBytes }) => emptyBytes),
    fullBytes: of(({ fullBytes }) => fullBytes),
    bytesEach: median(each),
    bytesRange: [Math.min(...each), Math.max(...each)],
    p99Without: of(({ p99Without }) => p99Without),
    p99With: of(({ p99With }) => p99With),
    // Of each round by itself: its two loads ran one after the other, on one server.
    p99Ratio: median(ratios),
    p99RatioRange: [Math.min(...ratios), Math.max(...ratios)],
    answered,
    errors,
    isValid: answered === count && errors === 0,
  }
}

export function formatIdleTable(results) {
  const rows = results.map((result) =>
    result.failure || result.skipped ? [result.server, ...columns.slice(1).map(() => '–')] : formatRow(result),
  )
  const notes = results.flatMap(({ server, failure, skipped, isValid, errors }) => {
    if (skipped) return [`${server}: SKIPPED, ${skipped}`]
    if (failure) return [`${server}: FAILED, ${failure}`]
    return isValid ? [] : [`${server}: INVALID, ${errors} errors under load, or idle connections that were lost`]
  })
  return [formatColumns(columns, rows), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n')
}

function formatRow({
  server,
  count,
  emptyBytes,
  fullBytes,
  bytesEach,
  bytesRange,
  p99Without,
  p99With,
  p99Ratio,
  p99RatioRange,
  answered,
}) {
  return [
    server,
    (emptyBytes / 2 ** 20).toFixed(1),
    (fullBytes / 2 ** 20).toFixed(1),
    bytesEach.toFixed(0),
    bytesRange.map((bytes) => bytes.toFixed(0)).join('–'),
    p99Without.toFixed(2),
    p99With.toFixed(2),
    p99Ratio.toFixed(2),
    p99RatioRange.map((ratio) => ratio.toFixed(2)).join('–'),
    `${answered} of ${count}`,
  ]
}
