import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ENGINE_TRANSPORTS, startEngine, value, type EngineProcess } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { programFor, start } from '../support/programs.ts'
import { rawClient } from '../support/raw-client.ts'
import { folder } from '../support/transport-host.ts'

/** Connections of an attack; a process may have 1,024 descriptors on most machines. */
const COUNT = 300
/** Fewer of those that hardly read: the kernel alone takes up to 3 MB of each answer, and what it has taken waits for nobody in npp. */
const READERS = 100
const FILE_BYTES = 16_000_000
/** Attackers that are seen at a time, at the least. A machine that is busy takes in the last when it has cut off the first. */
const TOGETHER = 20
const HELLO = 'GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'

/** That between requests is for nobody here: the good clients are on a busy machine, too. */
const DEADLINES = { NPP_HEADER_TIMEOUT: '1.5', NPP_BODY_TIMEOUT: '1.5', NPP_WRITE_TIMEOUT: '1', NPP_KEEP_ALIVE_TIMEOUT: '20' }

interface Mode {
  readonly args: readonly string[]
  readonly path: string
  readonly count: number
  /** What a client begins with that goes on with a byte at a time, and is told 408. */
  readonly begins?: string
  /** The attack holds its connections until it is cut off, of which a client that hardly reads does not hear. */
  readonly holds: 'none' | 'until told' | 'unheard'
  /** Bytes that each connection sends, at least. */
  readonly sends: number
}

const MODES: Readonly<Record<string, Mode>> = {
  'slow headers': {
    args: ['-H', '-i', '1'],
    path: '/hello',
    count: COUNT,
    begins: 'GET /hello HTTP/1.1\r\nX: ',
    holds: 'until told',
    sends: 100,
  },
  'slow bodies': {
    args: ['-B', '-i', '1'],
    path: '/echo',
    count: COUNT,
    begins: 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n',
    holds: 'until told',
    sends: 100,
  },
  'headers with thousands of ranges': { args: ['-R'], path: '/hello', count: COUNT, holds: 'none', sends: 10_000 },
  'slow readers': { args: ['-X', '-n', '1', '-z', '5'], path: '/file?path=', count: READERS, holds: 'unheard', sends: 100 },
}

/** A new client, and one that has its connection already, are answered. */
async function isServed(context: TestContext, { port }: EngineProcess): Promise<void> {
  const client = await rawClient(context, port)
  for (let count = 0; count < 2; count++) assert.equal((await client.send(HELLO).answer()).body.toString(), 'Hello World!')
  client.socket.destroy()
}

/** Sends a byte every 200 ms until it is answered; the status of the answer, after which its connection has to end. */
async function drip(context: TestContext, { port }: EngineProcess, begins: string): Promise<number> {
  const client = await rawClient(context, port)
  client.send(begins)
  const timer = setInterval(() => client.send('x'), 200)
  context.after(() => clearInterval(timer))
  const { status } = await client.answer()
  clearInterval(timer)
  assert.equal(await client.rest(), '')
  return status
}

// Side by side, as most of each is waiting for a deadline.
describe('slowhttptest', { concurrency: 8 }, () => {
  for (const kind of ENGINE_TRANSPORTS) {
    for (const [name, { args, path, count, begins, holds, sends }] of Object.entries(MODES)) {
      it(`engine on ${kind}: ${name} hold up nobody, are cut off, and leave nothing behind`, async (context) => {
        const program = programFor(context, 'slowhttptest')
        if (program === undefined) return
        const engine = await startEngine(kind, count + 10, DEADLINES)
        context.after(() => engine.kill())
        await engine.begin()
        const file = join(folder(context), 'file')
        writeFileSync(file, '')
        truncateSync(file, FILE_BYTES)
        const url = `http://127.0.0.1:${engine.port}${path.endsWith('=') ? `${path}${file}` : path}`
        // Its end by itself, after -l, is what no test waits for.
        const attack = start(context, program, [...args, '-u', url, '-c', String(count), '-r', String(count * 2), '-l', '60'])
        const dripping = begins === undefined ? undefined : drip(context, engine, begins)
        let [own, most] = [0, 0]
        await eventually(
          'all attackers have come and are gone',
          async () => {
            await isServed(context, engine)
            own++
            const { connections = 0, openings = 0 } = await engine.ask('brief')
            most = Math.max(most, connections)
            return openings - own >= count && connections === 0
          },
          30_000,
        )
        if (dripping !== undefined) assert.equal(await dripping, 408)
        if (holds !== 'none') assert.ok(most >= TOGETHER, `${most} connections at the most`)
        if (holds === 'unheard') assert.equal(attack.running, true, attack.stdout)
        else {
          await attack.ended
          assert.match(attack.stdout, /Exit status:\S* No open connections left/)
        }
        assert.doesNotMatch(attack.stdout, /service available:\s*\S*NO/)
        const gauges = await engine.isEmpty()
        assert.ok(value(gauges, 'readBytes') >= count * sends, `${gauges['readBytes']} bytes`)
        await isServed(context, engine)
      })
    }
  }
})
