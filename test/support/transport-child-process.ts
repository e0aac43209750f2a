import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import type { TransportKind } from './transport-host.ts'

export interface TransportChild {
  readonly process: ChildProcess
  /** Says a word to it, for its next report. */
  ask(word: string): Promise<string>
  /** Sets how many descriptors it may have. */
  limit(descriptors: number): void
  /** The next line that it has reported. */
  report(): Promise<string>
  /** Its exit code, or the signal that ended it. */
  ended(): Promise<number | string>
}

/** Sets how many descriptors a process may have from now on. */
export function limitDescriptors({ pid }: ChildProcess, descriptors: number): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:`], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`prlimit failed: ${stderr}`)
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
  const report = async (): Promise<string> => {
    await eventually(`report of ${name}`, () => reports.length > 0 || end !== undefined, 30_000)
    const next = reports.shift()
    if (next === undefined) throw new Error(`the child ${name} ended with ${end}: ${errors}`)
    return next
  }
  return {
    process: child,
    report,
    ask(word) {
      child.send(word)
      return report()
    },
    limit: (descriptors) => limitDescriptors(child, descriptors),
    async ended() {
      await eventually(`end of ${name}`, () => end !== undefined, 30_000)
      return end ?? 'unknown'
    },
  }
}
