import { BenchError, Unavailable } from './commands.mjs'
import { median } from './median.mjs'

const figures = ['requestsPerSecond', 'cpuMicros', 'busyPercent', 'p50', 'p99', 'residentMB']

const tolerableShare = 0.01

// Each figure's own median: one disturbed round must not decide a whole row.
export function summarize(name, { connections }, samples, error) {
  const result = { server: name, isValid: false, samples, notes: [] }
  if (error) return { ...result, ...whyNot(error) }
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
  // A server that never had the connections was not measured with them.
  const isComparable = result.isValid && waiting <= connections * tolerableShare
  return { ...result, isComparable, notes: [...new Set(notes)] }
}

export function whyNot(error) {
  if (error instanceof Unavailable) return { skipped: error.message }
  return { failure: error instanceof BenchError ? error.message : String(error) }
}

// The floor's head was made by hand to be as long as npp's: should npp's change, the comparison says so.
export function compareHeads(results) {
  const [floor, npp] = ['floor', 'npp'].map((name) => results.find(({ server }) => server === name))
  if (!floor?.reply || !npp?.reply || floor.reply.head === npp.reply.head) return
  floor.notes.push(
    `its reply has a head of ${floor.reply.head} bytes, that of npp ${npp.reply.head}: NOT COMPARABLE until floor.mjs is adapted`,
  )
}
