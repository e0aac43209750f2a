import assert from 'node:assert/strict'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { openScoreboard } from '../../ipc/scoreboard-file.ts'
import { ProcessKind } from '../../ipc/scoreboard.ts'
import { eventually } from '../support/eventually.ts'
import { isAlive, SITES, startInstance, type Instance } from '../support/instance.ts'

interface Reply {
  readonly status: number
  readonly token: unknown
  readonly pid: unknown
}

let npp: Instance

async function ask(path: string): Promise<Reply> {
  const response = await fetch(`${npp.url}${path}`)
  const value: unknown = response.status === 200 ? await response.json() : undefined
  const fields: { readonly token?: unknown; readonly pid?: unknown } = typeof value === 'object' && value !== null ? value : {}
  return { status: response.status, token: fields.token, pid: fields.pid }
}

/** Pids of the services that have attached, as the scoreboard has them. */
function services(): number[] {
  const file = openScoreboard(npp.id, { inboxBytes: messageBytes() })
  try {
    return file.board
      .occupants()
      .filter(({ kind, pid }) => kind === ProcessKind.Service && isAlive(pid))
      .map(({ pid }) => pid)
  } finally {
    file.close()
  }
}

/** Bytes of a message of the instance. */
function messageBytes(): number {
  const queue = PosixQueue.open({ name: queueNames(npp.id).requests })
  try {
    return queue.messageSize
  } finally {
    queue.close()
  }
}

/** Kills both services, which are started again. */
async function killServices(): Promise<number[]> {
  let pids: number[] = []
  await eventually('two live', () => (pids = services()).length === 2)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return pids
}

const LONG_MS = 60_000

suite('calls that a killed service had in hand', () => {
  // A new one for each: services that die again and again are started ever later.
  beforeEach(async () => {
    npp = await startInstance(`${SITES}faults`, { NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '4' })
    // Both have announced their services by the time both have answered.
    const pids = new Set<unknown>()
    await eventually('both answer', async () => {
      const replies = await Promise.all(Array.from({ length: 8 }, () => ask('/again/x?ms=20')))
      for (const { pid } of replies) pids.add(pid)
      return pids.size >= 2
    })
  })

  afterEach(async () => {
    assert.equal(await npp.stop(), 0)
  })

  for (const [kind, path] of [
    ['that waits', '/slow/a'],
    ['that computes', '/busy'],
  ] as const) {
    test(`of a service ${kind}: 502 at once`, async () => {
      const running = Array.from({ length: 2 }, () => ask(`${path}?ms=${LONG_MS}&timeoutMs=${LONG_MS}`))
      await sleep(100)
      await killServices()
      assert.deepEqual(
        (await Promise.all(running)).map(({ status }) => status),
        [502, 502],
      )
      assert.equal((await ask('/identity/after')).token, 'after')
    })
  }

  for (const [kind, more] of [
    ['that waits', ''],
    ['that computes', '&busy'],
  ] as const) {
    test(`of an idempotent service ${kind}: made again, once`, async () => {
      const running = ['a', 'b'].map((token) => ask(`/again/${token}?ms=1500${more}`))
      await sleep(100)
      const killed = await killServices()
      const replies = await Promise.all(running)
      assert.deepEqual(
        replies.map(({ status, token }) => [status, token]),
        [
          [200, 'a'],
          [200, 'b'],
        ],
      )
      assert.ok(replies.every(({ pid }) => !killed.includes(Number(pid))))
    })
  }

  test('of an idempotent service that dies of it: 502 after the second time', async () => {
    const running = ask('/again/a?ms=20000')
    await sleep(100)
    const first = await killServices()
    // It is in hand again as soon as anybody takes calls.
    assert.equal((await ask('/identity/between')).token, 'between')
    const second = await killServices()
    assert.ok(second.every((pid) => !first.includes(pid)))
    assert.equal((await running).status, 502)
  })

  test('behind one that computes, and not begun: run by another, whatever its service is', async () => {
    // Quick so far, all of them: they travel in one message.
    const heldUp = async (ms: number): Promise<unknown> => (await fetch(`${npp.url}/held-up?ms=${ms}&timeoutMs=${LONG_MS}`)).json()
    for (let count = 0; count < 30; count++) assert.deepEqual(await heldUp(0), ['replied', 'replied', 'replied', 'replied'])
    const ends = heldUp(LONG_MS)
    await sleep(300)
    await killServices()
    assert.deepEqual(await ends, ['NPP_SERVICE_DIED', 'NPP_SERVICE_DIED', 'replied', 'replied'])
  })

  test('under load: every call is answered, with its own answer', async () => {
    const end = performance.now() + 4000
    let [answered, made] = [0, 0]
    const statuses = new Map<number, number>()
    const client = async (name: number): Promise<void> => {
      for (let count = 0; performance.now() < end; count++) {
        const token = `${name}-${count}`
        const path = count % 2 === 0 ? `/again/${token}?ms=5` : `/identity/${token}`
        made++
        const reply = await ask(path)
        answered++
        statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1)
        if (reply.status === 200) assert.equal(reply.token, token)
        else assert.ok([502, 503].includes(reply.status), `${path}: ${reply.status}`)
      }
    }
    const killing = (async () => {
      while (performance.now() < end - 500) {
        await sleep(400)
        const [pid] = services()
        if (pid !== undefined) process.kill(pid, 'SIGKILL')
      }
    })()
    await Promise.all([killing, ...Array.from({ length: 16 }, (_, name) => client(name))])
    assert.equal(answered, made)
    assert.ok((statuses.get(200) ?? 0) > 100)
  })
})
