import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { BenchError } from './commands.mjs'
import { headerSets, layOut } from './header-sets.mjs'
import { readMachine } from './machine.mjs'
import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { common, readOptions, wholeNumber } from './options.mjs'
import { LlhttpParser } from './parser-llhttp.mjs'
import { isInterrupted, runProgram } from './program.mjs'
import { Report, progress } from './report.mjs'

const usage = `node bench/parser.mjs [options]
  --requests N           requests of one measurement, 10,000 to 100,000,000 (300000)
  --rounds N             measurements, of which the median counts, 1 to 15 (7)
  --json file            all figures, every single measurement too
  --help
`

const kinds = { ...common, rounds: wholeNumber(7, 1, 15), requests: wholeNumber(300_000, 10_000, 100_000_000) }

// Requests that lie in memory at a time: of Chrome, some 50 KB, which is what a busy engine reads in a turn.
const laidOut = 64
const columns = ['parser', 'ns a request', 'min–max', 'MB/s', '× llhttp']

await runProgram(main)

async function main(words) {
  const options = readOptions(words, usage, kinds)
  if (options === undefined) return 0
  if (!existsSync(join(import.meta.dirname, '../dist/app/http/parser.js'))) throw new BenchError('npp is not built: npm run build')
  const { NppParser } = await import('./parser-npp.mjs')
  const method = `${options.rounds} round(s) in turns of ${options.requests.toLocaleString('en')} requests, one a call, CPU time of the process, collections included; medians`
  const report = new Report('parser.mjs', words, readMachine('nothing'), method)
  report.announce()
  const competitors = [
    { server: 'npp', parser: new NppParser(false), peer: 'llhttp' },
    { server: 'llhttp', parser: new LlhttpParser(false), peer: 'llhttp' },
    { server: 'npp, strings', parser: new NppParser(true), peer: 'llhttp, strings' },
    { server: 'llhttp, strings', parser: new LlhttpParser(true), peer: 'llhttp, strings' },
  ]
  const sets = headerSets.map((set) => ({ ...set, layout: layOut(set, laidOut), samples: competitors.map(() => []) }))
  // All sets are met before any is measured: an engine does not have compiled code for one client alone.
  for (const set of sets) {
    compareFound(competitors, set)
    for (const { parser } of competitors) measure(parser, set.layout, options.requests / 5)
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const { name, layout, samples } of sets) {
      for (const [index, { server, parser }] of competitors.entries()) {
        progress(`${name}, round ${round + 1} of ${options.rounds}: ${server}`)
        samples[index].push(measure(parser, layout, options.requests))
        // Signals are heard between two measurements.
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        if (isInterrupted()) throw new BenchError('interrupted')
      }
    }
  }
  progress('')
  for (const { name, title, layout, samples } of sets) {
    const results = competitors.map(({ server, peer }, index) => ({
      server,
      peer,
      nanos: median(samples[index]),
      samples: samples[index],
      isValid: true,
    }))
    const scenario = { name: `parser-${name}`, title: `${title}, ${layout.bytesEach} bytes, ${layout.fieldCount} field(s)` }
    report.add(scenario, results, formatTable(results, layout.bytesEach))
  }
  return report.end(options.json)
}

// A parser that finds something else is not faster.
function compareFound(competitors, { name, layout }) {
  for (const { parser } of competitors) parser.take(layout)
  const [mine, theirs] = [competitors[2], competitors[3]].map(({ parser }) => parser.look())
  const isSame = mine.target === theirs.target && isDeepStrictEqual(mine.headers, theirs.headers)
  if (!isSame || mine.headers.length !== layout.fieldCount * 2) throw new BenchError(`${name}: the parsers found different requests`)
}

// Nanoseconds a request.
function measure(parser, layout, requests) {
  parser.take(layout)
  const turns = Math.ceil(requests / layout.count)
  const begun = process.cpuUsage()
  for (let turn = 0; turn < turns; turn++) parser.run()
  const { user, system } = process.cpuUsage(begun)
  return ((user + system) * 1000) / (turns * layout.count)
}

function formatTable(results, bytesEach) {
  const rows = results.map(({ server, peer, nanos, samples }) => [
    server,
    nanos.toFixed(0),
    `${Math.min(...samples).toFixed(0)}–${Math.max(...samples).toFixed(0)}`,
    ((bytesEach * 1000) / nanos).toFixed(0),
    (nanos / results.find((result) => result.server === peer).nanos).toFixed(2),
  ])
  return formatColumns(columns, rows)
}
