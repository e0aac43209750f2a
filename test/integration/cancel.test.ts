import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { eventually } from '../support/eventually.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'
import { figuresOf, statusNow } from '../support/status.ts'

const LONG_MS = 60_000

let npp: Instance

async function notes(): Promise<unknown> {
  const list: unknown = await (await fetch(`${npp.url}/notes`)).json()
  return list
}

/** Asks, and waits for no answer. */
async function ask(path: string): Promise<Socket> {
  const socket = connect(npp.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`)
  return socket
}

function inQueue(): number {
  const queue = PosixQueue.open({ name: queueNames(npp.id).requests })
  try {
    return queue.count()
  } finally {
    queue.close()
  }
}

function dropped(): number {
  return statusNow(npp).serviceProcesses.reduce((sum, process) => sum + process.dropped, 0)
}

/** The one service process is taken by a call until this is awaited; a call that is made meanwhile waits in the queue. */
async function occupied(text: string): Promise<() => Promise<void>> {
  const running = fetch(`${npp.url}/noted/${text}?ms=1500`)
  await eventually('it runs', () => statusNow(npp).serviceProcesses.some(({ callsInHand }) => callsInHand.length === 1))
  return async () => {
    assert.equal((await running).status, 200)
  }
}

suite('a call that nobody waits for any more', () => {
  before(async () => {
    npp = await startInstance(`${SITES}faults`, { NPP_ASYNC_SVC_PROCESSES: '1' })
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
  })

  for (const [kind, path] of [
    ['a call with req.signal', '/noted/gone?ms=0'],
    ['a page', '/noted-page/gone'],
  ] as const) {
    test(`is not run while it is in the queue, when its client goes: ${kind}`, async () => {
      const droppedBefore = dropped()
      const free = await occupied('first')
      const client = await ask(path)
      await eventually('the call is in the queue', () => inQueue() === 1)
      // An end alone would mean that the client sends no more; it may still read.
      client.resetAndDestroy()
      await free()
      await eventually('it is dropped', () => dropped() === droppedBefore + 1)
      const list = JSON.stringify(await notes())
      assert.ok(list.includes('first') && !list.includes('gone'), list)
    })
  }

  test('nor when its deadline passes there', async () => {
    const droppedBefore = dropped()
    const free = await occupied('second')
    assert.equal((await fetch(`${npp.url}/noted/late?ms=0&timeoutMs=200`)).status, 504)
    assert.equal(inQueue(), 1)
    await free()
    await eventually('it is dropped', () => dropped() === droppedBefore + 1)
    assert.ok(!JSON.stringify(await notes()).includes('late'))
    assert.equal(figuresOf(npp, 'noted')?.timeouts, 1)
  })

  test('is told by its signal that its client has gone while it runs', async () => {
    const client = await ask(`/noted/running?ms=${LONG_MS}`)
    await eventually('it runs', () => statusNow(npp).serviceProcesses.some(({ callsInHand }) => callsInHand[0]?.waits === true))
    client.resetAndDestroy()
    await eventually('it is told', async () => JSON.stringify(await notes()).includes('"running: NPP_CALL_CANCELLED"'))
  })

  test('leaves no error in the log', () => {
    assert.deepEqual(
      npp.log.filter((line) => Number(line['level']) >= 50 && line['code'] !== 'NPP_CALL_TIMEOUT' && line['code'] !== 'NPP_CALL_CANCELLED'),
      [],
    )
    assert.ok(!npp.log.some((line) => line['code'] === 'NPP_CALL_CANCELLED' && String(line['target']).includes('noted-page')))
  })
})
