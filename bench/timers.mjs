import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BenchError } from './commands.mjs'
import { readMachine } from './machine.mjs'
import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { common, readOptions, wholeNumber } from './options.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'
import { NodeTimers } from './timers-node.mjs'
import { WheelTimers } from './timers-wheel.mjs'

const usage = `node bench/timers.mjs [options]
  --count N              timers that the wheel arms and cancels, and again that it arms and expires, 100,000 to 100,000,000 (10000000)
  --node-count N         the same for setTimeout (1000000)
  --rounds N             measurements, of which the median counts, 1 to 15 (3)
  --json file            all figures, every single measurement too
  --help
`

const millions = (initial) => wholeNumber(initial, 100_000, 100_000_000)
const kinds = { ...common, count: millions(10_000_000), 'node-count': millions(1_000_000) }

// So many wait at a time, as deadlines of connections do.
const waiting = 10_000
const operations = ['arm', 'cancel', 'expire']
const columns = ['timers', 'of each', ...operations.map((operation) => `${operation}, ns`)]

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  if (!existsSync(join(import.meta.dirname, '../dist/shared/timer-wheel.js'))) throw new BenchError('npp is not built: npm run build')
  const method = `${options.rounds} round(s) in turns, ${waiting.toLocaleString('en')} timers waiting at a time, CPU time of the process, collections included; medians`
  const report = new Report('timers.mjs', words, readMachine('nothing'), method)
  report.announce()
  const competitors = [
    { server: 'TimerWheel', count: options.count, timers: new WheelTimers() },
    { server: 'setTimeout', count: options['node-count'], timers: new NodeTimers() },
  ].map((competitor) => ({ ...competitor, samples: [] }))
  for (let round = 0; round < options.rounds && !isInterrupted(); round++) {
    for (const { server, count, timers, samples } of competitors) {
      progress(`timers, round ${round + 1} of ${options.rounds}: ${server}`)
      // Compiled first, by a tenth of it.
      await measure(timers, count / 10)
      samples.push(await measure(timers, count))
    }
  }
  progress('')
  if (isInterrupted()) throw new BenchError('interrupted')
  const results = competitors.map(({ server, count, samples }) => {
    const figures = operations.map((operation) => [operation, median(samples.map((sample) => sample[operation]))])
    return { server, count, samples, ...Object.fromEntries(figures), isValid: true }
  })
  const rows = results.map((result) => [
    result.server,
    result.count.toLocaleString('en'),
    ...operations.map((operation) => result[operation].toFixed(1)),
  ])
  report.add({ name: 'timers', title: 'arm and cancel, and arm and expire, nanoseconds each' }, results, formatColumns(columns, rows))
  return report.end(options.json)
}

// Nanoseconds of each operation: half of all arming is for those that are cancelled, half for those that expire.
async function measure(timers, count) {
  const spent = { arm: 0, cancel: 0, expire: 0 }
  const rounds = Math.ceil(count / waiting)
  for (let round = 0; round < rounds && !isInterrupted(); round++) {
    spent.arm += cost(() => timers.armFar(waiting))
    spent.cancel += cost(() => timers.cancelAll())
    spent.arm += cost(() => timers.armNear(waiting))
    // The waiting itself takes no CPU.
    const begun = cpuMicros()
    await timers.expireAll()
    spent.expire += cpuMicros() - begun
  }
  const each = (micros, times) => (micros * 1000) / (rounds * waiting * times)
  return { arm: each(spent.arm, 2), cancel: each(spent.cancel, 1), expire: each(spent.expire, 1) }
}

function cost(work) {
  const begun = cpuMicros()
  work()
  return cpuMicros() - begun
}

function cpuMicros() {
  const { user, system } = process.cpuUsage()
  return user + system
}
