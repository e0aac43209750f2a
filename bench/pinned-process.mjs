import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './commands.mjs'
import { sessionMembers } from './session-usage.mjs'

const keptOutput = 65536
const orphanGraceMs = 2000

const running = new Set()
let closing = false

export class PinnedProcess {
  constructor(core, command, words, { env = process.env, cwd, discardsOutput = false } = {}) {
    if (closing) throw new BenchError('interrupted')
    // The death signal ends the process even where this one is killed with -9; detached gives it a session of its own.
    this.child = spawn('setpriv', ['--pdeathsig', 'TERM', 'taskset', '-c', String(core), command, ...words], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', discardsOutput ? 'ignore' : 'pipe', 'pipe'],
    })
    this.out = ''
    this.err = ''
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      running.delete(this)
      return { code, signal }
    })
    // Without a listener of its own, a failed spawn would end this process; who awaits still sees it.
    this.ended.catch(() => running.delete(this))
    this.child.stdout?.setEncoding('utf8').on('data', (text) => (this.out = (this.out + text).slice(-keptOutput)))
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.err = (this.err + text).slice(-keptOutput)))
    running.add(this)
  }

  get pid() {
    return this.child.pid
  }

  get isAlive() {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  // Resolves to what `find` returns once that is not undefined, asked again and again; to undefined when the process ends or the time is over.
  async until(find, withinMs) {
    const deadline = Date.now() + withinMs
    while (this.isAlive && Date.now() < deadline) {
      const found = find()
      if (found !== undefined) return found
      await sleep(20)
    }
    return find()
  }

  // The match of a pattern in what the process says.
  said(pattern, withinMs) {
    return this.until(() => pattern.exec(this.out) ?? pattern.exec(this.err) ?? undefined, withinMs)
  }

  // Resolves to what had to be killed: nothing, if the process is in order.
  async end(graceMs) {
    if (this.pid === undefined) return []
    if (this.isAlive) {
      this.child.kill('SIGTERM')
      await this.exited(graceMs)
    }
    const deadline = Date.now() + orphanGraceMs
    while (!this.isAlive && sessionMembers(this.pid).length > 0 && Date.now() < deadline) await sleep(50)
    return this.kill()
  }

  async exited(withinMs) {
    const expired = new AbortController()
    await Promise.race([this.ended, sleep(withinMs, undefined, { signal: expired.signal }).catch(() => {})])
    expired.abort()
  }

  kill() {
    if (this.pid === undefined) return []
    const pids = sessionMembers(this.pid).map(({ pid }) => pid)
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended by itself meanwhile.
      }
    }
    return pids
  }
}

export async function endAll(graceMs) {
  closing = true
  await Promise.allSettled([...running].map((each) => each.end(graceMs)))
}

export function killAll() {
  closing = true
  for (const each of running) each.kill()
}
