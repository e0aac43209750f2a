import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { Router, type HandlerTarget } from '../../app/route/router.ts'
import { bareEngine } from '../support/bare-engine.ts'
import { eventually } from '../support/eventually.ts'
import { client, POLLERS } from '../support/transport-host.ts'

type Routes = Readonly<Record<string, HandlerTarget['handle']>>

/** An engine on the native transport in this process, whose memory its answers are made in; the port that it listens on. */
async function engineWith(context: TestContext, polling: 'epoll' | 'poll' | 'select', routes: Routes): Promise<number> {
  const router = new Router()
  for (const [path, handle] of Object.entries(routes)) for (const method of ['GET', 'POST'] as const) router.add(method, path, { handle })
  const { engine } = bareEngine(context, router)
  const transport = new NativeTransport(engine, { polling, maxConnections: 100, refusal: Buffer.from('no'), maxBuffered: 1024 * 1024 })
  engine.attach(transport)
  context.after(() => transport.close())
  return (await transport.listen({ host: '127.0.0.1', port: 0 })).port
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
}

/** The bodies of the answers, which are all text without an empty line. */
function bodiesOf(text: string): string[] {
  return text.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\n/).slice(1)
}

for (const polling of POLLERS) {
  describe(`engine on ${polling}`, () => {
    it('keeps answers of one client apart from those that its requests set free for others', async (context) => {
      const waiting: (() => void)[] = []
      const port = await engineWith(context, polling, {
        '/hello': (_req, res) => res.text('hello'),
        '/wait': (_req, res) => void waiting.push(() => res.text(`waited ${'w'.repeat(500)}`)),
        '/release': (_req, res) => {
          for (const release of waiting.splice(0)) release()
          res.text('released')
        },
      })
      const waiters = [await client(context, { port }), await client(context, { port })]
      for (const one of waiters) one.socket.write(get('/wait') + get('/hello'))
      await eventually('both wait', () => waiting.length === 2)
      const other = await client(context, { port })
      other.socket.write([get('/hello'), get('/hello'), get('/release'), get('/hello')].join(''))
      await eventually(
        'all is answered',
        () => bodiesOf(other.text).length === 4 && waiters.every((one) => bodiesOf(one.text).length === 2),
      )
      assert.deepEqual(bodiesOf(other.text), ['hello', 'hello', 'released', 'hello'])
      for (const one of waiters) assert.deepEqual(bodiesOf(one.text), [`waited ${'w'.repeat(500)}`, 'hello'])
    })

    it('answers more than its memory holds in one turn, in order', async (context) => {
      const body = 'x'.repeat(30_000)
      let count = 0
      const port = await engineWith(context, polling, { '/big': (_req, res) => res.text(`${count++} ${body}`) })
      const one = await client(context, { port })
      one.socket.pause()
      one.socket.write(get('/big').repeat(300))
      await eventually('the client’s reading is awaited', () => count > 20)
      one.socket.resume()
      await eventually('all has come', () => bodiesOf(one.text).length === 300 && one.text.endsWith('x'), 30_000)
      await eventually('the last is whole', () => bodiesOf(one.text).at(-1)?.length === body.length + 4)
      assert.deepEqual(
        bodiesOf(one.text),
        Array.from({ length: 300 }, (_, index) => `${index} ${body}`),
      )
    })

    it('gives a handler a body that the next read does not change', async (context) => {
      const kept: Buffer[] = []
      const port = await engineWith(context, polling, {
        '/keep': (req, res) => {
          kept.push(req.body)
          res.text('kept')
        },
      })
      const one = await client(context, { port })
      for (const letter of ['a', 'b', 'c']) {
        one.socket.write(`POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n${letter.repeat(20)}`)
        const before = kept.length
        await eventually('it is kept', () => kept.length > before)
      }
      assert.deepEqual(kept.map(String), ['a'.repeat(20), 'b'.repeat(20), 'c'.repeat(20)])
    })

    it('refuses the body of a request that was answered, rather than show another client’s', async (context) => {
      let thrown: unknown
      const port = await engineWith(context, polling, {
        '/late': (req, res) => {
          res.text('answered')
          setTimeout(() => {
            try {
              thrown = req.body
            } catch (error) {
              thrown = error
            }
          }, 10)
        },
      })
      const one = await client(context, { port })
      one.socket.write('POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecret')
      await eventually('it is asked for', () => thrown !== undefined)
      assert.ok(thrown instanceof Error && 'code' in thrown && thrown.code === 'NPP_ALREADY_ANSWERED')
    })
  })
}
