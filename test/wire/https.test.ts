import assert from 'node:assert/strict'
import { connect as connectPlain } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { CERTIFICATE } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { localEngine } from '../support/local-engine.ts'

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
}

interface Reader {
  send(text: string): void
  readonly text: () => string
  readonly over: () => boolean
}

/** A client of either port. */
function reader(context: TestContext, port: number, isSecure: boolean): Reader {
  const socket = isSecure ? secure(port) : connectPlain({ port, host: '127.0.0.1' })
  context.after(() => socket.destroy())
  let text = ''
  let over = false
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
  })
  socket.on('error', () => socket.destroy()).on('close', () => (over = true))
  return { send: (words) => void socket.write(words), text: () => text, over: () => over }
}

function secure(port: number, options: ConnectionOptions = {}): TLSSocket {
  return connect({ port, host: '127.0.0.1', ca: CERTIFICATE, servername: 'localhost', ...options })
}

function lastOf(path: string): string {
  return path.split('/').at(-1) ?? ''
}

function bodiesOf(text: string): string[] {
  return text.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\n/).slice(1)
}

for (const plain of ['node', 'epoll'] as const) {
  describe(`an engine on ${plain} and TLS`, () => {
    it('knows which client came by TLS', async (context) => {
      const given = await localEngine(context, plain, { '/who': (req, res) => res.cookie('c', 'v').text(req.protocol) })
      const clients = [reader(context, given.http, false), reader(context, given.https, true)] as const
      for (let round = 1; round <= 3; round++) {
        for (const one of clients) one.send(get('/who'))
        await eventually('both are answered', () =>
          clients.every((one) => bodiesOf(one.text()).length === round && /https?$/.test(one.text())),
        )
      }
      const [http, https] = clients.map((one) => one.text())
      assert.deepEqual(bodiesOf(http ?? ''), ['http', 'http', 'http'])
      assert.doesNotMatch(http ?? '', /Strict-Transport|Secure/)
      assert.deepEqual(bodiesOf(https ?? ''), ['https', 'https', 'https'])
      assert.equal(https?.match(/Strict-Transport-Security: max-age=31536000\r\n/g)?.length, 3)
      assert.equal(https?.match(/Set-Cookie: c=v; Path=\/; HttpOnly; Secure; SameSite=Lax\r\n/g)?.length, 3)
    })

    it('answers on both, to each client its own', async (context) => {
      const given = await localEngine(context, plain, {
        '/now/*': (req, res) => res.text(`${lastOf(req.path)} ${'n'.repeat(300)}`),
        '/later/*': (req, res) => {
          const name = lastOf(req.path)
          setTimeout(() => res.text(`${name} ${'l'.repeat(300)}`), 5)
        },
        '/tick/*': async (req, res) => {
          const name = lastOf(req.path)
          await Promise.resolve()
          res.text(`${name} ${'t'.repeat(300)}`)
        },
      })
      const clients = Array.from({ length: 10 }, (_, index) => reader(context, index % 2 === 0 ? given.http : given.https, index % 2 === 1))
      const ways = ['now', 'tick', 'later', 'now', 'now', 'tick'] as const
      for (let round = 0; round < 10; round++) {
        for (const [index, one] of clients.entries()) one.send(ways.map((way, at) => get(`/${way}/c${index}-${round}-${at}`)).join(''))
      }
      await eventually('all is answered', () => clients.every((one) => bodiesOf(one.text()).length === 60 && one.text().endsWith('ttt')))
      for (const [index, one] of clients.entries()) {
        const expected = Array.from({ length: 60 }, (_, at) => {
          const way = ways[at % 6] ?? 'now'
          return `c${index}-${Math.floor(at / 6)}-${at % 6} ${way.charAt(0).repeat(300)}`
        })
        assert.deepEqual(bodiesOf(one.text()), expected)
      }
      assert.equal(given.transport.connections, 10)
    })

    it('sends large answers to slow readers, and gives slots back', async (context) => {
      const body = 'x'.repeat(300_000)
      const given = await localEngine(context, plain, {
        '/big': (_req, res) => res.text(body),
        '/middle': (_req, res) => res.text(body.slice(0, 30_000)),
      })
      for (let round = 0; round < 3; round++) {
        const sockets = [secure(given.https), secure(given.https)]
        const texts = ['', '']
        for (const [index, socket] of sockets.entries()) {
          context.after(() => socket.destroy())
          socket.on('error', () => socket.destroy())
          socket.write(get('/middle').repeat(40) + get('/big'))
          socket.setEncoding('latin1').on('data', (part: string) => {
            texts[index] += part
            socket.pause()
            setImmediate(() => socket.resume())
          })
        }
        await eventually('all has come', () => texts.every((text) => bodiesOf(text)[40]?.length === body.length))
        for (const text of texts) {
          const lengths = bodiesOf(text).map((each) => each.length)
          assert.deepEqual(lengths, [...Array.from({ length: 40 }, () => 30_000), 300_000])
        }
        for (const socket of sockets) socket.destroy()
        await eventually('both are gone', () => given.transport.connections === 0)
      }
    })
  })
}

describe('TLS', () => {
  it('is http/1.1 by TLS 1.2 or newer, with the certificate that it was given', async (context) => {
    const given = await localEngine(context, 'node', { '/': (_req, res) => res.text('hello') })
    const shaken = async (options: ConnectionOptions): Promise<TLSSocket | string> => {
      const socket = secure(given.https, options)
      context.after(() => socket.destroy())
      let reason = ''
      let isReady = false
      socket
        .on('secureConnect', () => (isReady = true))
        .on('error', (error) => (reason = 'code' in error ? String(error.code) : error.message))
      await eventually('the handshake is over', () => isReady || reason !== '')
      return isReady ? socket : reason
    }
    const good = await shaken({ ALPNProtocols: ['h2', 'http/1.1'] })
    assert.ok(typeof good === 'object')
    assert.equal(good.alpnProtocol, 'http/1.1')
    assert.equal(good.authorized, true)
    assert.ok(typeof (await shaken({ maxVersion: 'TLSv1.2' })) === 'object')
    assert.equal(typeof (await shaken({ ALPNProtocols: ['h2'] })), 'string')
    assert.equal(typeof (await shaken({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })), 'string')
    await eventually('both failures are told', () => given.failures.length >= 1)
  })

  it('holds no slot for a client that is silent or speaks something else, and lets it go', async (context) => {
    const given = await localEngine(context, 'node', { '/': (_req, res) => res.text('hello') })
    const silent = reader(context, given.https, false)
    const plain = reader(context, given.https, false)
    plain.send(get('/'))
    await eventually('both are let go', () => silent.over() && plain.over())
    assert.equal(given.transport.connections, 0)
    assert.equal(given.failures.length, 2)
    const next = reader(context, given.https, true)
    next.send(get('/'))
    await eventually('the next is served', () => bodiesOf(next.text()).join('') === 'hello')
  })

  it('cuts off handshakes when it listens no more', async (context) => {
    const given = await localEngine(context, 'node', {}, { handshakeTimeout: 60_000 })
    const silent = reader(context, given.https, false)
    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
    given.transport.stopListening()
    await eventually('it is over', () => silent.over())
  })
})
