import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CProgram } from './c-program.mjs'
import { BenchError, Unavailable } from './commands.mjs'
import { PinnedProcess } from './pinned-process.mjs'

const here = import.meta.dirname
const echo = join(here, 'call-echo.mjs')
const rawEcho = join(here, 'call-echo-raw.mjs')
const floor = new CProgram('echo-floor')
// Beyond its seconds an echo starts, warms up, and may find that it has stalled.
const overtimeMs = 15_000

/** The queues and frames of npp: `way` is that of call-echo.mjs, or raw, without frames. `size`: messages of a queue, bytes of a message. */
export async function nppEcho(way, inFlight, { seconds, machine }, size = []) {
  const file = way === 'raw' ? rawEcho : echo
  const name = `/npp-bench-${process.pid}`
  const server = new PinnedProcess(machine.serverCore, process.execPath, [file, 'server', way, name, ...size])
  try {
    if ((await server.said(/ready/, 10_000)) === undefined) throw new BenchError(`the echo did not start: ${server.err}`)
    return await answerOf([file, 'client', way, name, String(seconds), String(inFlight), String(server.pid)], seconds, machine.serverCore)
  } finally {
    await server.end(2000)
  }
}

/** The queues alone, in C. */
export async function floorEcho(inFlight, { seconds, machine }) {
  await floor.build()
  return answerOf([String(seconds), String(inFlight)], seconds, machine.serverCore, floor.binary)
}

/** As nppEcho, coalesced, with queues of another size than this system gives by itself. */
export async function sizedEcho(maxMessages, messageSize, settings) {
  // The product is there by then: call.mjs has looked.
  const { readQueueLimits } = await import('../dist/native/index.js')
  const limits = readQueueLimits()
  if (maxMessages > (limits.maxMessages ?? 10) || messageSize > (limits.messageSize ?? 8192))
    throw new Unavailable(
      `fs.mqueue allows ${limits.maxMessages} messages of ${limits.messageSize} bytes: bench/README.md says how to raise it for a run`,
    )
  return nppEcho('coalesced', 4096, settings, [String(maxMessages), String(messageSize)])
}

/** A peer, of the package that it needs; all its threads and processes on the same core. */
export function peerEcho(file, needed, words, inFlight, { seconds, machine }) {
  requirePackage(needed)
  return answerOf([join(here, 'peers', file), ...words, String(seconds), String(inFlight)], seconds, machine.serverCore)
}

export function requirePackage(name) {
  if (existsSync(join(here, 'node_modules', name))) return
  throw new Unavailable(`${name} is not installed: npm --prefix bench install`)
}

async function answerOf(words, seconds, core, program = process.execPath) {
  const client = new PinnedProcess(core, program, words)
  const answer = await client.said(/^\{.*\}$/m, seconds * 1000 + overtimeMs)
  await client.end(2000)
  if (answer === undefined) throw new BenchError(`the echo said nothing: ${client.err.trim().split('\n').slice(0, 8).join(' | ')}`)
  const { roundTrips, cpuMicros, wrong, stalledAfter } = JSON.parse(answer[0])
  if (stalledAfter !== undefined) return { stalled: `no message moved for two seconds after ${stalledAfter} round trips` }
  return { roundTrips, cpuMicros, errors: wrong > 0 ? { wrong } : {} }
}
