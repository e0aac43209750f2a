import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { connect as connectSecure } from 'node:tls'
import type { Route } from '../../app/api.ts'
import { routeList } from '../../app/route/route-list.ts'
import { Router } from '../../app/route/router.ts'
import { Limits } from '../../shared/limits.ts'
import { bareEngine } from '../support/bare-engine.ts'
import { CERTIFICATE } from '../support/certificate.ts'
import { ENGINE_TRANSPORTS } from '../support/engine-process.ts'
import { RawClient } from '../support/raw-client.ts'
import type { RecordedLog } from '../support/recorded-log.ts'
import { folder, makeTransport, type TransportKind } from '../support/transport-host.ts'

interface Given {
  readonly log: RecordedLog
  readonly connect: () => Promise<RawClient>
}

const LARGE = Limits.fileReadBytes + 1

function define(route: Route): void {
  route.get('/hello', (req, res) => res.text('Hello World!'))
  route.get('/who', (req, res) => res.cookie('c', 'v').json({ ip: req.ip, protocol: req.protocol, host: req.host }))
  route.get('/late-who', async (req, res) => {
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
    res.cookie('c', 'v').json({ ip: req.ip, protocol: req.protocol, host: req.host })
  })
  route.get('/none-cookie', (req, res) => res.cookie('c', 'v', { sameSite: 'None' }).text(''))
  route.get('/status/:code', (req, res) => res.status(Number(req.params.code)).text('body'))
  route.get('/bytes/:code', (req, res) => res.status(Number(req.params.code)).send(Buffer.alloc(100_000)))
  route.get('/file/:code', (req, res) => res.status(Number(req.params.code)).sendFile(req.query.get('path') ?? ''))
  route.get('/frame', (req, res) => res.header('X-Frame-Options', 'DENY').text(''))
  route.get('/throws', () => {
    throw new Error('secret')
  })
  route.get('/late', () => undefined)
  route.post('/post', (req, res) => res.send(req.body), { maxBodyBytes: 3 })
}

/** An engine in this process, with further routes, on a Unix socket where `unix` is set. */
async function given(
  context: TestContext,
  kind: TransportKind,
  settings: Readonly<Record<string, string>> = {},
  more: (route: Route) => void = () => undefined,
  unix = false,
): Promise<Given> {
  const router = new Router()
  const list = routeList(router)
  define(list.route)
  more(list.route)
  list.finish()
  const { engine, log } = bareEngine(context, router, { settings: { ...(kind === 'tls' ? { NPP_HTTPS_PORT: '0' } : {}), ...settings } })
  const transport = makeTransport(kind, engine, { maxConnections: 100 })
  engine.attach(transport)
  const sockets: Socket[] = []
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    transport.close()
  })
  const path = unix ? join(folder(context), 'npp.sock') : ''
  const { port } = unix ? await transport.listenUnix(path, 0o600) : await transport.listen({ host: '127.0.0.1', port: 0 })
  const connect = async (): Promise<RawClient> => {
    const isSecure = kind === 'tls'
    const socket = unix
      ? connectPlain({ path })
      : isSecure
        ? connectSecure({ port, host: '127.0.0.1', ca: CERTIFICATE, servername: 'localhost' })
        : connectPlain({ port, host: '127.0.0.1' })
    sockets.push(socket)
    await once(socket, isSecure ? 'secureConnect' : 'connect')
    return new RawClient(socket)
  }
  return { log, connect }
}

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const head = (path: string): string => get(path).replace('GET', 'HEAD')

const NOSNIFF = 'x-content-type-options'
const FRAME = 'x-frame-options'
const HSTS = 'strict-transport-security'

for (const kind of [...ENGINE_TRANSPORTS, 'tls'] as const) {
  const isSecure = kind === 'tls'
  const protocol = isSecure ? 'https' : 'http'

  describe(`answers on ${kind}`, () => {
    it('have the security fields, whatever they are', async (context) => {
      const { connect } = await given(context, kind)
      const path = join(folder(context), 'large')
      writeFileSync(path, Buffer.alloc(LARGE))
      const paths = [
        '/hello',
        '/hello',
        '/none',
        '/throws',
        '/status/201',
        '/status/204',
        '/status/304',
        `/file/200?path=${path}`,
        '/bytes/200',
      ]
      const client = await connect()
      for (const one of [...paths.map((each) => get(each)), 'PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n', 'BAD\r\n']) {
        const answer = await client.send(one).answer(/304/.test(one))
        const { fields } = answer
        assert.deepEqual([fields.get(NOSNIFF), fields.get(FRAME)], ['nosniff', 'SAMEORIGIN'], one)
        assert.equal(fields.get(HSTS), isSecure ? 'max-age=31536000' : undefined, one)
        assert.equal(answer.head.match(/x-frame-options/gi)?.length, 1)
      }
      assert.equal(await client.rest(), '')
    })

    it('have the fields of the handler instead', async (context) => {
      const { connect } = await given(context, kind, { NPP_FRAME_OPTIONS: 'SAMEORIGIN' })
      const client = await connect()
      for (const [path, expected] of [
        ['/frame', 'DENY'],
        ['/hello', 'SAMEORIGIN'],
      ] as const) {
        const answer = await client.send(get(path)).answer()
        assert.deepEqual(answer.head.match(/x-frame-options.*/gi), [`X-Frame-Options: ${expected}`])
      }
    })

    it('have those that the configuration says', async (context) => {
      const { connect } = await given(context, kind, {
        NPP_NOSNIFF: '0',
        NPP_FRAME_OPTIONS: 'none',
        NPP_HSTS_MAX_AGE: '5',
        NPP_HSTS_INCLUDE_SUB_DOMAINS: '1',
        NPP_CONTENT_SECURITY_POLICY: "default-src 'self'",
        NPP_REFERRER_POLICY: 'no-referrer',
      })
      const { fields } = await (await connect()).send(get('/hello')).answer()
      assert.deepEqual(
        [NOSNIFF, FRAME, HSTS, 'content-security-policy', 'referrer-policy'].map((name) => fields.get(name)),
        [undefined, undefined, isSecure ? 'max-age=5; includeSubDomains' : undefined, "default-src 'self'", 'no-referrer'],
      )
    })

    for (const path of ['/who', '/late-who']) {
      it(`know how the client came: ${path}`, async (context) => {
        const { connect, log } = await given(context, kind)
        const client = await connect()
        const answer = await client
          .send(get(path, 'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n'))
          .answer()
        assert.deepEqual(JSON.parse(answer.body.toString()), { ip: '127.0.0.1', protocol, host: 'a' })
        assert.equal(answer.fields.get('set-cookie'), `c=v; Path=/; HttpOnly; ${isSecure ? 'Secure; ' : ''}SameSite=Lax`)
        assert.match(log.raw[0] ?? '', /"ip":"127\.0\.0\.1","msg"/)
      })

      it(`believe a trusted proxy: ${path}`, async (context) => {
        const { connect, log } = await given(context, kind, { NPP_TRUSTED_PROXIES: '127.0.0.0/8' })
        const client = await connect()
        for (const [said, other] of [
          ['https', 'http'],
          ['http', 'https'],
          ['https', 'http'],
        ] as const) {
          const lines = `X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nX-Forwarded-Proto: ${other}, ${said}\r\nX-Forwarded-Host: b\r\nForwarded: for=7.7.7.7\r\n`
          const answer = await client.send(get(path, lines)).answer()
          assert.deepEqual(JSON.parse(answer.body.toString()), { ip: '1.1.1.1', protocol: said, host: 'b' })
          assert.equal(answer.fields.get('set-cookie'), `c=v; Path=/; HttpOnly; ${said === 'https' ? 'Secure; ' : ''}SameSite=Lax`)
          assert.equal(answer.fields.has(HSTS), said === 'https')
          assert.match(log.raw.pop() ?? '', /"ip":"1\.1\.1\.1","msg"/)
        }
        // Nothing of it is left for the next request.
        const bare = await client.send(get(path)).answer()
        assert.deepEqual(JSON.parse(bare.body.toString()), { ip: '127.0.0.1', protocol, host: 'a' })
        assert.equal(bare.fields.has(HSTS), isSecure)
      })
    }

    it('believe it in the words of RFC 7239, and only in those, where they are what it speaks', async (context) => {
      const { connect } = await given(context, kind, { NPP_TRUSTED_PROXIES: '127.0.0.1', NPP_PROXY_FIELDS: 'forwarded' })
      const lines = 'Forwarded: for="[2001:db8::1]:5";proto=https;host="b:1"\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\n'
      const { body } = await (await connect()).send(get('/who', lines)).answer()
      assert.deepEqual(JSON.parse(body.toString()), { ip: '2001:db8::1', protocol: 'https', host: 'b:1' })
    })

    it('refuse a cookie that browsers would drop, and set it where they would not', async (context) => {
      const { connect } = await given(context, kind)
      const answer = await (await connect()).send(get('/none-cookie')).answer()
      assert.deepEqual([answer.status, answer.fields.has('set-cookie')], isSecure ? [200, true] : [500, false])
    })

    for (const [code, length] of [
      ['204', undefined],
      ['205', '0'],
      ['304', undefined],
    ] as const) {
      it(`of status ${code} have no body, whoever gives them one`, async (context) => {
        const path = join(folder(context), 'large')
        writeFileSync(path, Buffer.alloc(LARGE))
        const { connect } = await given(context, kind)
        const client = await connect()
        for (const one of [`/status/${code}`, `/bytes/${code}`, `/file/${code}?path=${path}`]) {
          for (const request of [get(one), head(one)]) {
            const answer = await client.send(request).answer(true)
            assert.deepEqual([String(answer.status), answer.fields.get('content-length')], [code, length], request)
            assert.equal((await client.send(get('/hello')).answer()).body.toString(), 'Hello World!')
          }
        }
      })
    }

    it('to HEAD have the length that those to GET have', async (context) => {
      const path = join(folder(context), 'large')
      writeFileSync(path, Buffer.alloc(LARGE))
      const { connect } = await given(context, kind)
      const client = await connect()
      for (const one of ['/hello', '/bytes/200', `/file/200?path=${path}`, '/none', '/throws', '/status/418']) {
        const whole = await client.send(get(one)).answer()
        const none = await client.send(head(one)).answer(true)
        assert.deepEqual([none.status, none.fields.get('content-length')], [whole.status, String(whole.body.byteLength)], one)
      }
      assert.equal(client.unread, '')
    })

    it('of npp to errors are what the client accepts, with an id that the log has', async (context) => {
      const { connect, log } = await given(context, kind, { NPP_HANDLER_TIMEOUT: '0.05' })
      const client = await connect()
      for (const [path, status] of [
        ['/none', 404],
        ['/throws', 500],
        ['/late', 504],
      ] as const) {
        const json = await client.send(get(path, 'Accept: application/json\r\n')).answer()
        assert.deepEqual(
          [json.status, json.fields.get('content-type'), json.fields.get('vary')],
          [status, 'application/problem+json', 'Accept'],
        )
        const problem: unknown = JSON.parse(json.body.toString())
        assert.ok(typeof problem === 'object' && problem !== null && 'requestId' in problem && 'status' in problem)
        assert.equal(problem.status, status)
        const id = json.fields.get('x-request-id')
        assert.equal(problem.requestId, id)
        assert.match(log.raw.at(-1) ?? '', new RegExp(`"status":${status}.*"id":"${id}"`))
        const page = await client.send(get(path)).answer()
        assert.equal(page.fields.get('content-type'), 'text/html; charset=utf-8')
        assert.ok(page.body.includes(page.fields.get('x-request-id') ?? 'none'))
        assert.notEqual(page.fields.get('x-request-id'), id)
      }
    })

    /** [rule, what is sent, status, whether the Accept field had arrived]. */
    const refusals: readonly (readonly [string, string, number, boolean])[] = [
      ['before any field', 'BAD\r\n', 400, false],
      ['behind Accept', 'GET / HTTP/1.1\r\nAccept: application/json\r\nX : y\r\n', 400, true],
      ['a target that is none', 'GET /%ff HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n', 400, true],
      [
        'a body over the limit of its route',
        'POST /post HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 9\r\nConnection: close\r\n\r\n123456789',
        413,
        true,
      ],
      [
        'a body in chunks over it',
        'POST /post HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789',
        413,
        true,
      ],
      ['too long a target', `GET /${'x'.repeat(9000)}`, 414, false],
      ['too long a header', `GET / HTTP/1.1\r\nAccept: application/json\r\nX: ${'x'.repeat(17_000)}`, 431, true],
      ['an unknown method', 'BREW / HTTP/1.1\r\n', 501, false],
      ['another version', 'GET / HTTP/2.0\r\n', 505, false],
      ['a header that does not end', 'GET / HTTP/1.1\r\nAccept: application/json\r\nX', 408, true],
      ['a body that does not come', 'POST /post HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 3\r\n\r\n1', 408, true],
    ]
    const impatient = { NPP_HEADER_TIMEOUT: '0.1', NPP_BODY_TIMEOUT: '0.1' }
    for (const [rule, request, status, isAsked] of refusals) {
      it(`of npp to what is no request have an id and a form too: ${rule}`, async (context) => {
        const { connect, log } = await given(context, kind, impatient)
        const client = await connect()
        const answer = await client.send(request).answer()
        assert.deepEqual([answer.status, answer.fields.get('connection')], [status, 'close'])
        assert.equal(answer.fields.get('content-type'), isAsked ? 'application/problem+json' : 'text/html; charset=utf-8')
        const id = answer.fields.get('x-request-id') ?? ''
        assert.ok(id !== '' && answer.body.includes(id))
        const told = JSON.stringify(log.lines) + log.raw.join('')
        assert.ok(told.includes(`"${id}"`), told)
        assert.equal(await client.rest(), '')
      })

      it(`may be the site's own: ${rule}`, async (context) => {
        const own = (route: Route): void =>
          route.error(status, (problem, res) => res.text(`${problem.status} ${problem.accepts} ${problem.path}`))
        const { connect, log } = await given(context, kind, impatient, own)
        const answer = await (await connect()).send(request).answer()
        const path = status === 413 && request.includes('Length') ? '/post' : ''
        assert.deepEqual([answer.status, answer.body.toString()], [status, `${status} ${isAsked ? 'json' : 'html'} ${path}`])
        assert.ok(answer.fields.has('x-request-id'))
        assert.deepEqual(log.messages('error'), [])
      })
    }

    it('of npp to a HEAD that is no request have no body', async (context) => {
      const { connect } = await given(context, kind)
      for (const request of ['HEAD / HTTP/1.1\r\n\r\n', '\r\n\r\nHEAD / HTTP/1.1\r\nX : y\r\n', 'HEAD /%ff HTTP/1.1\r\nHost: a\r\n\r\n']) {
        const client = await connect()
        const answer = await client.send(request).answer(true)
        assert.equal(answer.status, 400)
        assert.ok(Number(answer.fields.get('content-length')) > 0)
        assert.equal(await client.rest(), '')
      }
    })

    it('of the site to errors keep what npp sets, and go on with the connection', async (context) => {
      const { connect, log } = await given(context, kind, {}, (route) => {
        route.error(405, (problem, res) => res.json(problem))
        route.error(404, (problem, res) => {
          res.status(200).text('hidden')
        })
        route.error(500, () => {
          throw new Error('broken page')
        })
      })
      const client = await connect()
      const refused = await client.send('PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n').answer()
      assert.deepEqual([refused.status, refused.fields.get('allow')], [405, 'GET, HEAD'])
      assert.equal(JSON.parse(refused.body.toString()).path, '/hello')
      const none = await client.send(get('/none')).answer()
      assert.equal(none.status, 404)
      assert.ok(!none.body.includes('hidden'))
      const failed = await client.send(get('/throws')).answer()
      assert.equal(failed.status, 500)
      assert.ok(!failed.body.includes('secret') && !failed.body.includes('broken'))
      assert.match(
        log.messages('error').join(),
        /page for status 404 answered with status 200.*request failed: secret.*page for status 500 failed: broken page/,
      )
      assert.equal((await client.send(get('/hello')).answer()).status, 200)
    })
  })
}

for (const kind of ENGINE_TRANSPORTS) {
  describe(`a Unix socket on ${kind}`, () => {
    for (const [trusted, ip, protocol] of [
      ['', 'unix:', 'http'],
      ['0.0.0.0/0,::/0', 'unix:', 'http'],
      ['unix', '1.1.1.1', 'https'],
    ] as const) {
      it(`is believed where it is trusted: ${trusted}`, async (context) => {
        const { connect, log } = await given(context, kind, trusted === '' ? {} : { NPP_TRUSTED_PROXIES: trusted }, undefined, true)
        const client = await connect()
        const answer = await client.send(get('/who', 'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n')).answer()
        assert.deepEqual(JSON.parse(answer.body.toString()), { ip, protocol, host: 'a' })
        assert.match(log.raw[0] ?? '', new RegExp(`"ip":"${ip}"`))
      })
    }
  })
}

describe('the log', () => {
  it('names the client in place of its proxy, also where the client has gone or was answered by its deadline', async (context) => {
    const { connect, log } = await given(context, 'node', { NPP_TRUSTED_PROXIES: '127.0.0.1', NPP_HANDLER_TIMEOUT: '0.05' })
    const client = await connect()
    await client.send(get('/late', 'X-Forwarded-For: 1.1.1.1\r\n')).answer()
    assert.match(log.raw[0] ?? '', /"status":504.*"ip":"1\.1\.1\.1"/)
    await client.send('GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX : y\r\n').answer()
    assert.ok(JSON.stringify(log.lines.at(-1)).includes('"ip":"1.1.1.1"'))
  })
})
