import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket, WebSocketServer, type RawData } from 'ws'
import { NppError } from '../../shared/errors.ts'
import type { HandlerTarget } from '../../app/route/router.ts'
import { CERTIFICATE } from '../support/certificate.ts'
import { ENGINE_TRANSPORTS } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { localEngine, type LocalEngine, type LocalOptions } from '../support/local-engine.ts'
import { rawClient } from '../support/raw-client.ts'

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n'

/** A text frame of a client, masked with zeros (RFC 6455 §5.2). */
function frame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

/** The whole of a message that came as text. */
function textOf(data: RawData): string {
  return (data instanceof Buffer ? data : Buffer.alloc(0)).toString()
}

interface Given extends LocalEngine {
  readonly server: WebSocketServer
  /** What went wrong while taking over. */
  readonly errors: unknown[]
  /** Targets of the requests that came to the route. */
  readonly asked: string[]
}

async function given(context: TestContext, kind: 'node' | 'epoll' | 'poll' | 'select', options: LocalOptions = {}): Promise<Given> {
  const server = new WebSocketServer({ noServer: true })
  const errors: unknown[] = []
  const asked: string[] = []
  server.on('connection', (socket, request) => {
    socket.on('message', (data: RawData, isBinary) =>
      socket.send(isBinary ? data : `${request.url} said ${textOf(data)}`, { binary: isBinary }),
    )
    socket.on('error', (error) => errors.push(error))
  })
  context.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  const takeOver: HandlerTarget['handle'] = async (req, res) => {
    asked.push(req.target)
    if (req.header('upgrade')?.toLowerCase() !== 'websocket') {
      res.status(426).header('Upgrade-Insecure', '0').text('This is for WebSocket.\n')
      return
    }
    if (req.query.has('late')) await sleep(20)
    try {
      const { request, socket, head } = await res.detach()
      server.handleUpgrade(request, socket, head, (client) => server.emit('connection', client, request))
    } catch (error) {
      errors.push(error)
    }
  }
  const local = await localEngine(
    context,
    kind,
    {
      '/hello': (_req, res) => res.text('Hello World!'),
      '/slow': (_req, res) => void setTimeout(() => res.text('slow'), 20),
      '/big': (_req, res) => res.text('b'.repeat(8_000_000)),
      '/chat': takeOver,
      '/fields': async (_req, res) => {
        const { request, socket } = await res.detach()
        socket.end(JSON.stringify({ method: request.method, url: request.url, version: request.httpVersion, headers: request.headers }))
      },
      '/twice': async (_req, res) => {
        const { socket } = await res.detach()
        assert.equal(res.answered, true)
        assert.throws(() => res.text('no'), { code: 'NPP_ALREADY_ANSWERED' })
        socket.end('taken')
      },
    },
    options,
  )
  return { ...local, server, errors, asked }
}

for (const kind of ENGINE_TRANSPORTS) {
  if (kind === 'tls') continue

  describe(`a connection taken over on ${kind}`, () => {
    for (const scheme of ['ws', 'wss'] as const) {
      it(`serves WebSocket with the library ws: ${scheme}`, async (context) => {
        const local = await given(context, kind)
        const port = scheme === 'ws' ? local.http : local.https
        const open = async (path: string): Promise<WebSocket> => {
          const socket = new WebSocket(`${scheme}://localhost:${port}${path}`, { ca: CERTIFICATE, family: 4 })
          context.after(() => socket.terminate())
          await once(socket, 'open')
          return socket
        }
        const sockets = await Promise.all(['/chat?a', '/chat?late'].map(open))
        for (const [index, socket] of sockets.entries()) {
          const said = once(socket, 'message')
          socket.send('hello')
          assert.equal(String((await said)[0]), `${index === 0 ? '/chat?a' : '/chat?late'} said hello`)
          const large = Buffer.alloc(1_000_000, index + 1)
          const echoed = once(socket, 'message')
          socket.send(large)
          assert.ok(large.equals((await echoed)[0]))
          const pong = once(socket, 'pong')
          socket.ping('p')
          assert.equal(String((await pong)[0]), 'p')
          const closed = once(socket, 'close')
          socket.close(4000, 'done')
          assert.equal((await closed)[0], 4000)
        }
        await eventually('the slots are free', () => local.transport.connections === 0)
        assert.deepEqual(local.errors, [])
      })
    }

    it('has what came behind the request, and what was asked before it is answered first', async (context) => {
      const local = await given(context, kind)
      const client = await rawClient(context, local.http)
      client.send(Buffer.concat([Buffer.from(get('/hello') + get('/slow') + get('/chat', UPGRADE)), frame('at once')]))
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
      assert.equal((await client.answer()).body.toString(), 'slow')
      await eventually('the frame is answered', () => client.unread.endsWith('/chat said at once'))
      assert.match(client.unread, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
    })

    it('waits until a large answer before it has left', async (context) => {
      const local = await given(context, kind)
      const client = await rawClient(context, local.http)
      client.socket.pause()
      client.send(get('/big') + get('/twice'))
      await sleep(50)
      client.socket.resume()
      assert.equal((await client.answer()).body.byteLength, 8_000_000)
      assert.equal(await client.rest(), 'taken')
    })

    it('has the request as Node would tell it', async (context) => {
      const local = await given(context, kind)
      const client = await rawClient(context, local.http)
      client.send(get('/fields?x=1', 'X-One: 1\r\nx-one: 2\r\nCookie: a=1\r\nCookie: b=2\r\n'))
      assert.deepEqual(JSON.parse(await client.rest()), {
        method: 'GET',
        url: '/fields?x=1',
        version: '1.1',
        headers: { host: 'a', 'x-one': '1, 2', cookie: 'a=1; b=2' },
      })
    })

    it("is under none of npp's deadlines, and npp does not wait for it when it stops", async (context) => {
      const settings = { NPP_KEEP_ALIVE_TIMEOUT: '0.05', NPP_HANDLER_TIMEOUT: '0.05', NPP_DRAIN_TIMEOUT: '10' }
      const local = await given(context, kind, { settings })
      const client = await rawClient(context, local.http)
      client.send(get('/chat', UPGRADE))
      await eventually('it is taken over', () => client.unread.includes('\r\n\r\n'))
      await sleep(300)
      client.send(frame('still'))
      await eventually('it lives', () => client.unread.endsWith('said still'))
      await local.engine.drain()
      client.send(frame('after'))
      await eventually('it lives on', () => client.unread.endsWith('said after'))
    })

    it('is refused with NPP_CLIENT_GONE when the client has left', async (context) => {
      const local = await given(context, kind)
      const client = await rawClient(context, local.http)
      client.send(get('/chat?late', UPGRADE))
      await eventually('it is asked', () => local.asked.length === 1)
      client.socket.resetAndDestroy()
      await eventually('it is told', () => local.errors.length === 1)
      const [error] = local.errors
      assert.ok(error instanceof NppError && error.code === 'NPP_CLIENT_GONE')
    })

    it('stays as it is where the route does not take it over: Upgrade is ignored (RFC 9110 §7.8)', async (context) => {
      const local = await given(context, kind)
      const client = await rawClient(context, local.http)
      client.send(get('/hello', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n') + get('/chat'))
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
      assert.equal((await client.answer()).status, 426)
    })
  })
}
