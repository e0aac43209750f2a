import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import { limitDescriptors } from './transport-child-process.ts'
import { TRANSPORTS, type TransportKind } from './transport-host.ts'

const chosen = process.env['TEST_TRANSPORT']

/** All that speak plainly; where one layer is what is tested, the other has nothing to say. */
export const ENGINE_TRANSPORTS: readonly TransportKind[] = TRANSPORTS.filter(
  (kind) => kind !== 'tls' && (chosen === undefined || (chosen === 'node') === (kind === 'node')),
)

const CHILD = fileURLToPath(new URL('./engine-child.js', import.meta.url))

/** What the process says of itself, by name. */
type Gauges = Readonly<Record<string, number>>

/** Configuration of the engine, by the names of the environment: NPP_HEADER_TIMEOUT. */
type Settings = Readonly<Record<`NPP_${string}`, string>>

/** The least share of the memory of before, in percent, that counts as more; what a collector leaves varies by less. */
const MORE_PERCENT = 5
const WARM_UP_ROUNDS = 4
const BATCHES_MAX = 3

function isGauges(message: unknown): message is Gauges {
  return typeof message === 'object' && message !== null && Object.values(message).every((value) => typeof value === 'number')
}

/** test/support/engine-child in a process of its own. */
export class EngineProcess {
  readonly child: ChildProcess
  port = 0
  stderr = ''
  /** Descriptors that it had before any client came. */
  #descriptors = 0
  readonly #answers: Gauges[] = []
  #end: number | string | undefined

  constructor(kind: TransportKind, connections: number, settings: Settings) {
    const words = [kind, String(connections), ...Object.entries(settings).map((setting) => setting.join('='))]
    this.child = spawn(process.execPath, ['--expose-gc', CHILD, ...words], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    this.child.on('message', (message) => {
      if (isGauges(message)) this.#answers.push(message)
    })
    this.child.once('close', (code, signal) => {
      this.#end = code ?? signal ?? 'unknown'
    })
  }

  /** Asks for what the process says of itself, after it has carried out `word`. */
  async ask(word: string): Promise<Gauges> {
    this.child.send(word)
    return this.answer(word)
  }

  async answer(word: string): Promise<Gauges> {
    await eventually(`an answer to ${word}`, () => this.#answers.length > 0 || this.#end !== undefined, 30_000)
    const answer = this.#answers.shift()
    if (answer === undefined) throw new Error(`the engine ended with ${this.#end}: ${this.stderr}`)
    return answer
  }

  /** Share of one processor that it uses in the time of `meanwhile`. */
  async load(meanwhile: () => Promise<unknown>): Promise<number> {
    const before = await this.ask('brief')
    await meanwhile()
    const after = await this.ask('brief')
    return (value(after, 'cpuMs') - value(before, 'cpuMs')) / (value(after, 'elapsedMs') - value(before, 'elapsedMs'))
  }

  /** Sets how many descriptors it may have. */
  limit(descriptors: number): void {
    limitDescriptors(this.child, descriptors)
  }

  /** Remembers what it holds without clients. */
  async begin(): Promise<void> {
    this.#descriptors = value(await this.ask('look'), 'descriptors')
  }

  /** All connections are gone, and nothing of theirs is left: descriptors, slots, timers, output. */
  async isEmpty(): Promise<Gauges> {
    let gauges: Gauges = {}
    const rest = (): string => JSON.stringify({ ...gauges, descriptors: `${gauges['descriptors']} of ${this.#descriptors}` })
    try {
      await eventually('nothing is left', async () => {
        gauges = await this.ask('look')
        return (
          ['connections', 'slots', 'armed', 'keptBytes', 'heldBuffers'].every((name) => gauges[name] === 0) &&
          value(gauges, 'descriptors') <= this.#descriptors
        )
      })
    } catch (error) {
      throw new Error(`something is left: ${rest()}`, { cause: error })
    }
    if (gauges['exceptions'] !== 0) throw new Error(`exceptions were thrown: ${this.stderr}`)
    return gauges
  }

  /** The least memory that it has been seen with in a few looks, in bytes: what a collector frees comes back to the system later. */
  async memory(of: 'rss' | 'live' = 'rss'): Promise<number> {
    let least = Infinity
    for (let count = 0; count < 5; count++) least = Math.min(least, value(await this.isEmpty(), of))
    return least
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  /** Drains the engine and closes its transport, each more than once; its exit code, or the signal that ended it. */
  async end(): Promise<number | string> {
    this.child.send('end')
    await eventually('the engine ends', () => this.#end !== undefined, 30_000)
    return this.#end ?? 'unknown'
  }
}

export function value(gauges: Gauges, name: string): number {
  const found = gauges[name]
  if (found === undefined) throw new Error(`the engine does not tell its ${name}`)
  return found
}

/**
 * '' when a batch of rounds leaves the memory as large as it was before, else what was seen. A leak grows with every batch; a pool, which the
 * first rounds fill, stops.
 */
export async function growth(engine: EngineProcess, roundsABatch: number, round: () => Promise<void>): Promise<string> {
  for (let count = 0; count < WARM_UP_ROUNDS; count++) await round()
  const seen = [await engine.memory()]
  // A leak may fill what the rounds before have left free, and not be seen from outside for long.
  const live = await engine.memory('live')
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    for (let count = 0; count < roundsABatch; count++) await round()
    const before = seen.at(-1) ?? 0
    const now = await engine.memory()
    seen.push(now)
    const more = await engine.memory('live')
    if (more > live * (1 + MORE_PERCENT / 100)) return `${live} bytes in use after ${WARM_UP_ROUNDS} rounds, ${more} later`
    if (now <= before * (1 + MORE_PERCENT / 100)) return ''
  }
  return `${seen.map((bytes) => Math.round(bytes / 1024)).join(', ')} KiB after ${WARM_UP_ROUNDS} rounds, and each ${roundsABatch} more`
}

/** Started and listening. Who starts it kills it. */
export async function startEngine(kind: TransportKind, connections = 1100, settings: Settings = {}): Promise<EngineProcess> {
  const engine = new EngineProcess(kind, connections, settings)
  try {
    engine.port = value(await engine.answer('start'), 'port')
    return engine
  } catch (error) {
    engine.kill()
    throw error
  }
}
