import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import type { TransportKind } from './transport-host.ts'

export interface TransportChild {
  readonly process: ChildProcess
  /** The next line that it has reported. */
  report(): Promise<string>
  /** Its exit code, or the signal that ended it. */
  ended(): Promise<number | string>
}

const CHILD = fileURLToPath(new URL('./transport-child.js', import.meta.url))

/** Starts test/support/transport-child, its descriptor 3 being `inherited`, at most `nofile` descriptors open; killed when the test ends. */
export function startTransportChild(
  context: { after(cleanUp: () => void): void },
  inherited: number | undefined,
  kind: TransportKind,
  role: string,
  nofile?: number,
): TransportChild {
  const command = [process.execPath, CHILD, kind, role]
  const [program = '', ...args] = nofile === undefined ? command : ['prlimit', `--nofile=${nofile}`, ...command]
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'pipe', inherited ?? 'ignore', 'ipc'] })
  const reports: string[] = []
  let errors = ''
  let end: number | string | undefined
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  child.on('message', (message) => {
    if (typeof message === 'string') reports.push(message)
  })
  child.once('close', (code, signal) => {
    end = code ?? signal ?? 'unknown'
  })
  context.after(() => {
    child.kill('SIGKILL')
  })
  const name = `${kind} ${role}`
  return {
    process: child,
    async report() {
      await eventually(`report of ${name}`, () => reports.length > 0 || end !== undefined, 30_000)
      const report = reports.shift()
      if (report === undefined) throw new Error(`the child ${name} ended with ${end}: ${errors}`)
      return report
    },
    async ended() {
      await eventually(`end of ${name}`, () => end !== undefined, 30_000)
      return end ?? 'unknown'
    },
  }
}
