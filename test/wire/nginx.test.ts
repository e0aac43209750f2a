import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { ENGINE_TRANSPORTS, startEngine, value, type EngineProcess } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { freePort, startNginx, type Nginx } from '../support/nginx.ts'
import { rawClient, type RawClient } from '../support/raw-client.ts'
import { pattern, type TransportKind } from '../support/transport-host.ts'

/** The default of maxBodyBytes is below it. */
const TOO_LARGE = 4_000_000
/** Connections that nginx keeps to npp. */
const KEPT = 8

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

function post(path: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.byteLength}\r\n\r\n`), body])
}

function inChunks(path: string, body: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`)]
  for (let at = 0; at < body.byteLength; at += 30_000) {
    const chunk = body.subarray(at, at + 30_000)
    parts.push(Buffer.from(`${chunk.byteLength.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

function idText(path: string, method = 'GET', body = ''): string {
  return JSON.stringify({ path, method, body })
}

/** An engine, and nginx in front of it; undefined without nginx. */
async function both(context: TestContext, kind: TransportKind): Promise<{ engine: EngineProcess; nginx: Nginx } | undefined> {
  const engine = await startEngine(kind, 100)
  context.after(() => engine.kill())
  await engine.begin()
  const nginx = await startNginx(context, engine.port)
  return nginx && { engine, nginx }
}

/** Clients of nginx, each with a connection of its own. */
async function clientsOf(context: TestContext, { port }: Nginx, count: number): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: count }, () => rawClient(context, port)))
}

/** Each client asks once; all have to be answered 200, with their own answers. */
async function askAll(clients: readonly RawClient[], round: number): Promise<void> {
  await Promise.all(
    clients.map(async (client, index) => {
      const path = `/id/${round}-${index}`
      const { status, body } = await client.send(get(path)).answer()
      assert.deepEqual([status, body.toString()], [200, idText(path)])
    }),
  )
}

for (const kind of ENGINE_TRANSPORTS) {
  describe(`engine on ${kind}, behind nginx`, () => {
    it('serves the clients of nginx', async (context) => {
      const { engine, nginx } = (await both(context, kind)) ?? {}
      if (engine === undefined || nginx === undefined) return
      await context.test('gets many requests over few connections', async (context) => {
        const clients = await clientsOf(context, nginx, KEPT)
        for (let round = 0; round < 100; round++) await askAll(clients, round)
        const openings = value(await engine.ask('brief'), 'openings')
        assert.ok(openings <= KEPT, `${openings} connections`)
      })

      await context.test('gets what clients send, and they get what it answers', async (context) => {
        const [client] = await clientsOf(context, nginx, 1)
        assert.ok(client)
        const body = pattern(900_000)
        for (const place of ['', '/unbuffered', '/plain']) {
          for (const request of [post(`${place}/echo`, body), inChunks(`${place}/echo`, body)]) {
            const answer = await client.send(request).answer()
            assert.equal(answer.status, 200)
            assert.ok(answer.body.equals(body))
          }
          assert.equal((await client.send(get(`${place}/big?bytes=9000000`)).answer()).body.byteLength, 9_000_000)
          const head = await client.send(`HEAD ${place}/hello HTTP/1.1\r\nHost: a\r\n\r\n`).answer(true)
          assert.deepEqual([head.status, head.fields.get('content-length')], [200, '12'])
          assert.equal((await client.send(get(`${place}/none`)).answer()).status, 404)
          assert.equal((await client.send(get(`${place}/hello`)).answer()).body.toString(), 'Hello World!')
        }
      })

      await context.test('sends a body in chunks, of which the client gets all, or learns that it did not', async () => {
        const text = Array.from({ length: 100 }, (_, part) => `part ${part}\n`).join('')
        for (const place of ['', '/plain']) {
          for (let round = 0; round < 3; round++) {
            const answer = await fetch(`${nginx.url}${place}/stream?parts=100`)
            assert.deepEqual([answer.status, await answer.text()], [200, text])
          }
        }
        const cut = await fetch(`${nginx.url}/stream?parts=100&fails`)
        await assert.rejects(cut.text())
      })

      await context.test('refuses a body over its limit, and the client reads why', async (context) => {
        const body = Buffer.alloc(TOO_LARGE, 'x')
        for (let round = 0; round < 2; round++) {
          for (const place of ['', '/unbuffered', '/plain']) {
            for (const request of [post(`${place}/echo`, body), inChunks(`${place}/echo`, body)]) {
              const [client] = await clientsOf(context, nginx, 1)
              assert.ok(client)
              // nginx has a connection to npp already, which it will use.
              assert.equal((await client.send(get('/hello')).answer()).status, 200)
              assert.equal((await client.send(request).answer()).status, 413)
              client.socket.destroy()
            }
          }
        }
        await engine.ask('pass 600000')
        await engine.isEmpty()
      })

      for (const [rule, closed] of [
        ['has closed', 'pass 600000'],
        ['has cut off', 'pass 600000 pass 600000'],
      ] as const) {
        await context.test(
          `makes no client wait or fail where it ${rule} an idle connection that nginx is about to use`,
          async (context) => {
            context.after(() => nginx.thaw())
            const clients = await clientsOf(context, nginx, KEPT)
            for (let round = 0; round < 6; round++) {
              await askAll(clients, round)
              const before = value(await engine.ask('brief'), 'openings')
              // nginx hears of the requests first, and only then that npp has ended the connections.
              nginx.freeze()
              const asked = askAll(clients, -1)
              for (const word of closed.split(/ (?=pass)/)) await engine.ask(word)
              nginx.thaw()
              await asked
              assert.ok(value(await engine.ask('brief'), 'openings') > before, 'the connections were of no use any more')
            }
            // With POST nginx asks no second time, so it has to know.
            await engine.ask('pass 600000')
            await eventually('nginx has given up all connections', async () => value(await engine.ask('brief'), 'connections') === 0)
            const posted = await clients[0]?.send(post('/id/7', Buffer.from('body'))).answer()
            assert.equal(posted?.body.toString(), idText('/id/7', 'POST', 'body'))
          },
        )
      }
    })

    it('ends and starts again: in flight is answered, meanwhile 502, then all is well', async (context) => {
      const settings = { NPP_HTTP_PORT: String(await freePort()), NPP_DRAIN_TIMEOUT: '10' }
      const engine = await startEngine(kind, 100, settings)
      context.after(() => engine.kill())
      const nginx = await startNginx(context, engine.port)
      if (nginx === undefined) return
      const [client, ...others] = await clientsOf(context, nginx, KEPT)
      assert.ok(client)
      await askAll(others, 0)
      const reads = value(await engine.ask('brief'), 'reads')
      client.send(get('/late?ms=300'))
      await eventually('it is in flight', async () => value(await engine.ask('brief'), 'reads') > reads)
      assert.equal(await engine.end(), 0, engine.stderr)
      assert.equal((await client.answer()).body.toString(), 'late')
      for (const other of others) assert.equal((await other.send(get('/hello')).answer()).status, 502)
      const next = await startEngine(kind, 100, settings)
      context.after(() => next.kill())
      for (let round = 0; round < 10; round++) await askAll([client, ...others], round)
    })
  })
}
