import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { clearStale, queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { NppError } from '../../shared/errors.ts'
import { eventually } from './eventually.ts'

/** The checkout, seen from dist/test/support. */
export const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url))
export const NPP: string = `${ROOT}cli/npp.mjs`
export const WELCOME: string = `${ROOT}examples/welcome`
/** Sites made for tests stand here, built beside these files. */
export const SITES: string = fileURLToPath(new URL('../sites/', import.meta.url))

const START_MS = 20_000
const STOP_MS = 20_000

/** A fresh instance id: two test runs side by side do not meet. */
export function freshInstanceId(): string {
  return `test-${process.pid}-${randomBytes(4).toString('hex')}`
}

/** The socket layer under test where it is not the default: TEST_TRANSPORT=native npm test. */
const transport = process.env['TEST_TRANSPORT']

/** The environment of a child: loopback only, a free port, no NPP_ variable of the machine's. */
export function environment(settings: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('NPP_') && !name.startsWith('NODE_TEST'))
  return {
    ...Object.fromEntries(inherited),
    NPP_HTTP_ADDRESS: '127.0.0.1',
    NPP_HTTP_PORT: '0',
    ...(transport === undefined ? {} : { NPP_TRANSPORT: transport }),
    ...settings,
  }
}

/** A process of npp under test, and all that it has written. */
export class NppProcess {
  readonly child: ChildProcess
  readonly pid: number
  stdout = ''
  stderr = ''
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, node: string = process.execPath) {
    this.child = spawn(node, [NPP, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.pid = this.child.pid ?? 0
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.exited = once(this.child, 'close').then(() => ({ code: this.child.exitCode, signal: this.child.signalCode }))
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** Lines of the log, as far as they are JSON. */
  get log(): Record<string, unknown>[] {
    return this.stdout.split('\n').flatMap((line) => {
      if (!line.startsWith('{')) return []
      const value: unknown = JSON.parse(line)
      return typeof value === 'object' && value !== null ? [{ ...value }] : []
    })
  }

  /** Ends the process with SIGTERM, and with SIGKILL when it does not; resolves with its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.running) this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS)
    const { code } = await this.exited
    clearTimeout(timer)
    return code
  }
}

/** A running npp_app with what a test wants to know of it. */
export class Instance extends NppProcess {
  readonly id: string
  url = ''
  port = 0

  constructor(site: string, settings: Readonly<Record<string, string>>, id: string, args: readonly string[], node?: string) {
    super(['start', site, ...args], environment({ NPP_ASYNC_ID: id, ...settings }), node)
    this.id = id
  }

  /** Ends the instance; what a killed one leaves is removed, so that a test that fails leaves nothing either. */
  override async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const code = await super.stop(signal)
    clearStale(this.id)
    return code
  }

  /** Pids of npp_svc processes that were attached, in the order of the log. */
  get servicePids(): number[] {
    return this.log.flatMap((line) => (line['msg'] === 'npp_svc attached' && typeof line['pid'] === 'number' ? [line['pid']] : []))
  }

  /** Names of this instance's queues that exist. */
  get queues(): string[] {
    return queuesOf(this.id)
  }
}

/** Starts a site and waits until it listens. Who starts it stops it. */
export async function startInstance(
  site: string = WELCOME,
  settings: Readonly<Record<string, string>> = {},
  options: { readonly id?: string; readonly args?: readonly string[]; readonly node?: string } = {},
): Promise<Instance> {
  const instance = new Instance(site, settings, options.id ?? freshInstanceId(), options.args ?? [], options.node)
  try {
    await eventually('npp listens', () => /"url":"(http:[^"]+)"/.test(instance.stdout) || !instance.running, START_MS)
    const url = /"url":"(http:[^"]+)"/.exec(instance.stdout)?.[1]
    if (url === undefined) throw new Error(`npp ended instead of listening:\n${instance.stderr}${instance.stdout}`)
    instance.url = url
    instance.port = Number(new URL(url).port)
    return instance
  } catch (error) {
    await instance.stop('SIGKILL')
    throw error
  }
}

const NOBODY = 65534

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs npp to its end, which must come: these are starts that fail. */
export function runToEnd(args: readonly string[], settings: Readonly<Record<string, string>> = {}, prefix: readonly string[] = []): Ended {
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, NPP, ...args]
  const asNobody = settings['TEST_USER'] === 'nobody' && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const { status, stdout, stderr } = spawnSync(program, rest, {
    encoding: 'utf8',
    env: environment(settings),
    timeout: 30_000,
    ...asNobody,
  })
  return { status, stdout, stderr }
}

/** Names of the queues of an instance that exist. Asked of the kernel: /dev/mqueue is not mounted everywhere. */
export function queuesOf(id: string): string[] {
  const { requests, replies } = queueNames(id)
  return [requests, replies].filter((name) => {
    try {
      PosixQueue.open({ name }).close()
      return true
    } catch (error) {
      if (error instanceof NppError && error.code === 'NPP_QUEUE_MISSING') return false
      throw error
    }
  })
}

/** True while the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false // It is gone, which is the answer.
  }
}
