const figures = ['requestsPerSecond', 'cpuMicros', 'busyPercent', 'p50', 'p99', 'residentMB']

// Each figure's own median: one disturbed round must not decide a whole row.
export function summarize(name, samples, failure) {
  const result = { server: name, samples, notes: [] }
  if (failure) return { ...result, failure }
  for (const figure of figures) result[figure] = median(samples.map((sample) => sample[figure]))
  const cpu = samples.map((sample) => sample.cpuMicros)
  const errors = {}
  for (const sample of samples) {
    for (const [kind, count] of Object.entries(sample.errors)) errors[kind] = (errors[kind] ?? 0) + count
  }
  result.cpuRange = [Math.min(...cpu), Math.max(...cpu)]
  result.reply = samples[0].reply
  result.errors = errors
  result.isValid = Object.keys(errors).length === 0
  const waiting = Math.max(...samples.map((sample) => sample.waiting))
  const notes = samples.flatMap((sample) => [sample.reply.note, sample.left ?? '']).filter((note) => note !== '')
  if (waiting > 0) notes.push(`up to ${waiting} connections were not accepted yet at 80 % of the time`)
  return { ...result, notes: [...new Set(notes)] }
}

function median(values) {
  if (values.includes(null)) return null
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
