import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { NppProcess, SITES, environment, startInstance, type Instance } from '../support/instance.ts'

const FAULTS = `${SITES}faults`

let instance: Instance

before(async () => {
  instance = await startInstance(FAULTS, { NPP_ASYNC_SVC_PROCESSES: '1', NPP_ASYNC_SVC_CONCURRENCY: '5' })
})

after(async () => {
  await instance.stop()
})

async function json(path: string): Promise<unknown> {
  const answer: unknown = await (await fetch(instance.url + path)).json()
  return answer
}

// Before any other, as calls that were given up go on in the service.
test('a service process runs as many calls at a time as it may, and no more', async () => {
  const counts = await Promise.all(Array.from({ length: 12 }, () => json('/together?ms=300')))
  assert.equal(Math.max(...counts.map(Number)), 5)
})

describe('a call', () => {
  test('that wants no reply is run', async () => {
    assert.equal(await (await fetch(`${instance.url}/note/one`)).text(), 'noted')
    await eventually('the service has noted it', async () => JSON.stringify(await json('/notes')) === '["one"]')
  })

  test('with an input that its schema refuses is answered 400, and not made', async () => {
    assert.equal(await json('/half/42'), 21)
    assert.equal((await fetch(`${instance.url}/half/1`)).status, 400)
    assert.deepEqual(await json('/half/1?catch'), [{ path: 'number', message: 'not even' }])
    assert.ok(!instance.log.some((line) => line['name'] === 'npp_svc' && JSON.stringify(line).includes('not even')))
  })

  test('has the timeout that its service declares', async () => {
    assert.equal((await fetch(`${instance.url}/impatient`)).status, 504)
  })

  test('with req.signal ends when the client goes', async () => {
    const socket = connect(instance.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write('GET /until-gone HTTP/1.1\r\nHost: h\r\n\r\n')
    await eventually('the call is under way', async () => (await fetch(`${instance.url}/hello`)).ok)
    // An end alone would mean that the client sends no more; it may still read.
    socket.resetAndDestroy()
    await eventually('it is cancelled', async () => JSON.stringify(await json('/cancelled')) === '["NPP_CALL_CANCELLED"]')
  })
})

test('services that come and go under load lose no call', async () => {
  const settings = environment({ NPP_ASYNC_ID: instance.id })
  const load = { isOver: false }
  let answered = 0
  const pids = new Set<unknown>()
  const client = async (name: number): Promise<void> => {
    for (let round = 0; !load.isOver; round++) {
      const token = `${name}-${round}`
      // Mostly the one that leaves calls of its message waiting: what a service has to give back when it is told to stop.
      const path = round % 4 === 0 ? `/work/${token}?ms=1` : `/brief/${token}`
      const answer = await fetch(instance.url + path)
      assert.equal(answer.status, 200, `${answer.status} for ${token}`)
      const body: unknown = await answer.json()
      assert.ok(typeof body === 'object' && body !== null && 'token' in body && 'pid' in body)
      assert.equal(body.token, token)
      pids.add(body.pid)
      answered++
    }
  }
  const clients = Promise.all(Array.from({ length: 30 }, (_, name) => client(name))).finally(() => {
    load.isOver = true
  })
  let svc: NppProcess | undefined
  try {
    for (let round = 0; round < 4 && !load.isOver; round++) {
      svc = new NppProcess(['svc', FAULTS], settings)
      const { pid } = svc
      await eventually('it takes calls', () => pids.has(pid) || load.isOver)
      const before = answered
      await eventually('work is done', () => answered > before + 200 || load.isOver)
      assert.equal(await svc.stop(), 0)
    }
  } finally {
    load.isOver = true
    await svc?.stop('SIGKILL')
  }
  await clients
  assert.equal(pids.size, 5)
})
