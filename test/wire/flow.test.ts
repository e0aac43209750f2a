import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Limits } from '../../shared/limits.ts'
import { eventually } from '../support/eventually.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'
import { rawClient, type RawClient } from '../support/raw-client.ts'

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`

/** The engine answers others, both of its kinds of handlers. */
async function assertHealthy(context: TestContext, npp: Instance): Promise<void> {
  const client = await rawClient(context, npp.port)
  for (const path of ['/hello', '/identity/x']) assert.equal((await client.send(get(path)).answer()).status, 200)
  client.socket.destroy()
}

function descriptorsOf(npp: Instance): number {
  return readdirSync(`/proc/${npp.pid}/fd`).length
}

function socketsOf(npp: Instance): number {
  const folder = `/proc/${npp.pid}/fd`
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(`${folder}/${name}`).startsWith('socket:')
    } catch {
      return false // It was closed meanwhile.
    }
  }).length
}

describe('an engine that was held up', () => {
  it('answers what has arrived meanwhile, though the deadlines have passed', async (context) => {
    const npp = await startInstance(`${SITES}faults`, { NPP_KEEP_ALIVE_TIMEOUT: '0.5', NPP_HEADER_TIMEOUT: '0.5' })
    context.after(async () => {
      process.kill(npp.pid, 'SIGCONT')
      assert.equal(await npp.stop(), 0)
    })
    const idle = await rawClient(context, npp.port)
    assert.equal((await idle.send(get('/hello')).answer()).status, 200)
    const half = await rawClient(context, npp.port)
    half.send('GET /hello HTTP/1.1\r\n')
    // Served in the meantime: the half has been read by then.
    await assertHealthy(context, npp)
    process.kill(npp.pid, 'SIGSTOP')
    idle.send(get('/hello'))
    half.send('Host: a\r\n\r\n')
    await sleep(1500)
    process.kill(npp.pid, 'SIGCONT')
    assert.equal((await idle.answer()).status, 200)
    assert.equal((await half.answer()).status, 200)
  })
})

describe('with short deadlines of requests', () => {
  let npp: Instance

  before(async () => {
    npp = await startInstance(`${SITES}faults`, {
      NPP_HEADER_TIMEOUT: '0.3',
      NPP_BODY_TIMEOUT: '0.3',
      NPP_HANDLER_TIMEOUT: '0.3',
    })
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
  })

  const unfinished: readonly (readonly [string, string])[] = [
    ['half a start line', 'GET /hel'],
    ['half a header', 'GET /hello HTTP/1.1\r\nHost: a\r\n'],
    ['half a body', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab'],
    ['half a chunk', 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'],
    ['half a header behind a whole request', `${get('/hello')}GET /hel`],
  ]
  for (const [rule, part] of unfinished) {
    it(`${rule} is answered 408, and the connection closed`, async (context) => {
      const client = await rawClient(context, npp.port)
      client.send(part)
      if (part.startsWith(get('/hello'))) assert.equal((await client.answer()).status, 200)
      const answer = await client.answer()
      assert.deepEqual([answer.status, answer.fields.get('connection')], [408, 'close'])
      assert.equal(await client.rest(), '')
    })
  }

  for (const [rule, head] of [
    ['a header', ''],
    ['a body', 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n'],
  ] as const) {
    it(`${rule} that goes on arriving, byte by byte, has no longer for it`, async (context) => {
      const client = await rawClient(context, npp.port)
      client.send(head)
      const timer = setInterval(() => client.send('x'), 20)
      context.after(() => clearInterval(timer))
      if (head === '') client.send('GET /')
      assert.equal((await client.answer()).status, 408)
      clearInterval(timer)
    })
  }

  it('a handler that does not answer in time is answered for, and its late answer reaches nobody', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(get('/late?ms=350&token=late') + get('/slow/own?ms=200'))
    const answer = await client.answer()
    assert.equal(answer.status, 504)
    assert.match(answer.fields.get('x-request-id') ?? '', /^[0-9a-f]{8}-/)
    assert.match((await client.answer()).body.toString(), /"token":"own"/)
    assert.equal((await client.send(get('/hello')).answer()).body.toString(), 'Hello World!', 'the late answer is not sent')
  })
})

describe('with a short deadline of idle connections', () => {
  let npp: Instance

  before(async () => {
    npp = await startInstance(`${SITES}faults`, { NPP_KEEP_ALIVE_TIMEOUT: '0.3' })
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
  })

  it('a connection without a request is closed without a word', async (context) => {
    assert.equal(await (await rawClient(context, npp.port)).rest(), '')
  })

  it('a connection that has had its answer is closed without a word', async (context) => {
    const client = await rawClient(context, npp.port)
    await client.send(get('/hello')).answer()
    assert.equal(await client.rest(), '')
    assert.equal(client.error, '')
  })
})

describe('a client', () => {
  let npp: Instance
  /** Descriptors of an engine that no client has a connection to. */
  let fresh = 0

  before(async () => {
    npp = await startInstance(`${SITES}faults`)
    const sockets = socketsOf(npp)
    // With the first call the engine begins to watch over the service process, which takes a descriptor.
    assert.equal((await fetch(`${npp.url}/identity/x`, { headers: { connection: 'close' } })).status, 200)
    await eventually('the first client is gone', () => socketsOf(npp) === sockets)
    fresh = descriptorsOf(npp)
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
    assert.deepEqual(
      npp.log.filter(({ level }) => typeof level === 'number' && level >= 40),
      [],
    )
  })

  it('that reads slowly gets all of 5 MB', async (context) => {
    const client = await rawClient(context, npp.port)
    let reads = 0
    client.socket.on('data', () => {
      if (++reads % 8 !== 0) return
      client.socket.pause()
      setTimeout(() => client.socket.resume(), 5)
    })
    const answer = await client.send(get('/big/5000000')).answer()
    assert.deepEqual(answer.body, Buffer.alloc(5_000_000, 'y'))
    assert.equal((await client.send(get('/hello')).answer()).status, 200)
  })

  it('that begins to read after the time to linger gets all of an answer that closes', async (context) => {
    const client = await rawClient(context, npp.port)
    client.socket.pause()
    // More than the kernel takes for both ends, so that the rest is with the engine.
    client.send(get('/big/30000000', 'Connection: close\r\n'))
    await sleep(Limits.lingerMs + 500)
    client.socket.resume()
    assert.equal((await client.answer()).body.byteLength, 30_000_000)
    assert.equal(await client.rest(), '')
    assert.equal(client.error, '')
  })

  it('that does not read holds up no other', async (context) => {
    const clients: RawClient[] = []
    for (let count = 0; count < 5; count++) {
      const client = await rawClient(context, npp.port)
      client.socket.pause()
      clients.push(client.send(get('/big/20000000') + get('/hello')))
    }
    for (let round = 0; round < 50; round++) await assertHealthy(context, npp)
    for (const client of clients) {
      assert.equal(client.chunks.length, 0)
      client.socket.resume()
      const [big, hello] = await client.answers(2)
      assert.deepEqual([big?.body.byteLength, hello?.body.toString()], [20_000_000, 'Hello World!'])
    }
  })

  it('that sends and never reads is not read from without end, and gets all its answers when it reads', async (context) => {
    const client = await rawClient(context, npp.port)
    client.socket.pause()
    const count = 20_000
    const request = get('/big/10000', `X: ${'x'.repeat(1960)}\r\n`)
    const batch = Buffer.from(request.repeat(20))
    let sent = 0
    for (let number = 0; number < count; number += 20) client.socket.write(batch, () => (sent += batch.byteLength))
    // Until the engine has stopped reading, or has taken everything.
    let before = -1
    await eventually('no more is taken', async () => {
      const stalled = sent === before && sent > 0
      before = sent
      if (!stalled) await sleep(300)
      return stalled
    })
    assert.ok(sent < count * request.length, `all of ${sent} bytes were taken`)
    await assertHealthy(context, npp)
    let received = 0
    let length = 0
    client.socket.removeAllListeners('data')
    client.socket.on('data', (chunk) => {
      if (length === 0) length = chunk.indexOf('\r\n\r\n') + 4 + 10_000
      received += chunk.byteLength
    })
    client.socket.resume()
    await eventually('all answers have come', () => received > 0 && received === count * length, 60_000)
  })

  it('that resets its connection, at whatever stage, leaves nothing behind', async (context) => {
    const stages: readonly (readonly [string, (client: RawClient) => Promise<unknown> | undefined])[] = [
      ['at once', () => undefined],
      ['within a start line', async (client) => client.send('GET /h')],
      ['within a header', async (client) => client.send('GET /hello HTTP/1.1\r\nHost:')],
      ['within a body', async (client) => client.send('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nab')],
      ['within chunks', async (client) => client.send('POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab')],
      ['with a request sent', async (client) => client.send(get('/hello'))],
      ['with a call pending', async (client) => client.send(get('/slow/x?ms=30'))],
      ['with calls waiting behind it', async (client) => client.send(get('/slow/x?ms=30').repeat(5))],
      ['with a handler pending', async (client) => client.send(get('/late?ms=30'))],
      ['between requests', (client) => client.send(get('/hello')).answer()],
      ['after a refusal', (client) => client.send('BAD\r\n').answer()],
      [
        'while its answer is half written',
        async (client) => {
          client.send(get('/big/20000000'))
          await eventually('some of the answer has come', () => client.chunks.length > 0)
        },
      ],
      [
        'while its answer is half written and closes',
        async (client) => {
          client.send(get('/big/20000000', 'Connection: close\r\n'))
          await eventually('some of the answer has come', () => client.chunks.length > 0)
        },
      ],
    ]
    for (let round = 0; round < 5; round++) {
      for (const [, reach] of stages) {
        const client = await rawClient(context, npp.port)
        await reach(client)
        // In some rounds the engine has had its turn before the reset, in others it has not.
        if (round % 2 === 0) await sleep(5)
        client.socket.resetAndDestroy()
      }
      await assertHealthy(context, npp)
    }
    await eventually('all descriptors are given back', () => descriptorsOf(npp) <= fresh)
    await assertHealthy(context, npp)
  })

  it('never gets the answer of a call that another one left behind', async (context) => {
    for (let round = 0; round < 20; round++) {
      const left = await rawClient(context, npp.port)
      left.send(get(`/slow/left${round}?ms=20`))
      await sleep(3)
      left.socket.resetAndDestroy()
      const client = await rawClient(context, npp.port)
      const answer = await client.send(get(`/slow/own${round}?ms=1`)).answer()
      assert.match(answer.body.toString(), new RegExp(`"token":"own${round}"`))
      client.socket.end()
      assert.equal(await client.rest(), '')
    }
  })
})

describe('npp that is told to end', () => {
  it('finishes what is in flight with Connection: close, also what waits behind a slow reader, and closes idle connections', async (context) => {
    const npp = await startInstance(`${SITES}faults`)
    context.after(() => npp.stop('SIGKILL'))
    const [idle, busy, slow] = [await rawClient(context, npp.port), await rawClient(context, npp.port), await rawClient(context, npp.port)]
    await idle.send(get('/hello')).answer()
    busy.send(get('/slow/busy?ms=1000'))
    slow.socket.pause()
    slow.send(get('/big/30000000'))
    // The engine has read all of that once it has answered another; the service is still at the call.
    await (await rawClient(context, npp.port)).send(get('/hello')).answer()
    npp.child.kill('SIGTERM')
    assert.equal(await idle.rest(), '')
    const answer = await busy.answer()
    assert.deepEqual([answer.status, answer.fields.get('connection')], [200, 'close'])
    assert.equal(await busy.rest(), '')
    slow.socket.resume()
    assert.equal((await slow.answer()).body.byteLength, 30_000_000)
    assert.equal(await slow.rest(), '')
    assert.equal((await npp.exited).code, 0)
  })
})
