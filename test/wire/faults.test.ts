import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, it } from 'node:test'
import { ENGINE_TRANSPORTS, type EngineProcess, growth, startEngine, value } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { rawClient, type RawClient } from '../support/raw-client.ts'

/** Clients that meet each fault in one round, half of them after the engine has had its turn. */
const CLIENTS = 6
/** More than the kernel takes for both ends of a connection: the rest is with the engine. */
const BIG = 16_000_000

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const post = (body: string, length = body.length): string => `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`

type Context = Pick<Round, 'after'>
type Reach = (client: RawClient) => unknown

/** A client waits for the beginning of an answer and reads no further. */
async function beginsToRead(client: RawClient): Promise<void> {
  await eventually('some of the answer has come', () => client.chunks.length > 0)
  client.socket.pause()
}

/** How far a client comes before it resets its connection. */
const RESETS: Readonly<Record<string, Reach>> = {
  'right after it was taken in': () => undefined,
  'within a start line': (client) => client.send('GET /hel'),
  'within a header': (client) => client.send('GET /hello HTTP/1.1\r\nHos'),
  'within a body': (client) => client.send(post('ab', 50_000)),
  'within chunks': (client) => client.send('POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'),
  'while a call is pending': (client) => client.send(get('/slow?ms=5')),
  'while a call is pending and further requests wait': (client) => client.send(get('/slow?ms=5') + get('/hello').repeat(5) + 'GET /'),
  'while a handler is pending': (client) => client.send(get('/late?ms=10')),
  'after its own end, while a handler is pending': async (client) => {
    client.socket.end(get('/late?ms=10'))
    await once(client.socket, 'finish')
  },
  'between requests': (client) => client.send(get('/hello')).answer(),
  'after a refusal': (client) => client.send('BAD\r\n').answer(),
  'while the answer is half written': (client) => beginsToRead(client.send(get(`/big?bytes=${BIG}`))),
  'while the answer is half written and requests wait': (client) =>
    beginsToRead(client.send(get(`/big?bytes=${BIG}`) + get('/slow?ms=1') + get('/hello').repeat(20))),
  'while the answer is half written and closes': (client) => beginsToRead(client.send(get(`/big?bytes=${BIG}`, 'Connection: close\r\n'))),
}

/** What is cleaned up after a round, and not kept until the test ends. */
class Round {
  readonly #cleanUps: (() => void)[] = []

  after(cleanUp: () => void): void {
    this.#cleanUps.push(cleanUp)
  }

  end(): void {
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp()
  }
}

async function resets(context: Context, { port }: EngineProcess, reach: Reach, clients = CLIENTS): Promise<void> {
  for (let count = 0; count < clients; count++) {
    const client = await rawClient(context, port)
    await reach(client)
    if (count % 2 === 0) await sleep(2)
    client.socket.resetAndDestroy()
  }
}

/** What a client asks for before it ends its side, and the length of the answer's body. */
const HALF_CLOSES: Readonly<Record<string, readonly [request: string, bytes: number]>> = {
  'an answer that is made at once': [get('/hello'), 12],
  'an answer that comes later': [get('/late?ms=20'), 4],
  'the answer of a service': [get('/slow?ms=20'), 9],
  'an answer to what it has sent': [post('x'.repeat(30_000)), 30_000],
  'an answer larger than the kernel takes': [get(`/big?bytes=${BIG}`), BIG],
}

async function endsItsSide(context: Context, { port }: EngineProcess, request: string, bytes: number): Promise<void> {
  const client = await rawClient(context, port)
  client.socket.end(request)
  const answer = await client.answer()
  assert.deepEqual([answer.status, answer.body.byteLength], [200, bytes])
  assert.equal(await client.rest(), '')
  assert.equal(client.error, '')
}

async function serves(context: Context, { port }: EngineProcess): Promise<void> {
  const client = await rawClient(context, port)
  for (const path of ['/hello', '/slow?ms=1', '/late?ms=1']) assert.equal((await client.send(get(path)).answer()).status, 200)
  client.socket.destroy()
}

for (const kind of ENGINE_TRANSPORTS) {
  describe(`engine on ${kind}: faults of clients`, () => {
    let engine: EngineProcess

    before(async () => {
      engine = await startEngine(kind)
      await engine.begin()
    })

    after(() => engine.kill())

    for (const [stage, reach] of Object.entries(RESETS)) {
      it(`a reset ${stage} leaves nothing behind`, async (context) => {
        await resets(context, engine, reach)
        await serves(context, engine)
        await engine.isEmpty()
      })
    }

    for (const [what, [request, bytes]] of Object.entries(HALF_CLOSES)) {
      it(`a client that has ended its side gets ${what}`, async (context) => {
        await endsItsSide(context, engine, request, bytes)
        await engine.isEmpty()
      })
    }

    it('clients that never read 50 MB take no more memory than their answers, hold up nobody, and are cut off', async (context) => {
      const bytes = 50_000_000
      const count = 3
      const empty = await engine.memory()
      const clients: RawClient[] = []
      for (let number = 0; number < count; number++) {
        const client = await rawClient(context, engine.port)
        client.socket.pause()
        clients.push(client.send(get(`/big?bytes=${bytes}`) + get(`/big?bytes=${bytes}`)))
      }
      await eventually('all have their request in hand', async () => value(await engine.ask('brief'), 'reads') >= count)
      for (let round = 0; round < 10; round++) await serves(context, engine)
      await eventually('the others are gone', async () => value(await engine.ask('brief'), 'connections') === count)
      const gauges = await engine.ask('look')
      if (kind !== 'node') assert.equal(gauges['heldBuffers'], count)
      // The body that the handler gives away, and what is made of it for each client; the second answer waits for the first to leave.
      const most = empty + (count + 1) * bytes + 30_000_000
      assert.ok(value(gauges, 'rss') < most, `${gauges['rss']} bytes of memory, ${empty} before`)
      // A deadline that passes looks whether some was taken since; the next one cuts off.
      await eventually('all are cut off', async () => value(await engine.ask('pass 600000'), 'connections') === 0)
      for (const client of clients) client.socket.resume()
      for (const client of clients) assert.ok((await client.rest()).length < bytes)
      await engine.isEmpty()
    })

    it('a client that goes without having read leaves nothing behind', async (context) => {
      const client = await rawClient(context, engine.port)
      client.socket.pause()
      client.send(get('/big?bytes=50000000'))
      await eventually('it is taken in', async () => value(await engine.ask('brief'), 'connections') === 1)
      await serves(context, engine)
      client.socket.destroy()
      await engine.isEmpty()
    })

    it('all of them again and again make the process no larger', async (context) => {
      const grown = await growth(engine, 6, async () => {
        const round = new Round()
        context.after(() => round.end())
        for (const [stage, reach] of Object.entries(RESETS)) await resets(round, engine, reach, stage.includes('half written') ? 2 : 8)
        for (const [request, bytes] of Object.values(HALF_CLOSES)) await endsItsSide(round, engine, request, bytes)
        round.end()
      })
      assert.equal(grown, '')
    })

    it('an engine that is drained twice at a time and once more, and closed twice, ends', async () => {
      assert.equal(await engine.end(), 0, engine.stderr)
    })
  })
}
