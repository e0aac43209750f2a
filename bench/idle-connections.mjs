import { CProgram } from './c-program.mjs'
import { BenchError } from './commands.mjs'
import { PinnedProcess } from './pinned-process.mjs'

const program = new CProgram('idle')
const openLimitMs = 120_000
const askLimitMs = 60_000

/** Connections that made one request each and are silent since. */
export class IdleConnections {
  static build() {
    return program.build()
  }

  constructor(core, port, count) {
    this.count = count
    this.process = new PinnedProcess(core, program.binary, [String(port), String(count)])
  }

  async open() {
    const opened = await this.process.said(/^open (\d+)\n/m, openLimitMs)
    if (opened !== undefined) return
    const reason = this.process.isAlive ? `not open within ${openLimitMs / 1000} s` : this.process.err.trim()
    throw new BenchError(`${this.count} idle connections: ${reason}`)
  }

  // Asks on each once more; resolves to how many answered. They are closed then.
  async end() {
    await this.process.end(askLimitMs)
    return Number(/^answered (\d+)\n/m.exec(this.process.out)?.[1] ?? 0)
  }
}
