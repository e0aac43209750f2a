import assert from 'node:assert/strict'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { NppError } from '../../shared/errors.ts'
import { ENGINE_TRANSPORTS } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { localEngine, type LocalEngine, type LocalOptions } from '../support/local-engine.ts'
import { rawClient } from '../support/raw-client.ts'

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`

/** Counts what happens to sources. */
interface Watched {
  made: number
  ended: number
  reasons: unknown[]
}

async function* countTo(last: number): AsyncGenerator<string> {
  for (let number = 1; number <= last; number++) {
    await Promise.resolve()
    yield `${number},`
  }
}

function* endless(watched: Watched, piece: Uint8Array): Generator<Uint8Array> {
  try {
    for (;;) {
      watched.made++
      yield piece
    }
  } finally {
    watched.ended++
  }
}

async function* events(watched: Watched, signal: AbortSignal): AsyncGenerator<string> {
  try {
    while (!signal.aborted) {
      watched.made++
      yield `data: ${watched.made}\n\n`
      await sleep(20, undefined, { signal }).catch(() => undefined)
    }
  } finally {
    watched.ended++
    watched.reasons.push(signal.reason)
  }
}

for (const kind of ENGINE_TRANSPORTS) {
  if (kind === 'tls') continue
  const given = async (
    context: TestContext,
    options: LocalOptions = {},
  ): Promise<LocalEngine & { readonly watched: Watched; readonly readable: Readable }> => {
    const watched: Watched = { made: 0, ended: 0, reasons: [] }
    const piece = Buffer.alloc(50_000, 'p')
    const readable = Readable.from(endless(watched, piece))
    const local = await localEngine(
      context,
      kind,
      {
        '/hello': (_req, res) => res.text('Hello World!'),
        '/count': (req, res) => res.type('text/plain').stream(countTo(Number(req.query.get('to')))),
        '/late': async (_req, res) => {
          await sleep(5)
          res.stream(countTo(3))
        },
        '/mixed': (_req, res) => res.stream(['', 'grüße ', new Uint8Array(), Buffer.from('bytes '), 'x'.repeat(100_000)]),
        '/nothing': (_req, res) => res.stream([]),
        '/endless': (_req, res) => res.stream(endless(watched, piece)),
        '/readable': (_req, res) => res.stream(readable),
        '/file': (req, res) => res.stream(createReadStream(req.query.get('path') ?? '')),
        '/events': (req, res) => res.type('text/event-stream').stream(events(watched, req.signal)),
        '/empty': (_req, res) => res.status(204).stream(endless(watched, piece)),
        '/fails': (_req, res) =>
          res.stream(
            (function* () {
              yield 'begun'
              throw new Error('secret of the source')
            })(),
          ),
        // @ts-expect-error: a site in JavaScript may say anything.
        '/wrong': (_req, res) => res.stream(['begun', 42]),
        // @ts-expect-error: as above.
        '/no-source': (_req, res) => res.stream(42),
        '/written': (_req, res) => res.write('x').stream(['y']),
        '/twice': (_req, res) => {
          res.stream(['once'])
          res.text('again')
        },
      },
      options,
    )
    return { ...local, watched, readable }
  }

  describe(`a stream on ${kind}`, () => {
    it('comes in chunks, and the connection goes on behind it (RFC 9112 §7.1)', async (context) => {
      const { http } = await given(context)
      const client = await rawClient(context, http)
      client.send(get('/count?to=3') + get('/late') + get('/hello') + get('/nothing') + get('/mixed') + get('/hello'))
      const first = await client.answer()
      assert.deepEqual(
        [first.status, first.fields.get('transfer-encoding'), first.fields.get('content-length'), first.fields.get('content-type')],
        [200, 'chunked', undefined, 'text/plain'],
      )
      assert.equal(first.body.toString(), '1,2,3,')
      assert.equal((await client.answer()).body.toString(), '1,2,3,')
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
      assert.equal((await client.answer()).body.byteLength, 0)
      assert.equal((await client.answer()).body.toString(), `grüße bytes ${'x'.repeat(100_000)}`)
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
    })

    it('lasts up to the end of the connection on HTTP/1.0, which knows no chunks (RFC 9112 §6.1)', async (context) => {
      const { http } = await given(context)
      const client = await rawClient(context, http)
      client.send('GET /count?to=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
      const [head = '', body] = (await client.rest()).split('\r\n\r\n')
      assert.match(head, /\r\nConnection: close\r\n/)
      assert.doesNotMatch(head, /Transfer-Encoding|Content-Length/)
      assert.equal(body, '1,2,3,')
    })

    it('is not begun for HEAD and 204, which have no body', async (context) => {
      const { http, watched, readable } = await given(context)
      const client = await rawClient(context, http)
      const head = (path: string): string => get(path).replace('GET', 'HEAD')
      client.send(head('/endless') + head('/readable') + get('/empty') + get('/hello'))
      assert.equal((await client.answer(true)).fields.get('transfer-encoding'), 'chunked')
      assert.equal((await client.answer(true)).status, 200)
      const empty = await client.answer()
      assert.deepEqual([empty.status, empty.fields.get('transfer-encoding')], [204, undefined])
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
      assert.equal(watched.made, 0)
      assert.equal(readable.destroyed, true)
    })

    it('asks for no more than the client takes, keeps nobody waiting, and ends with its client', async (context) => {
      const { http, watched } = await given(context)
      const client = await rawClient(context, http)
      client.socket.pause()
      client.send(get('/endless'))
      let before = -1
      await eventually('it stands still', async () => {
        const same = watched.made === before && watched.made > 0
        before = watched.made
        await sleep(50)
        return same
      })
      // What the kernel takes for a client that does not read, and a few pieces.
      assert.ok(watched.made * 50_000 < 32 * 1024 * 1024)
      client.socket.on('data', () => undefined).resume()
      await eventually('it goes on', () => watched.made > before + 100)
      const other = await rawClient(context, http)
      for (let round = 0; round < 20; round++) assert.equal((await other.send(get('/hello')).answer()).status, 200)
      client.socket.destroy()
      await eventually('the source is told', () => watched.ended === 1)
    })

    it('ends a Readable of Node with its client, though that waits for more', async (context) => {
      const never = new Readable({ read: () => undefined })
      never.push('first')
      const local = await localEngine(context, kind, { '/never': (_req, res) => res.stream(never) })
      const client = await rawClient(context, local.http)
      client.send(get('/never'))
      await eventually('it has begun', () => client.unread.includes('first'))
      // A reset: of a client that only ends its side nobody knows whether it still reads, until something is written.
      client.socket.resetAndDestroy()
      await eventually('it is destroyed', () => never.destroyed)
    })

    it('tells a waiting source by req.signal that the client is gone, whatever its state', async (context) => {
      const { http, watched, transport } = await given(context)
      const clients = await Promise.all([rawClient(context, http), rawClient(context, http)])
      for (const client of clients) client.send(get('/events'))
      await eventually('events come', () => clients.every((client) => client.chunks.length > 3))
      for (const client of clients) client.socket.destroy()
      await eventually('all have ended', () => watched.ended === 2 && transport.connections === 0)
      assert.ok(watched.reasons.every((reason) => reason instanceof NppError && reason.code === 'NPP_CLIENT_GONE'))
    })

    it('asks streams to end when npp stops, and lets them', async (context) => {
      const { http, watched, engine } = await given(context)
      const client = await rawClient(context, http)
      client.send(get('/events'))
      await eventually('events come', () => client.chunks.length > 3)
      await engine.drain()
      assert.match(await client.rest(), /\r\n0\r\n\r\n$/)
      assert.ok(watched.reasons[0] instanceof NppError && watched.reasons[0].code === 'NPP_STOPPING')
    })

    for (const path of ['/fails', '/wrong']) {
      it(`that ${path.slice(1)} is cut off, so that nobody takes the part for the whole, and logged`, async (context) => {
        const { http, log } = await given(context)
        const client = await rawClient(context, http)
        client.send(get(path))
        const text = await client.rest()
        assert.match(text, /\r\n5\r\nbegun\r\n/)
        assert.doesNotMatch(text, /\r\n0\r\n\r\n|secret/)
        assert.equal(log.lines.filter(({ message }) => message.startsWith('a stream failed: ')).length, 1)
      })
    }

    it('of what is no source, or beside res.write, is a fault of the handler', async (context) => {
      const { http } = await given(context)
      const client = await rawClient(context, http)
      for (const path of ['/no-source', '/written']) assert.equal((await client.send(get(path)).answer()).status, 500)
      assert.equal((await client.send(get('/twice')).answer()).body.toString(), 'once')
    })

    it('cuts off a client that does not read it', async (context) => {
      const { http, watched, transport } = await given(context, { settings: { NPP_WRITE_TIMEOUT: '0.2' } })
      const client = await rawClient(context, http)
      client.socket.pause()
      client.send(get('/endless'))
      await eventually('it is cut off', () => watched.ended === 1 && transport.connections === 0)
    })

    it('lasts longer than any timeout while its source has nothing to say', async (context) => {
      const settings = { NPP_WRITE_TIMEOUT: '0.05', NPP_HANDLER_TIMEOUT: '0.05', NPP_KEEP_ALIVE_TIMEOUT: '0.05' }
      const local = await localEngine(
        context,
        kind,
        {
          '/pause': (_req, res) =>
            res.stream(
              (async function* () {
                yield 'a'
                await sleep(400)
                yield 'b'
              })(),
            ),
        },
        { settings },
      )
      const client = await rawClient(context, local.http)
      assert.equal((await client.send(get('/pause')).answer()).body.toString(), 'ab')
    })

    it('is the same bytes after a long way, in chunks over plain and TLS', async (context) => {
      const folder = mkdtempSync(join(tmpdir(), 'npp-'))
      context.after(() => rmSync(folder, { recursive: true, force: true }))
      const bytes = Buffer.alloc(5_000_000)
      for (let at = 0; at < bytes.byteLength; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff
      writeFileSync(join(folder, 'bytes'), bytes)
      const { http } = await given(context)
      const path = `/file?path=${encodeURIComponent(join(folder, 'bytes'))}`
      const answer = await (await rawClient(context, http)).send(get(path)).answer()
      assert.ok(answer.body.equals(bytes))
      const fetched = await fetch(`http://127.0.0.1:${http}${path}`)
      assert.ok(Buffer.from(await fetched.arrayBuffer()).equals(bytes))
    })
  })
}
