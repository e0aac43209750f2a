import { spawn, type ChildProcessByStdio, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'

/** Clients and servers that are not of npm, and the Debian packages that bring them; .ci/run installs them. */
const PACKAGES = { curl: 'curl', h2load: 'nghttp2-client', nginx: 'nginx', slowhttptest: 'slowhttptest', wrk: 'wrk' } as const

/** Only a hang reaches it. */
const STALL_MS = 60_000

/** Where servers stand, which is not on the PATH of every user. */
const SERVER_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** Variables that would send a client elsewhere, or put a sanitizer into a program that was not built with it. */
const FOREIGN = /^(?:.*_proxy|LD_PRELOAD|[AU]B?SAN_OPTIONS)$/i

/**
 * Path of the program. Where it is not installed, the test is told how to get it, and returns: except in CI, where every program has to be there.
 */
export function programFor(context: TestContext, name: keyof typeof PACKAGES): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SERVER_FOLDERS]
  const found = folders.map((folder) => join(folder, name)).find(isExecutable)
  if (found !== undefined) return found
  const missing = `${name} is not installed, so nothing is tested here; on Debian: apt-get install --no-install-recommends ${PACKAGES[name]}`
  if (process.env['CI'] === 'true') throw new Error(missing)
  context.diagnostic(missing)
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false // It is not there, which is the answer.
  }
}

/** Such a program while it runs, and what it has written. */
class Program {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  readonly ended: Promise<unknown>
  readonly #stdout: Buffer[] = []
  readonly #stderr: Buffer[] = []

  constructor(path: string, args: readonly string[], options: SpawnOptions) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !FOREIGN.test(name)))
    this.child = spawn(path, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout.on('data', (chunk: Buffer) => this.#stdout.push(chunk))
    this.child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk))
    this.ended = once(this.child, 'close')
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** Bytes as latin1. */
  get stdout(): string {
    return Buffer.concat(this.#stdout).toString('latin1')
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString('latin1')
  }
}

/** Starts a program, which is killed when the test ends before it does. */
export function start(context: TestContext, path: string, args: readonly string[], options: SpawnOptions = {}): Program {
  const program = new Program(path, args, options)
  context.after(async () => {
    program.child.kill('SIGKILL')
    await program.ended
  })
  return program
}

/** Runs a program to its end, which must be a success. */
export async function run(context: TestContext, path: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const program = start(context, path, args, { timeout: STALL_MS, killSignal: 'SIGKILL' })
  await program.ended
  const { child, stdout, stderr } = program
  if (child.exitCode !== 0) throw new Error(`${path} ended with ${child.exitCode ?? child.signalCode}: ${stderr}${stdout}`)
  return { stdout, stderr }
}
