import { formatColumns } from './markdown-table.mjs'

const columns = ['server', 'req/s', 'CPU µs/request', 'min–max', '× floor', 'p50 ms', 'p99 ms', 'RSS MB', 'core %', 'reply bytes', 'errors']

export function formatTable(results) {
  const floor = results.find(({ server, isValid }) => server === 'floor' && isValid)
  const rows = results.map((result) =>
    result.samples.length === 0 || result.failure ? [result.server, ...columns.slice(1).map(() => '–')] : formatRow(result, floor),
  )
  const notes = results.flatMap((result) => noteLines(result))
  return [formatColumns(columns, rows), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n')
}

function formatRow(result, floor) {
  return [
    result.server,
    Math.round(result.requestsPerSecond).toLocaleString('en'),
    result.cpuMicros.toPrecision(3),
    result.cpuRange.map((value) => value.toPrecision(3)).join('–'),
    floor && result.isValid ? (result.cpuMicros / floor.cpuMicros).toFixed(2) : '–',
    result.p50?.toFixed(2) ?? '–',
    result.p99?.toFixed(2) ?? '–',
    result.residentMB.toFixed(0),
    result.busyPercent.toFixed(0),
    `${result.reply.head}+${result.reply.body}`,
    result.isValid ? '0' : 'INVALID',
  ]
}

function noteLines({ server, failure, skipped, errors = {}, notes }) {
  if (skipped) return [`${server}: SKIPPED, ${skipped}`]
  if (failure) return [`${server}: FAILED, ${failure}`]
  const counts = Object.entries(errors).map(([kind, count]) => `${count} ${kind}`)
  return [...(counts.length > 0 ? [`${server}: INVALID, errors: ${counts.join(', ')}`] : []), ...notes.map((note) => `${server}: ${note}`)]
}
