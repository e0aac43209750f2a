// A process of its own with an engine, for tests of what faults of clients and of the system leave behind in it:
// node --expose-gc engine-child.js <kind> <connections> [NPP_…=value]…. The parent is the client; it asks by messages, one word and perhaps a
// number.
import { closeSync, openSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Caller } from '../../app/call/caller.ts'
import { Engine } from '../../app/engine.ts'
import { NativeTransport } from '../../app/net/native-transport.ts'
import type { TransportEvents } from '../../app/net/transport.ts'
import { Router, type HandlerTarget } from '../../app/route/router.ts'
import { createMemoryQueue, type MemoryQueue } from '../../ipc/memory-queue.ts'
import { createSystemClock, type Clock } from '../../shared/clock.ts'
import { loadConfig } from '../../shared/config.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { defineServices } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import { Worker } from '../../svc/worker.ts'
import { RecordedLog } from './recorded-log.ts'
import { isTransportKind, makeTransport } from './transport-host.ts'

/** The machine's clock, and what the parent has let pass on top. */
class ShiftedClock implements Clock {
  readonly #clock = createSystemClock()
  shift = 0

  monotonic(): number {
    return this.#clock.monotonic() + this.shift
  }

  wall(): number {
    return this.#clock.wall() + this.shift
  }
}

/** Hands on what the transport tells, and counts it. */
class CountedEvents implements TransportEvents {
  reads = 0
  readBytes = 0
  acceptFailures = 0
  openings = 0
  readonly #events: TransportEvents

  constructor(events: TransportEvents) {
    this.#events = events
  }

  turnBegan(): void {
    this.#events.turnBegan()
  }

  turnEnded(): void {
    this.#events.turnEnded()
  }

  opened(slot: number): void {
    this.openings++
    this.#events.opened(slot)
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    this.reads++
    this.readBytes += end - start
    this.#events.received(slot, bytes, start, end)
  }

  ended(slot: number): void {
    this.#events.ended(slot)
  }

  stalled(slot: number): void {
    this.#events.stalled(slot)
  }

  drained(slot: number): void {
    this.#events.drained(slot)
  }

  closed(slot: number): void {
    this.#events.closed(slot)
  }

  acceptFailed(error: Error): void {
    this.acceptFailures++
    this.#events.acceptFailed(error)
  }
}

let port = 0
/** One body of each length for all: what a test sees of memory is what the engine needs to send it. */
const bodies = new Map<number, Buffer>()

function bodyOf(length: number): Buffer {
  const found = bodies.get(length) ?? Buffer.alloc(length, 'y')
  bodies.set(length, found)
  return found
}

/** Some parts leave in the turn of those before them, others later. */
async function* partsOf(count: number, fails: boolean): AsyncGenerator<string> {
  for (let part = 0; part < count; part++) {
    if (part % 10 === 5) await sleep(1)
    yield `part ${part}\n`
  }
  if (fails) throw new Error('the source of the body fails')
}

const ROUTES: Readonly<Record<string, HandlerTarget['handle']>> = {
  '/hello': (_req, res) => res.text('Hello World!'),
  '/echo': (req, res) => res.send(req.body),
  // Says what it answers to, at once or after `ms`.
  '/id/:id': (req, res) => {
    const { path, method, query } = req
    const body = req.body.toString()
    const answer = (): void => res.header('X-Path', path).json({ path, method, body })
    const ms = query.get('ms')
    if (ms === null) answer()
    else setTimeout(answer, Number(ms))
  },
  '/big': (req, res) => res.send(bodyOf(Number(req.query.get('bytes')))),
  '/stream': (req, res) => res.stream(partsOf(Number(req.query.get('parts')), req.query.has('fails'))),
  // Only a test gives clients the run of the file system.
  '/file': (req, res) => res.sendFile(req.query.get('path') ?? ''),
  '/late': (req, res) => void setTimeout(() => res.text('late'), Number(req.query.get('ms'))),
  '/slow': async (req, res) => res.json(await req.callAsync('slow', Number(req.query.get('ms')))),
  '/mixed': async (_req, res) => {
    const file = await readFile(new URL(import.meta.url), 'utf8')
    const fetched = await (await fetch(`http://127.0.0.1:${port}/hello`, { headers: { connection: 'close' } })).text()
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    // Last, so that the answer leaves in a turn in which no socket has anything to say.
    await sleep(50)
    res.json({ file: file.length > 0, fetched, promise: await Promise.resolve('kept') })
  },
}

const services = defineServices({
  slow: async (ms: number) => {
    await sleep(ms)
    return { ms }
  },
})

function queue(name: string): MemoryQueue {
  return createMemoryQueue({ name, maxMessages: 10, messageSize: 8192 })
}

const [kind = '', connections = '', ...given] = process.argv.slice(2)
if (!isTransportKind(kind)) throw new Error(`no transport ${kind}`)

const clock = new ShiftedClock()
const wheel = new TimerWheel(clock)
const log = new RecordedLog()
const router = new Router()
for (const [path, handle] of Object.entries(ROUTES)) for (const method of ['GET', 'POST'] as const) router.add(method, path, { handle })
const requests = queue('requests')
const replies = queue('replies')
const worker = new Worker({ requests: requests.open(), replies: replies.open(), registry: new Registry(services, 'svc.ts'), clock, log })
worker.start()
const caller = new Caller({
  requests: requests.open(),
  replies: replies.open(),
  engine: 0,
  epoch: 1,
  defaultTimeoutMs: 60_000,
  maxBacklog: 1000,
  hasService: () => true,
  clock,
  wheel,
  log,
})
// The log would keep a line a request, and a test of memory would see those.
const settings = {
  NPP_HTTP_PORT: '0',
  NPP_ACCESS_LOG: '0',
  NPP_HEADER_TIMEOUT: '600',
  NPP_KEEP_ALIVE_TIMEOUT: '600',
  NPP_DRAIN_TIMEOUT: '1',
  ...Object.fromEntries(given.map((setting) => setting.split('='))),
}
const config = loadConfig({ siteFolder: '/nowhere', environment: settings, flags: [] })
const engine = new Engine({ config, router, caller, clock, wheel, log })
const events = new CountedEvents(engine)
const transport = makeTransport(kind, events, { maxConnections: Number(connections) })
engine.attach(transport)

// Without a parent nobody would end it: a test that was killed leaves nothing either. What 'end' has ended has to go by itself.
function orphaned(): void {
  process.exit(1)
}
process.on('disconnect', orphaned)

let exceptions = 0
process.on('uncaughtException', (error) => {
  exceptions++
  process.stderr.write(`${error.stack}\n`)
})

/** What needs no descriptor to be found out. */
function brief(): Record<string, number> {
  const { user, system } = process.cpuUsage()
  const { reads, readBytes, acceptFailures, openings } = events
  return {
    cpuMs: (user + system) / 1000,
    elapsedMs: performance.now(),
    reads,
    readBytes,
    acceptFailures,
    openings,
    connections: transport.connections,
    armed: wheel.armed,
    exceptions,
  }
}

function look(): Record<string, number> {
  // Else the lines of refusals would be what grows.
  log.lines.length = 0
  globalThis.gc?.()
  globalThis.gc?.()
  const {
    connections: slots,
    keptBytes,
    heldBuffers,
  } = transport instanceof NativeTransport ? transport.counters : { connections: 0, keptBytes: 0, heldBuffers: 0 }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { ...brief(), slots, keptBytes, heldBuffers, rss, live: heapUsed + external, descriptors: readdirSync('/proc/self/fd').length }
}

const filling: number[] = []

function fill(): void {
  try {
    for (;;) filling.push(openSync('/dev/null', 'r'))
  } catch {
    return // That it fails is the purpose.
  }
}

async function carryOut(word: string, number: number): Promise<void> {
  switch (word) {
    case 'look':
      process.send?.(look())
      return
    case 'pass':
      clock.shift += number
      wheel.advance()
      break
    case 'fill':
      fill()
      break
    case 'free':
      for (const descriptor of filling.splice(0)) closeSync(descriptor)
      break
    case 'end':
      await Promise.all([engine.drain(), engine.drain()])
      await engine.drain()
      transport.close()
      transport.close()
      process.off('disconnect', orphaned)
      process.disconnect()
      return
    default:
      break
  }
  process.send?.(brief())
}

process.on('message', (message) => {
  const [word = '', number = '0'] = String(message).split(' ')
  void carryOut(word, Number(number))
})
;({ port } = await transport.listen({ host: '127.0.0.1', port: config.httpPort }))
process.send?.({ port })
