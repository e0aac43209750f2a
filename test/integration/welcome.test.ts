import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { eventually } from '../support/eventually.ts'
import { ROOT, isAlive, startInstance, type Instance } from '../support/instance.ts'

const HTML = 'text/html; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'
/** A message holds 8,192 bytes, and the answer's header travels in it too. */
const REPORT_BYTES = 7 * 1024
/** The largest sum that the site takes on: about a second of work. */
const LONG_SUM = '/async/sum?upTo=1000000000'

let instance: Instance

interface Answer {
  readonly status: number
  readonly type: string | null
  readonly text: string
  readonly headers: Headers
}

async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${instance.url}${path}`, { signal: AbortSignal.timeout(60_000), ...init })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text(), headers: response.headers }
}

function askForm(fields: Record<string, string>): Promise<Answer> {
  return ask('/welcome', { method: 'POST', body: new URLSearchParams(fields) })
}

/** The answer's JSON object. */
function objectOf({ text }: Answer): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  assert(typeof value === 'object' && value !== null, text)
  return { ...value }
}

/** Pid in the answer, which must be of a running service process. */
function servicePid(answer: Answer): number {
  const { pid } = objectOf(answer)
  assert(typeof pid === 'number', answer.text)
  assert.equal(commandOf(pid), 'npp_svc')
  return pid
}

/** Name of a process as the kernel has it. */
function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
}

/** Clock ticks that the process has computed for, without the kernel's part: proc(5), field 14 of stat. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11])
}

/** Sends the bytes, a character each, on a connection of their own and resolves with all that comes back until the server closes it. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(instance.port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk
  })
  socket.write(bytes, 'latin1')
  await once(socket, 'close', { signal: AbortSignal.timeout(60_000) })
  return received
}

/** What bench/page.mjs renders, against which /page is measured. */
async function benchPage(): Promise<string> {
  const bench: unknown = await import(pathToFileURL(`${ROOT}bench/page.mjs`).href)
  assert(typeof bench === 'object' && bench !== null && 'renderPage' in bench && typeof bench.renderPage === 'function')
  const page: unknown = bench.renderPage()
  assert(typeof page === 'string')
  return page
}

suite('examples/welcome', () => {
  before(async () => {
    instance = await startInstance()
  })

  after(async () => {
    const services = instance.servicePids
    assert.equal(await instance.stop(), 0)
    assert.deepEqual(instance.queues, [])
    assert.deepEqual(services.filter(isAlive), [])
  })

  suite('/', () => {
    test('is a page without script that names the process that rendered it', async () => {
      const { status, type, text } = await ask('/')
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert.match(text, /^<!doctype html>/)
      assert(text.includes(`process ${instance.pid}<`), text)
      assert.doesNotMatch(text, /<script|\son\w+=/i)
    })

    test('leads to every page of the site, and nowhere else', async () => {
      const { text } = await ask('/')
      const links = [...text.matchAll(/ href="(\/[^"]*)"/g)].map(([, link]) => link ?? '')
      const wanted = [
        '/hello',
        '/hello/Ada',
        '/welcome',
        '/echo',
        '/time',
        '/page',
        '/async/hello',
        '/async/report',
        '/async/sum?upTo=10000000',
      ]
      assert.deepEqual([...new Set(links)].toSorted(), ['/', '/style.css', ...wanted].toSorted())
      const answers = await Promise.all(links.map(async (link) => [link, (await ask(link)).status]))
      assert.deepEqual(
        answers,
        links.map((link) => [link, 200]),
      )
    })

    test('has a style that browsers keep', async () => {
      const { status, type, text, headers } = await ask('/style.css')
      assert.equal(status, 200)
      assert.equal(type, 'text/css; charset=utf-8')
      assert.match(headers.get('cache-control') ?? '', /max-age=\d+/)
      assert.match(text, /prefers-color-scheme: dark/)
    })
  })

  suite('/time', () => {
    test('is a page that listens to events', async () => {
      const { status, type, text } = await ask('/time')
      assert.deepEqual([status, type], [200, HTML])
      assert.match(text, /new EventSource\('\/time\/events'\)/)
    })

    test('sends an event at once and goes on, until its reader goes', async () => {
      const aborter = new AbortController()
      const response = await fetch(new URL('/time/events', instance.url), { signal: aborter.signal })
      assert.equal(response.headers.get('content-type'), 'text/event-stream')
      assert.equal(response.headers.get('content-length'), null)
      assert(response.body !== null)
      const decoder = new TextDecoder()
      let events = ''
      for await (const part of response.body) {
        events += decoder.decode(part, { stream: true })
        if (/^(?:data: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\n\n){2}$/.test(events)) break
        assert(events.length < 200, events)
      }
      aborter.abort()
    })
  })

  suite('/hello', () => {
    test('is exactly Hello World!', async () => {
      const { status, type, text } = await ask('/hello')
      assert.deepEqual({ status, type, text }, { status: 200, type: 'text/plain; charset=utf-8', text: 'Hello World!' })
    })

    test('is twelve bytes after the header on the wire, and none for HEAD', async () => {
      const [header, body] = (await exchange('GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).split('\r\n\r\n')
      assert.match(header ?? '', /^HTTP\/1\.1 200 OK\r\n/)
      assert.match(header ?? '', /\r\nContent-Length: 12(\r\n|$)/)
      assert.equal(body, 'Hello World!')
      const head = await exchange('HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      assert.match(head, /\r\nContent-Length: 12\r\n/)
      assert(head.endsWith('\r\n\r\n'), head)
    })

    test('greets by name', async () => {
      const { status, type, text } = await ask('/hello/Ada%20L%C3%B6velace')
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert(text.includes('<h1>Hello Ada Lövelace</h1>'), text)
    })

    test('escapes the name wherever it stands', async () => {
      const { status, text } = await ask(`/hello/${encodeURIComponent(`<script>alert("1")</script>&'`)}`)
      assert.equal(status, 200)
      const escaped = 'Hello &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;'
      assert.equal(text.split(escaped).length, 3, 'in the title and in the heading')
      assert.doesNotMatch(text, /<script/i)
    })
  })

  suite('/welcome', () => {
    test('is an empty form', async () => {
      const { status, type, text } = await ask('/welcome')
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert.match(text, /<form method="post" action="\/welcome">/)
      assert.match(text, /name="name"[^>]* value=""/)
      assert.match(text, /name="age"[^>]* value=""/)
      assert.doesNotMatch(text, /class="fault"|class="greeting"/)
    })

    test('greets, and keeps what was typed', async () => {
      const { status, type, text } = await askForm({ name: ' Grace Höpper ', age: '36' })
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert.match(text, /class="greeting">\s*Welcome, <b>Grace Höpper<\/b>\. At 36 you have lived about 13149 days/)
      assert.match(text, /name="name"[^>]* value="Grace Höpper"/)
      assert.match(text, /name="age"[^>]* value="36"/)
      assert.doesNotMatch(text, /class="fault"/)
    })

    test('escapes what was typed, in the greeting and in the fields', async () => {
      const { text } = await askForm({ name: '"><script>alert(1)</script>', age: '36' })
      const escaped = '&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;'
      assert(text.includes(`Welcome, <b>${escaped}</b>`), text)
      assert(text.includes(` value="${escaped}"`), text)
      assert.doesNotMatch(text, /<script/i)
      const wrong = await askForm({ name: '', age: '"><script>' })
      assert(wrong.text.includes(' value="&quot;&gt;&lt;script&gt;"'), wrong.text)
      assert.doesNotMatch(wrong.text, /<script/i)
    })

    const noName = 'Please tell me your name.'
    const noAge = 'Please tell me your age.'
    const badAge = 'Please give your age in whole years, from 1 to 130.'
    const cases: readonly (readonly [Record<string, string>, readonly string[]])[] = [
      [{}, [noName, noAge]],
      [{ name: '  ', age: '36' }, [noName]],
      [{ name: 'x'.repeat(51), age: '36' }, ['Please keep it to 50 characters.']],
      [{ name: 'Ada', age: '' }, [noAge]],
      ...['0', '131', '-1', '36.5', '3e1', '0x10', 'old', '9'.repeat(400)].map((age) => [{ name: 'Ada', age }, [badAge]] as const),
    ]
    for (const [fields, faults] of cases) {
      test(`says what is wrong with ${JSON.stringify(fields).slice(0, 60)}`, async () => {
        const { status, text } = await askForm(fields)
        assert.equal(status, 400)
        assert.deepEqual(
          [...text.matchAll(/<p class="fault"[^>]*>([^<]*)</g)].map(([, fault]) => fault),
          faults,
        )
        assert.doesNotMatch(text, /class="greeting"/)
        for (const value of Object.values(fields)) assert(text.includes(` value="${value.trim()}"`), `${value} is kept`)
      })
    }

    test('takes the least and the greatest that it allows', async () => {
      assert.equal((await askForm({ name: 'x'.repeat(50), age: '1' })).status, 200)
      assert.equal((await askForm({ name: 'x', age: '130' })).status, 200)
    })

    test('refuses what is not a form, and a method that it has not', async () => {
      assert.equal(
        (await ask('/welcome', { method: 'POST', body: '{"name":"Ada"}', headers: { 'Content-Type': 'application/json' } })).status,
        400,
      )
      const put = await ask('/welcome', { method: 'PUT', body: 'name=Ada' })
      assert.equal(put.status, 405)
      assert.equal(put.headers.get('allow'), 'GET, HEAD, POST')
    })
  })

  suite('/echo', () => {
    for (const [what, bytes] of [
      ['every byte there is', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
      ['half a megabyte at random', randomBytes(512 * 1024)],
      ['what looks like the end of a message', Buffer.from('\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n')],
      ['what is not UTF-8', Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80])],
    ] as const) {
      test(`gives back ${what}, with its type`, async () => {
        const response = await fetch(`${instance.url}/echo`, {
          method: 'POST',
          body: bytes,
          headers: { 'Content-Type': 'image/x-test; a="b"' },
        })
        assert.equal(response.status, 200)
        assert.equal(response.headers.get('content-type'), 'image/x-test; a="b"')
        assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
        assert(Buffer.from(await response.arrayBuffer()).equals(bytes))
      })
    }

    test('joins a body that comes in chunks', async () => {
      const answer = await exchange(
        'POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/x-parts\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\x00\xff\r\n2\r\n\r\n\r\n0\r\n\r\n',
      )
      assert.match(answer, /\r\nContent-Type: text\/x-parts\r\n/)
      assert(answer.endsWith('\r\n\r\na\0\xff\r\n'), answer)
    })

    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      test(`answers ${method}`, async () => {
        const { status, type, text } = await ask('/echo', { method, body: method, headers: { 'Content-Type': 'text/x-method' } })
        assert.deepEqual({ status, type, text }, { status: 200, type: 'text/x-method', text: method })
      })
    }

    test('gives an empty body back empty, and bytes of no type as bytes', async () => {
      assert.match(
        await exchange('POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
        /\r\nContent-Length: 0\r\n\r\n$/,
      )
      const untyped = await exchange('POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n<b>')
      assert.match(untyped, /\r\nContent-Type: application\/octet-stream\r\n/)
      assert(untyped.endsWith('\r\n\r\n<b>'), untyped)
    })

    test('tells who only looks what to do', async () => {
      const { status, type, text } = await ask('/echo')
      assert.equal(status, 200)
      assert.equal(type, 'text/plain; charset=utf-8')
      assert.match(text, /curl --data-binary/)
    })
  })

  suite('/page', () => {
    test('has 100 rows of three columns, one in ten with something escaped', async () => {
      const { status, type, text } = await ask('/page')
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert.deepEqual(
        [...text.matchAll(/<th>(\w+)<\/th>/g)].map(([, title]) => title),
        ['Id', 'Name', 'Square'],
      )
      const rows = [...text.matchAll(/<tr><td>(\d+)<\/td><td>([^<]+)<\/td><td>(\d+)<\/td><\/tr>/g)]
      assert.deepEqual(
        rows.map(([, id, , square]) => [Number(id), Number(square)]),
        Array.from({ length: 100 }, (_, index) => [index + 1, (index + 1) ** 2]),
      )
      const escaped = rows.filter(([, , name]) => name?.includes('&'))
      assert.equal(escaped.length, 10)
      assert.equal(escaped[1]?.[2], 'Ada &amp; &quot;Sons&quot; &lt;10&gt;')
    })

    test('is of the size that the benchmark compares with', async () => {
      const bytes = Buffer.byteLength((await ask('/page')).text)
      const wanted = Buffer.byteLength(await benchPage())
      assert(Math.abs(bytes - wanted) <= wanted * 0.05, `${bytes} bytes; bench/page.mjs renders ${wanted}`)
    })
  })

  suite('/async', () => {
    test('/async/hello is the answer of another process', async () => {
      const answer = await ask('/async/hello')
      assert.equal(answer.status, 200)
      assert.equal(answer.type, JSON_TYPE)
      assert.deepEqual(Object.keys(objectOf(answer)), ['message', 'pid'])
      assert.equal(objectOf(answer)['message'], 'Hello from a service')
      assert.equal(commandOf(instance.pid), 'npp_app')
      assert.notEqual(servicePid(answer), instance.pid)
    })

    test('/async/report is written by the service and fits into a message', async () => {
      const { status, type, text, headers } = await ask('/async/report')
      assert.equal(status, 200)
      assert.equal(type, HTML)
      assert.equal(headers.get('cache-control'), 'no-store')
      const pid = Number(/npp_svc (\d+)/.exec(text)?.[1])
      assert.equal(commandOf(pid), 'npp_svc')
      assert(text.includes('127.0.0.1'), 'the client is named')
      const shares = [...text.matchAll(/([\d.]+) %</g)].map(([, share]) => Number(share))
      assert.equal(shares.length, 11)
      const sum = shares.reduce((total, share) => total + share, 0)
      assert(Math.abs(sum - 100) < 0.1, `${sum} %`)
      const bytes = Buffer.byteLength(text)
      assert(bytes < REPORT_BYTES, `${bytes} bytes`)
    })

    for (const [upTo, sum] of [
      ['0', 0],
      ['1', 1],
      ['100', 5050],
      ['00100', 5050],
      ['10000000', 50_000_005_000_000],
      // Above 2^53, where a plain loop over doubles loses digits.
      ['200000000', 20_000_000_100_000_000],
    ] as const) {
      test(`/async/sum adds up to ${upTo}`, async () => {
        const answer = await ask(`/async/sum?upTo=${upTo}`)
        assert.equal(answer.status, 200)
        assert.equal(answer.type, JSON_TYPE)
        assert.equal(objectOf(answer)['sum'], sum)
        servicePid(answer)
      })
    }

    for (const query of [
      '',
      '?upTo',
      '?upTo=',
      '?upTo=x',
      '?upTo=-1',
      '?upTo=1.5',
      '?upTo=1e3',
      '?upTo=%201',
      '?upTo=NaN',
      '?upTo=1000000001',
      `?upTo=${'9'.repeat(400)}`,
      '?upto=5',
    ]) {
      test(`/async/sum${query.slice(0, 20)} is refused`, async () => {
        const answer = await ask(`/async/sum${query}`)
        assert.equal(answer.status, 400)
        assert.equal(answer.type, JSON_TYPE)
        assert.match(String(objectOf(answer)['error']), /upTo must be a whole number from 0 to 1000000000/)
      })
    }

    test('/hello answers while a sum is in the middle of its loop', async () => {
      const service = servicePid(await ask('/async/hello'))
      const ticks = ticksOf(service)
      let arrived = false
      const sum = ask(LONG_SUM).finally(() => {
        arrived = true
      })
      await eventually('the service computes', () => ticksOf(service) > ticks)
      // Held in its loop, so that no machine is so slow, and no loop so fast, that the order could be another.
      process.kill(service, 'SIGSTOP')
      try {
        for (let round = 0; round < 20; round++) assert.equal((await ask('/hello')).text, 'Hello World!')
        assert.equal(arrived, false)
      } finally {
        process.kill(service, 'SIGCONT')
      }
      const answer = await sum
      assert.equal(objectOf(answer)['sum'], 500_000_000_500_000_000)
      assert.equal(servicePid(answer), service)
    })
  })

  suite('elsewhere', () => {
    for (const path of ['/nowhere', '/hello/Ada/Grace', '/async', '/style.css/', '/HELLO']) {
      test(`${path} is a small 404 page of the site`, async () => {
        const { status, type, text } = await ask(path)
        assert.equal(status, 404)
        assert.equal(type, HTML)
        assert(text.includes(`<code>${path}</code>`), text)
        assert.match(text, /href="\/style\.css"/)
        assert(text.length < 2000)
      })
    }

    test('the path on the 404 page is escaped', async () => {
      const { status, text } = await ask('/%3Cscript%3E')
      assert.equal(status, 404)
      assert(text.includes('<code>/&lt;script&gt;</code>'), text)
      assert.doesNotMatch(text, /<script/i)
    })

    test('every method is told 404', async () => {
      assert.equal((await ask('/nowhere', { method: 'POST', body: 'x' })).status, 404)
      assert.match(await exchange('HEAD /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 404 [^]*\r\n\r\n$/)
    })
  })
})
