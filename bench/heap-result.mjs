import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { whyNot } from './result.mjs'

const columns = ['server', 'requests', 'allocated bytes/request', 'retained bytes/request', 'minor GCs', 'major GCs', 'live heap MB']

// As V8 names them; what else there is (steps of marking, weak callbacks) belongs to one of these.
const minorTypes = ['Scavenge', 'MinorMarkCompact', 'MinorMarkSweep']
const majorTypes = ['MarkSweepCompact']

export function summarizeHeap(server, samples, error) {
  const result = { server, samples, isValid: false }
  if (error) return { ...result, ...whyNot(error) }
  const of = (figure) => median(samples.map(figure))
  const errors = samples.reduce((sum, sample) => sum + sample.errors, 0)
  return {
    ...result,
    requests: of(({ requests }) => requests),
    allocated: of(({ allocated, requests }) => allocated / requests),
    retained: of(({ before, after, requests }) => (after.used + after.external - before.used - before.external) / requests),
    minors: of(({ counts }) => countOf(counts, minorTypes)),
    majors: of(({ counts }) => countOf(counts, majorTypes)),
    liveBytes: of(({ after }) => after.used + after.external),
    errors,
    isValid: errors === 0,
  }
}

function countOf(counts, types) {
  return types.reduce((sum, type) => sum + (counts[type] ?? 0), 0)
}

export function formatHeapTable(results) {
  const rows = results.map((result) =>
    result.failure || result.skipped ? [result.server, ...columns.slice(1).map(() => '–')] : formatRow(result),
  )
  const notes = results.flatMap(({ server, failure, isValid, errors }) => {
    if (failure) return [`${server}: FAILED, ${failure}`]
    return isValid ? [] : [`${server}: INVALID, ${errors} errors`]
  })
  return [formatColumns(columns, rows), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n')
}

function formatRow({ server, requests, allocated, retained, minors, majors, liveBytes }) {
  return [
    server,
    requests.toLocaleString('en'),
    allocated.toFixed(1),
    retained.toFixed(2),
    String(minors),
    String(majors),
    (liveBytes / 2 ** 20).toFixed(1),
  ]
}
