import assert from 'node:assert/strict'
import { Agent, request as httpRequest } from 'node:http'
import { text as textOf } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { after, before, describe, it } from 'node:test'
import { Limits } from '../../shared/limits.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import { rawClient, type Answer } from '../support/raw-client.ts'

const MAX_BODY = 1_048_576

let npp: Instance

before(async () => {
  npp = await startInstance(`${SITES}faults`)
})

after(async () => {
  assert.equal(await npp.stop(), 0)
  assert.deepEqual(
    npp.log.filter(({ level }) => typeof level === 'number' && level >= 40),
    [],
    'nothing in this file is a fault of the engine',
  )
})

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const post = (body: string, lines = ''): string =>
  `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(body, 'latin1')}\r\n${lines}\r\n${body}`
const jsonOf = (answer: Answer): unknown => JSON.parse(answer.body.toString())

/** Sends as chunks of random sizes. */
function chunked(body: Buffer, random: SeededRandom): Buffer {
  const parts: Buffer[] = [Buffer.from('POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')]
  for (let at = 0; at < body.byteLength;) {
    const size = Math.min(1 + random.below(random.below(2) === 0 ? 20 : 20_000), body.byteLength - at)
    parts.push(
      Buffer.from(`${size.toString(16)}${random.below(4) === 0 ? ';ext="x"' : ''}\r\n`),
      body.subarray(at, at + size),
      Buffer.from('\r\n'),
    )
    at += size
  }
  parts.push(Buffer.from('0\r\nTrailer: x\r\n\r\n'))
  return Buffer.concat(parts)
}

describe('an answer', () => {
  it('has what it needs, and nothing else', async (context) => {
    const answer = await (await rawClient(context, npp.port)).send(get('/hello')).answer()
    assert.match(
      answer.head,
      /^HTTP\/1\.1 200 OK\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\nContent-Type: text\/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\nContent-Length: 12$/,
    )
    assert.equal(answer.body.toString(), 'Hello World!')
  })

  const small: readonly (readonly [string, string])[] = [
    ['a sync handler', get('/hello')],
    ['a service', get('/identity/x')],
    ['a page service', get('/page/x')],
    ['a late handler', get('/late?ms=1&token=x')],
    ['write', get('/written')],
    ['no route', get('/none')],
    ['an echo', post('body')],
  ]
  for (const [rule, request] of small) {
    it(`leaves in one write, header and body: ${rule}`, async (context) => {
      const client = await rawClient(context, npp.port)
      for (let round = 1; round <= 20; round++) {
        const answer = await client.send(request).answer()
        assert.ok(answer.body.byteLength > 0)
        assert.equal(client.chunks.length, round)
      }
    })
  }

  it('to each of several requests of one segment leaves with the others in one write', async (context) => {
    const client = await rawClient(context, npp.port)
    for (let round = 1; round <= 20; round++) {
      await client.send(get('/hello').repeat(10)).answers(10)
      assert.equal(client.chunks.length, round)
    }
  })

  it('refused leaves in one write too, and with Connection: close', async (context) => {
    const client = await rawClient(context, npp.port)
    const answer = await client.send('BAD\r\n').answer()
    assert.deepEqual([answer.status, answer.fields.get('connection'), client.chunks.length], [400, 'close', 1])
    assert.equal(await client.rest(), '')
  })

  it('to HEAD has the length and no body, and the next answer follows', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(
      `HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nHEAD /none HTTP/1.1\r\nHost: a\r\n\r\nHEAD /identity/x HTTP/1.1\r\nHost: a\r\n\r\n${get('/hello')}`,
    )
    const hello = await client.answer(true)
    assert.deepEqual([hello.status, hello.fields.get('content-length')], [200, '12'])
    const none = await client.answer(true)
    assert.equal(none.status, 404)
    assert.ok(Number(none.fields.get('content-length')) > 0)
    assert.equal((await client.answer(true)).status, 200)
    assert.equal((await client.answer()).body.toString(), 'Hello World!')
  })

  it('of status 204 has neither length nor body, and the next answer follows', async (context) => {
    const client = await rawClient(context, npp.port)
    const gone = await client.send(`DELETE /thing/1 HTTP/1.1\r\nHost: a\r\n\r\n${get('/hello')}`).answer()
    assert.deepEqual([gone.status, gone.fields.has('content-length')], [204, false])
    assert.equal((await client.answer()).status, 200)
  })

  it('OPTIONS * with what npp knows, and any other method of * with 400 (RFC 9112 §3.2.4)', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(get('*').replace('GET', 'OPTIONS') + get('*') + get('/hello'))
    const options = await client.answer()
    assert.deepEqual([options.status, options.fields.get('allow')], [204, 'GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS'])
    assert.equal((await client.answer()).status, 400)
    assert.equal((await client.answer()).status, 200)
  })

  it('404 where there is no route, 405 with Allow where there is one for another method', async (context) => {
    const client = await rawClient(context, npp.port)
    assert.equal((await client.send(get('/none')).answer()).status, 404)
    const refused = await client.send('PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n').answer()
    assert.deepEqual([refused.status, refused.fields.get('allow')], [405, 'GET, HEAD'])
    assert.equal((await client.send(get('/hello')).answer()).status, 200)
  })

  it('carries cookies, redirects and fields as the handler set them', async (context) => {
    const client = await rawClient(context, npp.port)
    const cookies = await client.send(get('/cookies', 'Cookie: a=1; b=%20\r\n')).answer()
    assert.equal(cookies.fields.get('set-cookie'), 'seen=a%20b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax')
    assert.deepEqual(jsonOf(cookies), [
      ['a', '1'],
      ['b', ' '],
    ])
    const move = await client.send(get('/move')).answer()
    assert.deepEqual([move.status, move.fields.get('location')], [303, '/hello?%C3%BC=1'])
  })

  it('says what the request was', async (context) => {
    const client = await rawClient(context, npp.port)
    assert.deepEqual(jsonOf(await client.send(get('/a/../hi/%C3%BC%2F?b=1&b=2')).answer()), {
      name: 'ü/',
      path: '/hi/ü%2F',
      target: '/a/../hi/%C3%BC%2F?b=1&b=2',
      ip: '127.0.0.1',
      query: [
        ['b', '1'],
        ['b', '2'],
      ],
    })
    assert.deepEqual(jsonOf(await client.send(get('/fields', 'X-a:  1 \r\nx-A: 2\r\n')).answer()), [
      ['Host', 'a'],
      ['X-a', '1'],
      ['x-A', '2'],
    ])
  })
})

describe('a connection', () => {
  it('of HTTP/1.1 goes on by default', async (context) => {
    const client = await rawClient(context, npp.port)
    for (let round = 0; round < 5; round++) assert.equal((await client.send(get('/hello')).answer()).fields.has('connection'), false)
  })

  it('of HTTP/1.0 ends by default', async (context) => {
    const client = await rawClient(context, npp.port)
    const answer = await client.send('GET /hello HTTP/1.0\r\n\r\n').answer()
    assert.deepEqual([answer.status, answer.fields.get('connection')], [200, 'close'])
    assert.equal(await client.rest(), '')
  })

  it('of HTTP/1.0 goes on when it is asked to', async (context) => {
    const client = await rawClient(context, npp.port)
    for (let round = 0; round < 3; round++) {
      const answer = await client.send('GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').answer()
      assert.equal(answer.fields.get('connection'), 'keep-alive')
    }
  })

  for (const path of ['/hello', '/identity/x', '/late?ms=1', '/big/300000']) {
    it(`ends when it is asked to, after ${path}, and what follows is not answered`, async (context) => {
      const client = await rawClient(context, npp.port)
      const answer = await client.send(get(path, 'Connection: close\r\n') + get('/hello')).answer()
      assert.deepEqual([answer.status, answer.fields.get('connection')], [200, 'close'])
      assert.equal(await client.rest(), '')
      assert.equal(client.error, '')
    })
  }

  for (const path of ['/hello', '/identity/x', '/late?ms=50', '/big/5000000']) {
    it(`whose client has ended its side gets its answer all the same: ${path}`, async (context) => {
      const client = await rawClient(context, npp.port)
      client.socket.end(get(path) + get('/hello'))
      const [first, second] = await client.answers(2)
      assert.deepEqual([first?.status, second?.body.toString()], [200, 'Hello World!'])
      assert.equal(await client.rest(), '')
    })
  }

  it('whose client ends within a request is closed without an answer', async (context) => {
    for (const part of ['GET /hel', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab']) {
      const client = await rawClient(context, npp.port)
      client.socket.end(part)
      assert.equal(await client.rest(), '')
    }
  })
})

describe('pipelined requests', () => {
  it('are answered in order, 100 in one segment', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(Array.from({ length: 100 }, (_, number) => get(`/hi/${number}`)).join(''))
    for (const [number, answer] of (await client.answers(100)).entries())
      assert.match(answer.body.toString(), new RegExp(`"name":"${number}"`))
  })

  it('are answered in order, whoever answers them', async (context) => {
    const client = await rawClient(context, npp.port)
    const kinds = ['/hi/', '/identity/', '/late?ms=3&token=', '/page/', '/hi/', '/late?ms=0&token=']
    const tokens = Array.from({ length: 100 }, (_, number) => `token${number}.`)
    client.send(tokens.map((token, number) => get(`${kinds[number % kinds.length] ?? ''}${token}`)).join(''))
    for (const [number, answer] of (await client.answers(100)).entries()) {
      assert.equal(answer.status, number % kinds.length === 3 ? 201 : 200)
      assert.ok(answer.body.includes(tokens[number] ?? ''), `answer ${number} is ${answer.body.toString()}`)
    }
  })

  it('keep their bodies apart', async (context) => {
    const client = await rawClient(context, npp.port)
    const random = new SeededRandom(1)
    const bodies = Array.from({ length: 30 }, () => random.bytes(random.below(3000)))
    client.send(
      Buffer.concat(
        bodies.map((body, number) => (number % 2 === 0 ? chunked(body, random) : Buffer.from(post(body.toString('latin1')), 'latin1'))),
      ),
    )
    for (const [number, answer] of (await client.answers(30)).entries()) assert.deepEqual(answer.body, bodies[number])
  })

  it('before one that is refused are answered, those after it are not', async (context) => {
    for (const first of ['/hello', '/identity/x', '/late?ms=20']) {
      const client = await rawClient(context, npp.port)
      client.send(`${get(first)}GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n${get('/hello')}`)
      const [good, refused] = await client.answers(2)
      assert.deepEqual([good?.status, refused?.status, refused?.fields.get('connection')], [200, 400, 'close'])
      assert.equal(await client.rest(), '')
    }
  })

  it('that are larger than what is kept of them arrive whole behind one that takes its time', async (context) => {
    const client = await rawClient(context, npp.port)
    const body = new SeededRandom(2).bytes(10 * Limits.pipelinedBytes)
    client
      .send(get('/late?ms=200&token=x'))
      .send(post(body.toString('latin1')))
      .send(get('/hello'))
    const [late, echo, hello] = await client.answers(3)
    assert.equal(late?.body.toString(), 'late x')
    assert.deepEqual(echo?.body, body)
    assert.equal(hello?.body.toString(), 'Hello World!')
  })

  it('with answers larger together than the arena arrive whole and in order', async (context) => {
    const client = await rawClient(context, npp.port)
    const sizes = [60_000, 65_536, 65_537, 1, 0, 300_000, 12, ...Array.from({ length: 12 }, () => 60_000)]
    client.send(sizes.map((size) => get(`/big/${size}`)).join(''))
    assert.deepEqual(
      (await client.answers(sizes.length)).map(({ body }) => body.byteLength),
      sizes,
    )
  })
})

const WHOLE: readonly (readonly [string, string, string])[] = [
  ['a GET', get('/hi/x?y=1', 'Cookie: a=b\r\n'), '"name":"x"'],
  ['a body', post('some\r\nbody'), 'some\r\nbody'],
  [
    'chunks',
    'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nsome\r\n6\r\n\r\nbody\r\n0\r\nT: u\r\n\r\n',
    'some\r\nbody',
  ],
  ['an empty line before it', `\r\n${get('/hello')}`, 'Hello World!'],
]

describe('a request', () => {
  for (const [rule, request, expected] of WHOLE) {
    it(`may arrive byte by byte: ${rule}`, async (context) => {
      const client = await rawClient(context, npp.port)
      for (const byte of request) {
        client.send(byte)
        await nextTurn()
      }
      assert.ok((await client.answer()).body.includes(expected))
    })

    it(`may arrive in two pieces, split at any byte: ${rule}`, async (context) => {
      const client = await rawClient(context, npp.port)
      for (let at = 1; at < request.length; at++) {
        client.send(request.slice(0, at))
        await nextTurn()
        assert.ok((await client.send(request.slice(at)).answer()).body.includes(expected), `split at ${at}`)
      }
    })
  }

  it('in chunks of any size is echoed byte for byte, as often as it comes', async (context) => {
    const client = await rawClient(context, npp.port)
    const random = new SeededRandom(3)
    for (const length of [0, 1, 1000, 300_000, MAX_BODY]) {
      const body = random.bytes(length)
      assert.deepEqual((await client.send(chunked(body, random)).answer()).body, body)
    }
  })

  it('may have a body as long as the limit', async (context) => {
    const client = await rawClient(context, npp.port)
    const body = new SeededRandom(4).bytes(MAX_BODY)
    assert.deepEqual((await client.send(post(body.toString('latin1'))).answer()).body, body)
    assert.deepEqual(jsonOf(await client.send(`POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{"a":1}`).answer()), {
      got: { a: 1 },
    })
  })
})

/** [rule, request, status]. Each is answered before more of it comes, and closes. */
const REFUSED: readonly (readonly [string, string, number])[] = [
  ['RFC 9112 §3.2: no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  [
    'RFC 9112 §6.3: Transfer-Encoding and Content-Length',
    `POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${get('/hello')}`,
    400,
  ],
  ['RFC 9112 §6.3: two lengths', `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n${get('/hello')}`, 400],
  ['RFC 9112 §5.1: a space before the colon', `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 50\r\n\r\n${get('/hello')}`, 400],
  ['RFC 9112 §2.2: a bare LF', 'GET /hello HTTP/1.1\nHost: a\n\n', 400],
  ['a target whose escapes are not UTF-8', get('/%ff'), 400],
  ['a target in authority form', get('a:80'), 400],
  ['TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 400],
  [
    'a body over the limit, as soon as its length is known',
    `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`,
    413,
  ],
  [
    'a chunk over the limit, as soon as its size is known',
    `POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${(MAX_BODY + 1).toString(16)}\r\n`,
    413,
  ],
  ['a target over the limit', `GET /${'t'.repeat(HEADER_LIMITS.targetBytes)}`, 414],
  ['an unknown expectation', get('/hello', 'Expect: more\r\n'), 417],
  ['a header over the limit', get('/hello', `X: ${'x'.repeat(HEADER_LIMITS.headerBytes)}\r\n`), 431],
  ['an unknown method', 'BREW /hello HTTP/1.1\r\n', 501],
  ['a coding that is not understood', 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n', 501],
  ['HTTP/2', 'GET / HTTP/2.0\r\n\r\n', 505],
]

describe('a request is refused, and the connection closed, for', () => {
  for (const [rule, request, status] of REFUSED) {
    it(`${rule}: ${status}`, async (context) => {
      const client = await rawClient(context, npp.port)
      const answer = await client.send(request).answer()
      assert.deepEqual([answer.status, answer.fields.get('connection')], [status, 'close'])
      assert.equal(await client.rest(), '', 'nothing that follows is answered')
      assert.equal(client.error, '')
    })
  }

  it('whatever it is, also when its client goes on sending', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(`POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`)
    for (let round = 0; round < 16; round++) client.send(Buffer.alloc(65_536))
    assert.equal((await client.answer()).status, 413)
    assert.equal(await client.rest(), '')
  })
})

const expecting = (length: number): string => `POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`

describe('Expect: 100-continue', () => {
  it('is answered before the body comes, once', async (context) => {
    const client = await rawClient(context, npp.port)
    for (let round = 0; round < 3; round++) {
      assert.equal((await client.send(expecting(4)).answer()).status, 100)
      client.send('bo')
      await nextTurn()
      const answer = await client.send('dy').answer()
      assert.deepEqual([answer.status, answer.body.toString()], [200, 'body'])
    }
  })

  it('is answered before chunks come', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send('POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n')
    assert.equal((await client.answer()).status, 100)
    assert.equal((await client.send('1\r\nx\r\n0\r\n\r\n').answer()).body.toString(), 'x')
  })

  it('is not answered when the body is there, when there is none, or on HTTP/1.0', async (context) => {
    const client = await rawClient(context, npp.port)
    assert.equal((await client.send(`${expecting(4)}body`).answer()).status, 200)
    assert.equal((await client.send(expecting(0)).answer()).status, 200)
    assert.equal((await client.send(get('/hello', 'Expect: 100-continue\r\n')).answer()).status, 200)
    client.send('POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n')
    await nextTurn()
    assert.equal((await client.send('x').answer()).status, 200)
  })

  it('is not answered before the header is complete: a length that is refused may follow', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send('POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n')
    // Another connection is served in the meantime: the first part has been read by then.
    await (await rawClient(context, npp.port)).send(get('/identity/x')).answer()
    assert.equal((await client.send(`Content-Length: ${MAX_BODY + 1}\r\n\r\n`).answer()).status, 413)
    assert.equal(await client.rest(), '')
  })

  it('is refused at once when the body will be', async (context) => {
    const client = await rawClient(context, npp.port)
    assert.equal((await client.send(expecting(MAX_BODY + 1)).answer()).status, 413)
    assert.equal(await client.rest(), '')
  })
})

describe('other clients', () => {
  it('fetch', async () => {
    for (let round = 0; round < 20; round++) {
      const response = await fetch(`${npp.url}/hi/${round}`)
      assert.equal(response.status, 200)
      assert.match(await response.text(), new RegExp(`"name":"${round}"`))
    }
    const echo = await fetch(`${npp.url}/echo`, { method: 'PUT', body: 'ü'.repeat(1000), headers: { 'content-type': 'text/x' } })
    assert.deepEqual([await echo.text(), echo.headers.get('content-type')], ['ü'.repeat(1000), 'text/x'])
    assert.equal((await fetch(`${npp.url}/move`)).url, `${npp.url}/hello?%C3%BC=1`)
    assert.equal((await fetch(`${npp.url}/thing/1`, { method: 'DELETE' })).status, 204)
    assert.equal((await fetch(`${npp.url}/hello`, { method: 'HEAD' })).headers.get('content-length'), '12')
  })

  it('fetch, many at once', async () => {
    const paths = Array.from({ length: 200 }, (_, number) => (number % 3 === 0 ? `/identity/t${number}.` : `/hi/t${number}.`))
    const texts = await Promise.all(paths.map(async (path) => (await fetch(npp.url + path)).text()))
    for (const [number, text] of texts.entries()) assert.ok(text.includes(`t${number}.`))
  })

  it('node:http with an agent that keeps its one connection', async (context) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    context.after(() => agent.destroy())
    const ports = new Set<number | undefined>()
    for (let round = 0; round < 20; round++) {
      const body = `${round}`.repeat(round * 100)
      const text = await new Promise<string>((resolve, reject) => {
        const request = httpRequest(`${npp.url}/echo`, { method: 'POST', agent }, (response) => {
          ports.add(request.socket?.localPort)
          textOf(response).then(resolve, reject)
        })
        request.on('error', reject)
        // Without a length: node:http sends it in chunks.
        request.write(body)
        request.end()
      })
      assert.equal(text, body)
    }
    assert.equal(ports.size, 1)
  })
})
