const columns = ['server', 'req/s', 'CPU µs/request', 'min–max', '× floor', 'p50 ms', 'p99 ms', 'RSS MB', 'core %', 'reply bytes', 'errors']

// Markdown, so that it can be pasted into a README as it is.
export function formatTable(results) {
  const floor = results.find(({ server, isValid }) => server === 'floor' && isValid)
  const rows = results.map((result) => (result.failure ? [result.server, ...columns.slice(1).map(() => '–')] : formatRow(result, floor)))
  const widths = columns.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at].length)))
  const line = (cells) => `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(' | ')} |`
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  const notes = results.flatMap((result) => noteLines(result))
  return [line(columns), rule, ...rows.map(line), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n')
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

function noteLines({ server, failure, errors = {}, notes }) {
  if (failure) return [`${server}: FAILED, ${failure}`]
  const counts = Object.entries(errors).map(([kind, count]) => `${count} ${kind}`)
  return [...(counts.length > 0 ? [`${server}: INVALID, errors: ${counts.join(', ')}`] : []), ...notes.map((note) => `${server}: ${note}`)]
}
