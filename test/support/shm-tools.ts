import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'

const FOLDER = '/dev/shm'
const CHILD = fileURLToPath(new URL('./shm-child.js', import.meta.url))

interface Context {
  after(cleanUp: () => void | Promise<void>): void
}

/** An instance id that no other run has; whatever has it in its name is gone from /dev/shm after the test, however it ends. */
export function uniqueInstance(context: Context): string {
  const id = `test-${process.pid}-${randomBytes(6).toString('hex')}`
  context.after(() => {
    for (const name of filesOf(id)) rmSync(`${FOLDER}/${name}`, { force: true, recursive: true })
  })
  return id
}

/** Names in /dev/shm that have the id in them. */
export function filesOf(id: string): string[] {
  return readdirSync(FOLDER).filter((name) => name.includes(id))
}

export function pathInMemory(name: string): string {
  return `${FOLDER}/${name}`
}

export function modeOf(name: string): number {
  return lstatSync(pathInMemory(name)).mode & 0o7777
}

/** How often this process has mapped a file of this name, also one that was unlinked since. */
export function mappingsOf(name: string): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`/${name}`)).length
}

/** Whether this machine lets this process mount a file system of its own, for a /dev/shm that is full. */
export function mayMount(): boolean {
  return process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0
}

/** What runs a program with a /dev/shm of its own, of this size: it is gone with the program. */
export function withSmallMemory(bytes: number): readonly string[] {
  return ['unshare', '-m', 'sh', '-c', `mount -t tmpfs -o size=${bytes} none ${FOLDER} && exec "$@"`, 'sh']
}

export interface ShmChild {
  readonly pid: number
  /** The next line that it reports. Throws when it ends without one. */
  report(): Promise<string>
  /** Lets it go on: it waits for lines. */
  say(word: string): void
  /** kill -9; resolves when it has ended. */
  kill(): Promise<void>
  /** The exit code, or the signal that ended it. */
  ended(): Promise<number | string>
}

/** Starts test/support/shm-child in the role given, behind `prefix` words; killed when the test ends. */
export function startShmChild(context: Context, args: readonly string[], prefix: readonly string[] = []): ShmChild {
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, CHILD, ...args]
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
  let text = ''
  let errors = ''
  let end: number | string | undefined
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    errors += part
  })
  // It may be gone before it has read what it is told.
  child.stdin.on('error', () => undefined)
  child.once('close', (code, signal) => {
    end = code ?? signal ?? 'unknown'
  })
  const ended = async (): Promise<number | string> => {
    if (end === undefined) await once(child, 'close')
    return end ?? 'unknown'
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended()
  }
  context.after(kill)
  return {
    pid: child.pid ?? 0,
    async report() {
      await eventually(`a report of ${args.join(' ')}`, () => text.includes('\n') || end !== undefined, 60_000)
      const [line = '', ...others] = text.split('\n')
      if (others.length === 0) throw new Error(`the child ${args.join(' ')} ended with ${end}: ${errors}`)
      text = others.join('\n')
      return line
    },
    say: (word) => child.stdin.write(`${word}\n`),
    kill,
    ended,
  }
}
