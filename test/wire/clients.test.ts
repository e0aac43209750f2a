import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Client, type Dispatcher } from 'undici'
import { ENGINE_TRANSPORTS, startEngine, value, type EngineProcess } from '../support/engine-process.ts'
import { programFor, run } from '../support/programs.ts'
import { folder, pattern } from '../support/transport-host.ts'

/** The default of maxBodyBytes. */
const MAX_BODY = 1_048_576

/** The two lines of `--write-out` behind what curl has read. */
const WRITE_OUT = '\n%{http_code} %{num_connects}\n'

/** A file of that many bytes, all values among them; its path with @ before it, as curl wants it, and its bytes. */
function fileOf(context: TestContext, length: number): [argument: string, bytes: Buffer] {
  const path = join(folder(context), 'body')
  const bytes = pattern(length)
  writeFileSync(path, bytes)
  return [`@${path}`, bytes]
}

/** What /stream answers. */
function parts(count: number): string {
  return Array.from({ length: count }, (_, part) => `part ${part}\n`).join('')
}

/** Runs curl, which must succeed, without the configuration of its user; undefined where it is not installed. */
async function curl(context: TestContext, ...args: string[]): Promise<{ stdout: string; stderr: string } | undefined> {
  const program = programFor(context, 'curl')
  if (program === undefined) return undefined
  return run(context, program, ['-q', '-sS', ...args])
}

async function openings(engine: EngineProcess): Promise<number> {
  return value(await engine.ask('brief'), 'openings')
}

for (const kind of ENGINE_TRANSPORTS) {
  describe(`engine on ${kind}: clients`, () => {
    let engine: EngineProcess
    let url = ''

    before(async () => {
      engine = await startEngine(kind)
      await engine.begin()
      url = `http://127.0.0.1:${engine.port}`
    })

    // Before the engine is killed, the connections that clients keep have their deadline behind them.
    after(async () => {
      try {
        await engine.ask('pass 600000')
        await engine.isEmpty()
      } finally {
        engine.kill()
      }
    })

    it('curl gets several URLs over one connection', async (context) => {
      const opened = await openings(engine)
      const ids = [1, 2, 3, 4, 5]
      const ran = await curl(context, '-w', WRITE_OUT, ...ids.map((id) => `${url}/id/${id}`))
      if (ran === undefined) return
      assert.deepEqual(
        ran.stdout.trimEnd().split('\n'),
        ids.flatMap((id) => [JSON.stringify({ path: `/id/${id}`, method: 'GET', body: '' }), `200 ${id === 1 ? 1 : 0}`]),
      )
      assert.equal(await openings(engine), opened + 1)
    })

    it('curl asks with HEAD for the fields alone, and its connection goes on', async (context) => {
      const ran = await curl(context, '-I', '-w', WRITE_OUT, `${url}/hello`, `${url}/id/7`)
      const heads = ran?.stdout.split('\r\n\r\n') ?? []
      if (ran === undefined) return
      assert.match(heads[0] ?? '', /^HTTP\/1\.1 200 OK\r\n.*\r\nContent-Length: 12(\r\n|$)/s)
      assert.match(heads[1] ?? '', /^\n200 1\nHTTP\/1\.1 200 OK\r\n.*X-Path: \/id\/7/s)
      assert.equal(heads[2], '\n200 0\n')
    })

    for (const [rule, ...args] of [
      ['a length'],
      ['chunks', '-H', 'Transfer-Encoding: chunked'],
      ['an expectation', '-H', 'Expect: 100-continue', '--expect100-timeout', '50'],
      ['chunks and an expectation', '-H', 'Transfer-Encoding: chunked', '-H', 'Expect: 100-continue', '--expect100-timeout', '50'],
    ] as const) {
      it(`curl posts a body with ${rule}, and reads it back`, async (context) => {
        const [file, bytes] = fileOf(context, 700_000)
        const ran = await curl(
          context,
          '-v',
          '--data-binary',
          file,
          '-H',
          'Expect:',
          ...args,
          `${url}/echo`,
          '--next',
          '-q',
          '-sS',
          `${url}/hello`,
        )
        if (ran === undefined) return
        assert.ok(Buffer.from(ran.stdout, 'latin1').equals(Buffer.concat([bytes, Buffer.from('Hello World!')])))
        assert.equal(/< HTTP\/1\.1 100 Continue/.test(ran.stderr), rule.includes('expectation'))
        assert.match(ran.stderr, /Re-using existing connection/i)
      })
    }

    for (const [rule, ...args] of [
      ['a length', '-H', 'Expect:'],
      ['chunks', '-H', 'Expect:', '-H', 'Transfer-Encoding: chunked'],
    ] as const) {
      it(`curl is told 413 of a body with ${rule} that is over the limit`, async (context) => {
        const [file] = fileOf(context, MAX_BODY * 4)
        const ran = await curl(context, '--data-binary', file, ...args, '-o', '/dev/null', '-w', '%{http_code}', `${url}/echo`)
        if (ran === undefined) return
        assert.equal(ran.stdout, '413')
      })
    }

    it('curl that asks first is told 413, and sends nothing of the body', async (context) => {
      const [file] = fileOf(context, MAX_BODY * 4)
      const expectation = ['-H', 'Expect: 100-continue', '--expect100-timeout', '50']
      const ran = await curl(
        context,
        '-v',
        '--data-binary',
        file,
        ...expectation,
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{size_upload}',
        `${url}/echo`,
      )
      if (ran === undefined) return
      assert.equal(ran.stdout, '413 0')
      assert.doesNotMatch(ran.stderr, /100 Continue/)
    })

    it('curl by HTTP/1.0 gets a connection a request, and one for all when it asks for that', async (context) => {
      const urls = [`${url}/hello`, `${url}/hello`]
      const closed = await curl(context, '--http1.0', '-w', WRITE_OUT, ...urls)
      const kept = await curl(context, '--http1.0', '-H', 'Connection: keep-alive', '-w', WRITE_OUT, ...urls)
      if (closed === undefined || kept === undefined) return
      assert.equal(closed.stdout, 'Hello World!\n200 1\n'.repeat(2))
      assert.equal(kept.stdout, 'Hello World!\n200 1\nHello World!\n200 0\n')
    })

    it('curl names the whole URL, as to a proxy', async (context) => {
      const ran = await curl(context, '-v', '--noproxy', '', '-x', url, 'http://site.test/id/1', 'http://site.test/id/2?a=b')
      if (ran === undefined) return
      assert.match(ran.stderr, /> GET http:\/\/site\.test\/id\/1 HTTP\/1\.1/)
      assert.equal(ran.stdout, [1, 2].map((id) => JSON.stringify({ path: `/id/${id}`, method: 'GET', body: '' })).join(''))
    })

    it('curl reads a body in chunks, and its connection goes on; by HTTP/1.0 the end of the connection is the end of the body', async (context) => {
      const urls = [`${url}/stream?parts=200`, `${url}/stream?parts=3`]
      const chunked = await curl(context, '-w', WRITE_OUT, ...urls)
      const whole = await curl(context, '--http1.0', '-H', 'Connection: keep-alive', '-w', WRITE_OUT, ...urls)
      if (chunked === undefined || whole === undefined) return
      assert.equal(chunked.stdout, `${parts(200)}\n200 1\n${parts(3)}\n200 0\n`)
      assert.equal(whole.stdout, `${parts(200)}\n200 1\n${parts(3)}\n200 1\n`)
    })

    it('fetch keeps its connection', async () => {
      const opened = await openings(engine)
      for (let id = 0; id < 50; id++) {
        const answer = await fetch(`${url}/id/${id}`)
        assert.deepEqual([answer.status, await answer.json()], [200, { path: `/id/${id}`, method: 'GET', body: '' }])
      }
      // The pool behind fetch opens a second one when it is asked before the first has come back to it.
      assert.ok((await openings(engine)) <= opened + 2)
    })

    it('fetch posts JSON', async () => {
      for (let id = 0; id < 20; id++) {
        const body = JSON.stringify({ id, text: 'ä'.repeat(id * 300) })
        const answer = await fetch(`${url}/id/${id}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
        assert.deepEqual([answer.status, await answer.json()], [200, { path: `/id/${id}`, method: 'POST', body }])
      }
    })

    it('fetch streams a body, which goes in chunks', async () => {
      for (const sizes of [[1], [5, 70_000, 1, 300_000], Array.from({ length: 200 }, (_, index) => index + 1)]) {
        const bytes = pattern(sizes.reduce((sum, size) => sum + size, 0))
        let at = 0
        const parts = sizes.map((size) => bytes.subarray(at, (at += size)))
        const stream = ReadableStream.from(parts)
        const answer = await fetch(`${url}/echo`, { method: 'POST', body: stream, duplex: 'half' })
        assert.equal(answer.status, 200)
        assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes))
      }
    })

    it('undici pipelines hundreds of requests, and each gets its own answer', async (context) => {
      const before = await engine.ask('brief')
      const client = new Client(url, { pipelining: 10 })
      context.after(() => client.destroy())
      const count = 600
      const asked = Array.from({ length: count }, async (_, id) => {
        if (id % 30 === 4) {
          const answer = await client.request({ path: `/stream?parts=${id}`, method: 'GET' })
          assert.equal(await answer.body.text(), parts(id))
          return
        }
        // By itself undici pipelines neither HEAD nor POST.
        const method = id % 5 === 1 ? 'HEAD' : id % 7 === 2 ? 'POST' : 'GET'
        const path = `/id/${id}`
        const body = method === 'POST' ? `${id} `.repeat(id) : ''
        const options: Dispatcher.RequestOptions = {
          path: id % 50 === 3 ? `${path}?ms=5` : path,
          method,
          idempotent: true,
          blocking: false,
          reset: false,
        }
        const answer = await client.request(method === 'POST' ? { ...options, body } : options)
        const text = JSON.stringify({ path, method, body })
        assert.deepEqual([answer.statusCode, answer.headers['x-path']], [200, path])
        assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(text))
        assert.equal(await answer.body.text(), method === 'HEAD' ? '' : text)
      })
      await Promise.all(asked)
      await client.close()
      const gauges = await engine.ask('brief')
      assert.equal(gauges['openings'], value(before, 'openings') + 1)
      // Were each sent after the answer to the one before it, there would be a read for each.
      assert.ok(value(gauges, 'reads') - value(before, 'reads') < count)
    })
  })
}
