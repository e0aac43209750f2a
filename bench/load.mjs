import { join } from 'node:path'
import { BenchError } from './commands.mjs'
import { PinnedProcess } from './pinned-process.mjs'

const here = import.meta.dirname
// Beyond its duration a load may need to connect, to time out and to report.
const overtimeMs = 15_000

export async function runLoad(tool, core, port, scenario, seconds) {
  const [command, words] = (tool === 'wrk' ? wrkCommand : autocannonCommand)(`http://127.0.0.1:${port}${scenario.path}`, scenario, seconds)
  const load = new PinnedProcess(core, command, words)
  await load.exited(seconds * 1000 + overtimeMs)
  if (load.isAlive) {
    await load.end(1000)
    throw new BenchError(`${tool} did not end`)
  }
  const report = load.out.split('\n').findLast((line) => line.startsWith('{'))
  if (report === undefined) throw new BenchError(`${tool} failed: ${load.err.trim() || load.out.trim()}`)
  return JSON.parse(report)
}

function wrkCommand(url, { connections, pipeline, headers, pauseMs = 0 }, seconds) {
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const words = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '5s', '-s', join(here, 'wrk.lua'), ...lines]
  return ['wrk', [...words, url, '--', String(pipeline), String(pauseMs)]]
}

function autocannonCommand(url, { connections, pipeline, headers }, seconds) {
  const options = { url, connections, pipelining: pipeline, headers, duration: seconds }
  return [process.execPath, [join(here, 'autocannon.mjs'), JSON.stringify(options)]]
}
