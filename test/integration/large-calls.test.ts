import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BodyForm, FrameKind, PART, REFERENCE_BYTES, SPILLED, callBytes, replyBytes } from '../../ipc/frame.ts'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { Limits } from '../../shared/limits.ts'
import { patternOf } from '../sites/payloads/pattern.ts'
import { eventually } from '../support/eventually.ts'
import { BASE, messageOf } from '../support/frames.ts'
import { SITES, isAlive, startInstance, type Instance } from '../support/instance.ts'
import { filesOf } from '../support/shm-tools.ts'

const SITE = `${SITES}payloads`
const MiB = 1024 * 1024
const MOST = 64 * MiB
/** What a message holds by default; a machine may allow more, and then the sizes around it are any others. */
const MESSAGE = 8192
const SETTINGS = { NPP_MAX_BODY_BYTES: String(2 * MOST), NPP_LOG_LEVEL: 'info', NPP_ACCESS_LOG: '0' }

let npp: Instance

/** Payloads of the instance that are in /dev/shm. */
function spills(): string[] {
  return filesOf(npp.id).filter((name) => name.includes('.spill.'))
}

async function post(path: string, body: Uint8Array): Promise<Response> {
  return fetch(`${npp.url}${path}`, { method: 'POST', body })
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer())
}

/** assert.deepEqual says too much about a megabyte. */
function assertSame(actual: Buffer, expected: Buffer, what: string): void {
  assert.equal(actual.byteLength, expected.byteLength, what)
  assert.ok(actual.equals(expected), `${what}: other bytes`)
}

async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  const value: unknown = await response.json()
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

const digestOf = (bytes: Buffer): string => createHash('sha1').update(bytes).digest('hex')

/** Small calls, one after the other, until told to end; resolves with how many were answered, each with its own answer. */
function smallCalls(): () => Promise<number> {
  const over = new AbortController()
  const running = (async () => {
    let count = 0
    while (!over.signal.aborted) {
      const token = `small-${count++}`
      const response = await fetch(`${npp.url}/identity/${token}`)
      assert.equal(response.status, 200)
      assert.equal((await jsonOf(response))['token'], token)
    }
    return count
  })()
  return () => {
    over.abort()
    return running
  }
}

/** Twelve calls with large payloads, each checked. */
async function mixedCalls(name: number): Promise<void> {
  for (let count = 0; count < 12; count++) {
    const seed = name * 1000 + count
    const length = [9000, 60_000, 70_000, 300_000, MiB][(name + count) % 5]! + seed
    const body = patternOf(length, seed)
    const response = count % 2 === 0 ? await post('/echo/bytes', body) : await fetch(`${npp.url}/make/buffer/${length}/${seed}`)
    assertSame(await bytesOf(response), body, `${name}/${count}`)
  }
}

const AROUND = [MESSAGE - callBytes(4, 0), MESSAGE - replyBytes(0), MESSAGE, Limits.spillBytes, MiB]
const LENGTHS = [0, 1, ...AROUND.flatMap((length) => [length - 1, length, length + 1])]

suite('payloads of any size', () => {
  before(async () => {
    npp = await startInstance(SITE, { ...SETTINGS, NPP_ASYNC_SVC_PROCESSES: '2' })
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
    assert.deepEqual(filesOf(npp.id), [])
  })

  afterEach(async () => {
    await eventually('no payload is left', () => spills().length === 0)
  })

  for (const [form, type] of [
    ['buffer', 'Buffer'],
    ['bytes', 'Uint8Array'],
  ] as const) {
    test(`go and come back as a ${type}`, async () => {
      for (const length of LENGTHS) {
        const body = patternOf(length, length)
        const response = await post(`/echo/${form}`, body)
        assert.equal(response.headers.get('x-type'), type)
        assertSame(await bytesOf(response), body, `${length} bytes`)
      }
    })

    test(`come from a service as a ${type}`, async () => {
      for (const length of LENGTHS) {
        const response = await fetch(`${npp.url}/make/${form}/${length}/${length}`)
        assert.equal(response.headers.get('x-type'), type)
        assertSame(await bytesOf(response), patternOf(length, length), `${length} bytes`)
      }
    })
  }

  test('go and come back within an object', async () => {
    for (const length of LENGTHS) {
      const body = patternOf(length, length)
      const response = await post(`/echo/object?token=t${length}`, body)
      assert.equal(response.headers.get('x-token'), `t${length}`)
      assertSame(await bytesOf(response), body, `${length} bytes`)
    }
  })

  test('come from a service within an object', async () => {
    for (const length of LENGTHS) {
      const response = await fetch(`${npp.url}/make/object/${length}/${length}`)
      assert.equal(response.headers.get('x-type'), String(length))
      assertSame(await bytesOf(response), patternOf(length, length), `${length} bytes`)
    }
  })

  test('go to a page service and come back as its answer', async () => {
    for (const length of LENGTHS) {
      const body = patternOf(length, length)
      assertSame(await bytesOf(await post('/page', body)), body, `${length} bytes`)
    }
  })

  test('of 64 MiB go and come back, and one byte more does not', async () => {
    const body = patternOf(MOST, 1)
    assertSame(await bytesOf(await post('/echo/buffer', body)), body, 'the largest')
    const tooLarge = await post('/echo/buffer', Buffer.alloc(MOST + 1))
    assert.equal(tooLarge.status, 413)
    await tooLarge.arrayBuffer()
    const result = await fetch(`${npp.url}/make/bytes/${MOST + 1}/1`)
    assert.equal(result.status, 500)
    await result.arrayBuffer()
    const reason = `the result of makeBytes has ${MOST + 1} bytes; maxCallBytes allows ${MOST}`
    await eventually('the log says why', () => npp.stdout.includes(reason))
  })

  test('go many at a time, beside small ones, and each comes back to its own request', async () => {
    const end = smallCalls()
    await Promise.all(Array.from({ length: 8 }, (_, name) => mixedCalls(name)))
    assert.ok((await end()) > 5)
  })

  test('go without a reply too', async () => {
    for (let count = 0; count < 4; count++) assert.equal((await post('/note', Buffer.alloc(100_000))).status, 200)
    await eventually('they are noted', async () => {
      const counts = await Promise.all(Array.from({ length: 4 }, async () => Number(await (await fetch(`${npp.url}/noted`)).text())))
      return counts.some((count) => count > 0)
    })
  })

  test('that others forge are refused and logged, and no call is lost', async () => {
    const { requests, replies } = queueNames(npp.id)
    const queues = [requests, replies].map((name) => PosixQueue.open({ name }))
    try {
      const [toServices, toEngine] = queues
      const deadline = Number(process.hrtime.bigint()) / 1e6 + 60_000
      const forged = {
        ...BASE,
        engine: 0,
        epoch: 1,
        call: 3,
        generation: 2 ** 31,
        deadline,
        name: 'echo',
        form: BodyForm.Buffer,
        large: SPILLED,
      }
      const nowhere = Buffer.alloc(REFERENCE_BYTES, 0xee)
      nowhere.writeUInt32LE(1000)
      const tooLong = Buffer.alloc(REFERENCE_BYTES, 0xff)
      const part = Buffer.alloc(100)
      part.writeUInt32LE(1000)
      const reply = { ...forged, kind: FrameKind.Reply, name: '' }
      const end = smallCalls()
      const mixed = mixedCalls(99)
      for (let round = 0; round < 20; round++) {
        for (const body of [nowhere, tooLong]) {
          await eventually('there is room', () => toServices?.push(messageOf([{ ...forged, body }])) === true)
          await eventually('there is room', () => toEngine?.push(messageOf([{ ...reply, body }])) === true)
        }
        await eventually('there is room', () => toEngine?.push(messageOf([{ ...reply, large: PART, body: part }])) === true)
        const cut = messageOf([{ ...reply, body: nowhere }])
        await eventually('there is room', () => toEngine?.push(cut.subarray(0, -1)) === true)
        await sleep(5)
      }
      await mixed
      assert.ok((await end()) > 5)
    } finally {
      for (const queue of queues) queue.close()
    }
    for (const line of [
      'the large input of a call is gone; not run',
      'maxCallBytes allows',
      'a message on the reply queue is not one of npp',
    ])
      await eventually(line, () => npp.stdout.includes(line))
  })

  test('of calls that time out are removed, also of those that nobody has begun', async () => {
    const calls = Array.from({ length: 12 }, () => post('/once/late?ms=300&timeoutMs=100', Buffer.alloc(MiB)))
    const statuses = (await Promise.all(calls)).map(({ status }) => status)
    assert.ok(statuses.every((status) => status === 504))
    await eventually('none is left', () => spills().length === 0)
    assert.equal((await fetch(`${npp.url}/identity/after`)).status, 200)
  })

  test('of calls whose clients go are removed', async () => {
    const clients = Array.from({ length: 12 }, () => {
      const client = request(`${npp.url}/once/gone?ms=300`, { method: 'POST' })
      client.on('error', () => undefined)
      client.end(Buffer.alloc(MiB))
      return client
    })
    await eventually('some wait', () => spills().length > 0)
    for (const client of clients) client.destroy()
    await eventually('none is left', () => spills().length === 0)
    assert.equal((await fetch(`${npp.url}/identity/after`)).status, 200)
  })
})

/** Pids of the services that live. */
function living(): number[] {
  return npp.servicePids.filter((pid) => isAlive(pid))
}

async function killAll(): Promise<number[]> {
  const pids = living()
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await eventually('they are gone', () => pids.every((pid) => !isAlive(pid)))
  return pids
}

suite('a service that is killed with large payloads in hand', () => {
  before(async () => {
    npp = await startInstance(SITE, { ...SETTINGS, NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '16' })
    await eventually('both are there', () => new Set(npp.servicePids).size === 2)
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
    assert.deepEqual(filesOf(npp.id), [])
  })

  for (const length of [20_000, MiB]) {
    test(`idempotent calls of ${length} bytes are made again with their input`, async () => {
      const bodies = Array.from({ length: 6 }, (_, seed) => patternOf(length, seed))
      const running = bodies.map(async (body, index) => jsonOf(await post(`/again/t${index}?ms=1500`, body)))
      await eventually('they are taken', () => spills().length === 0)
      await sleep(200)
      const killed = await killAll()
      const replies = await Promise.all(running)
      assert.deepEqual(
        replies.map(({ token, digest }) => [token, digest]),
        bodies.map((body, index) => [`t${index}`, digestOf(body)]),
      )
      assert.ok(replies.every(({ pid }) => !killed.includes(Number(pid))))
      await eventually('no payload is left', () => spills().length === 0)
      await eventually('both are there again', () => living().length === 2)
    })
  }

  test('others are answered 502, and nothing is left', async () => {
    const running = Array.from({ length: 6 }, (_, index) => post(`/once/t${index}?ms=20000&timeoutMs=30000`, Buffer.alloc(MiB)))
    await sleep(400)
    await killAll()
    const statuses = (await Promise.all(running)).map(({ status }) => status)
    assert.deepEqual(
      statuses,
      Array.from({ length: 6 }, () => 502),
    )
    await eventually('no payload is left', () => spills().length === 0)
    await eventually('both are there again', () => living().length === 2)
  })

  test('that it had not sent: they are removed, and what was sent is answered', async () => {
    const length = Limits.spillBytes + 1
    const count = 40
    const replies = Array.from({ length: count }, async (_, seed) => {
      const response = await fetch(`${npp.url}/later/${length}/${seed}?ms=${300 + seed * 5}`)
      return { status: response.status, bytes: await bytesOf(response) }
    })
    await sleep(200)
    // Nobody takes replies now: the queue fills, and the others stay in the services.
    process.kill(npp.pid, 'SIGSTOP')
    try {
      await eventually('they have replied', () => spills().length >= 8)
      await sleep(500)
      for (const pid of living()) process.kill(pid, 'SIGKILL')
    } finally {
      process.kill(npp.pid, 'SIGCONT')
    }
    const statuses: number[] = []
    for (const [seed, { status, bytes }] of (await Promise.all(replies)).entries()) {
      statuses.push(status)
      if (status === 200) assertSame(bytes, patternOf(length, seed), `reply ${seed}`)
    }
    assert.ok(statuses.every((status) => [200, 502].includes(status)))
    assert.ok(statuses.includes(200) && statuses.includes(502), statuses.join(' '))
    await eventually('no payload is left', () => spills().length === 0)
    await eventually('both are there again', () => living().length === 2)
  })

  test("again and again while large replies come: nothing is left, and no answer is another's", async () => {
    const end = performance.now() + 4000
    const counts = new Map<number, number>()
    const client = async (name: number): Promise<void> => {
      for (let count = 0; performance.now() < end; count++) {
        const [length, seed] = [[20_000, 300_000, MiB][count % 3]!, name * 10_000 + count]
        const response = await fetch(`${npp.url}/make/buffer/${length}/${seed}`)
        const bytes = await bytesOf(response)
        counts.set(response.status, (counts.get(response.status) ?? 0) + 1)
        if (response.status === 200) assertSame(bytes, patternOf(length, seed), `${name}/${count}`)
        else assert.ok([502, 503].includes(response.status), String(response.status))
      }
    }
    const killing = (async () => {
      while (performance.now() < end - 300) {
        await sleep(300)
        const [pid] = living()
        if (pid !== undefined) process.kill(pid, 'SIGKILL')
      }
    })()
    await Promise.all([killing, ...Array.from({ length: 8 }, (_, name) => client(name))])
    assert.ok((counts.get(200) ?? 0) > 10, JSON.stringify([...counts]))
    await eventually('no payload is left', () => spills().length === 0)
  })
})

/** Words that run a program with a file system of its own for /dev/shm; undefined where this user may mount none. */
function mounting(): string | undefined {
  return ['-m', '-rm'].find((flags) => spawnSync('unshare', [flags, 'sh', '-c', 'mount -t tmpfs none /dev/shm']).status === 0)
}

suite('without room in /dev/shm', () => {
  test('small calls go on, large inputs are answered 503, and large replies arrive', async (context) => {
    const flags = mounting()
    if (flags === undefined) {
      context.diagnostic('this user may not mount a file system')
      return
    }
    const folder = mkdtempSync(join(tmpdir(), 'npp-large-'))
    context.after(() => rmSync(folder, { recursive: true }))
    const node = join(folder, 'node')
    // The scoreboard takes 0.7 MB of it.
    const mount = 'mount -t tmpfs -o size=3m none /dev/shm && exec "$0" "$@"'
    writeFileSync(node, `#!/bin/sh\nexec unshare ${flags} sh -c '${mount}' '${process.execPath}' "$@"\n`)
    chmodSync(node, 0o755)
    npp = await startInstance(SITE, { ...SETTINGS, NPP_ASYNC_SVC_PROCESSES: '1' }, { node })
    try {
      const end = smallCalls()
      for (let round = 0; round < 3; round++) {
        const refused = await post('/echo/buffer', Buffer.alloc(4 * MiB))
        assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1'])
        await refused.arrayBuffer()
        for (const form of ['buffer', 'bytes', 'object']) {
          const response = await fetch(`${npp.url}/make/${form}/${4 * MiB + round}/${round}`)
          assertSame(await bytesOf(response), patternOf(4 * MiB + round, round), `${form} ${round}`)
        }
        const fits = patternOf(MiB, round)
        assertSame(await bytesOf(await post('/echo/buffer', fits)), fits, 'what fits')
      }
      assert.ok((await end()) > 5)
      await eventually('the log says why', () => npp.stdout.includes('large replies travel in messages: they cannot be spilled'))
      await eventually('and of which calls', () => npp.stdout.includes('there is no room') || npp.stdout.includes('NPP_CALL_NO_MEMORY'))
    } finally {
      assert.equal(await npp.stop(), 0)
    }
  })
})
