import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HandlerTarget } from '../../app/route/router.ts'
import { Limits } from '../../shared/limits.ts'
import { ENGINE_TRANSPORTS } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { localEngine, type LocalEngine, type LocalOptions } from '../support/local-engine.ts'
import { rawClient } from '../support/raw-client.ts'

const HELLO = 'GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'
const post = (path: string, lines: string): string => `POST ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const EXPECT = 'Expect: 100-continue\r\n'

for (const kind of ENGINE_TRANSPORTS) {
  if (kind === 'tls') continue
  const given = (context: TestContext, options: LocalOptions = {}): Promise<LocalEngine> =>
    localEngine(
      context,
      kind,
      {
        '/hello': (_req, res) => res.text('Hello World!'),
        'POST /small': (req, res) => res.text(`small ${req.body.byteLength}`),
        'POST /large': (req, res) => res.text(`large ${req.body.byteLength}`),
        'POST /usual': (req, res) => res.text(`usual ${req.body.byteLength}`),
      },
      { ...options, bodyLimits: { 'POST /small': 10, 'POST /large': 3_000_000 } },
    )

  describe(`a body that nobody wants, on ${kind}`, () => {
    const refused: readonly (readonly [string, string, number])[] = [
      ['no route takes it', '/none', 404],
      ['the route takes no such method', '/hello', 405],
      ["it is over the route's limit", '/small', 413],
    ]
    for (const [rule, path, status] of refused) {
      it(`is read and dropped after the answer, where ${rule}: ${status}`, async (context) => {
        const client = await rawClient(context, (await given(context)).http)
        client.send(post(path, 'Content-Length: 20\r\n'))
        const answer = await client.answer()
        assert.deepEqual([answer.status, answer.fields.get('connection')], [status, undefined])
        client.send(`${'x'.repeat(20)}${HELLO}`)
        assert.equal((await client.answer()).body.toString(), 'Hello World!')
        // In one segment with its body, and the next behind it.
        client.send(`${post(path, 'Content-Length: 20\r\n')}${'GET /none '.repeat(2)}${HELLO}`)
        assert.equal((await client.answer()).status, status)
        assert.equal((await client.answer()).body.toString(), 'Hello World!')
      })

      it(`is answered before it comes, and instead of 100, where ${rule}`, async (context) => {
        const client = await rawClient(context, (await given(context)).http)
        const answer = await client.send(post(path, `${EXPECT}Content-Length: 20\r\n`)).answer()
        assert.deepEqual([answer.status, answer.fields.get('connection')], [status, 'close'])
        assert.equal(await client.send('x'.repeat(20) + HELLO).rest(), '')
      })

      it(`closes the connection when it is too long to be read for nothing, where ${rule}`, async (context) => {
        const client = await rawClient(context, (await given(context)).http)
        const answer = await client.send(post(path, `Content-Length: ${Limits.discardedBytes + 1}\r\n`)).answer()
        assert.deepEqual([answer.status, answer.fields.get('connection')], [status, 'close'])
        assert.equal(await client.rest(), '')
      })
    }

    const pages: readonly (readonly [string, HandlerTarget['handle']])[] = [
      ['large', (_req, res) => res.html('p'.repeat(12_000_000))],
      ['streamed', (_req, res) => res.stream(['one ', 'two'])],
      [
        'late',
        async (_req, res) => {
          await sleep(20)
          res.html('late')
        },
      ],
    ]
    for (const [way, notFound] of pages) {
      it(`is never taken for requests, where the site's page for 404 is ${way}`, async (context) => {
        const client = await rawClient(context, (await given(context, { notFound })).http)
        client.socket.pause()
        client.send(post('/none', `Content-Length: ${HELLO.length * 2}\r\n`))
        await sleep(50)
        client.send(HELLO)
        client.socket.resume()
        assert.equal((await client.answer()).status, 404)
        client.send(HELLO)
        assert.doesNotMatch(await client.rest(), /Hello World/)
      })
    }

    it('is dropped chunk by chunk, up to the bound', async (context) => {
      const client = await rawClient(context, (await given(context)).http)
      client.send(post('/none', 'Transfer-Encoding: chunked\r\n'))
      assert.equal((await client.answer()).status, 404)
      for (const part of ['5;e=x\r\nhel', 'lo\r\n', '0\r\nTrailer: x\r\n', `\r\n${HELLO}`]) {
        client.send(part)
        await new Promise((resolve) => {
          setTimeout(resolve, 5)
        })
      }
      assert.equal((await client.answer()).body.toString(), 'Hello World!')
      client.send(post('/none', 'Transfer-Encoding: chunked\r\n'))
      assert.equal((await client.answer()).status, 404)
      client.send(`${(Limits.discardedBytes + 1).toString(16)}\r\n${HELLO}`)
      assert.equal(await client.rest(), '', 'nothing more is said: the request was answered')
    })

    it('ends the connection when it does not come, without a second answer', async (context) => {
      const { http, transport } = await given(context, { settings: { NPP_BODY_TIMEOUT: '0.1' } })
      const client = await rawClient(context, http)
      client.send(post('/none', 'Content-Length: 20\r\n'))
      assert.equal((await client.answer()).status, 404)
      assert.equal(await client.rest(), '')
      client.socket.end()
      await eventually('it is gone', () => transport.connections === 0)
    })
  })

  describe(`the limit of a route, on ${kind}`, () => {
    it('counts instead of the common one, in both directions', async (context) => {
      const client = await rawClient(context, (await given(context)).http)
      const send = async (path: string, bytes: number, isChunked: boolean): Promise<string> => {
        const body = 'x'.repeat(bytes)
        const head = isChunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${bytes}\r\n`
        client.send(post(path, head) + (isChunked ? `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body))
        const answer = await client.answer()
        return answer.status === 200 ? answer.body.toString() : String(answer.status)
      }
      assert.equal(await send('/small', 10, false), 'small 10')
      assert.equal(await send('/small', 10, true), 'small 10')
      assert.equal(await send('/small', 11, false), '413')
      assert.equal(await send('/large', 3_000_000, false), 'large 3000000')
      assert.equal(await send('/large', 3_000_000, true), 'large 3000000')
      assert.equal(await send('/usual', 1_048_576, true), 'usual 1048576')
      // A chunked body says its size too late for the connection to go on.
      assert.equal(await send('/small', 11, true), '413')
      assert.equal(await client.rest(), '')
    })

    it('lets a client send on where it expects 100 Continue', async (context) => {
      const client = await rawClient(context, (await given(context)).http)
      client.send(post('/large', `${EXPECT}Content-Length: 2000000\r\n`))
      assert.equal((await client.answer()).status, 100)
      assert.equal((await client.send('x'.repeat(2_000_000)).answer()).body.toString(), 'large 2000000')
    })
  })
}
