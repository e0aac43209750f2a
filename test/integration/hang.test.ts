import assert from 'node:assert/strict'
import { afterEach, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/eventually.ts'
import { SITES, isAlive, startInstance, type Instance } from '../support/instance.ts'
import { figuresOf, servicePidsOf, statusNow } from '../support/status.ts'

const LONG_MS = 60_000
const HANG_MS = 500

let npp: Instance

interface Reply {
  readonly status: number
  readonly token: unknown
  readonly pid: number
}

async function ask(path: string): Promise<Reply> {
  const response = await fetch(`${npp.url}${path}`)
  const value: unknown = response.status === 200 ? await response.json() : await response.text()
  const fields: { readonly token?: unknown; readonly pid?: unknown } = typeof value === 'object' && value !== null ? value : {}
  return { status: response.status, token: fields.token, pid: Number(fields.pid) }
}

async function start(processes: number, concurrency: number, hangMs = HANG_MS): Promise<number[]> {
  npp = await startInstance(`${SITES}faults`, {
    NPP_ASYNC_SVC_PROCESSES: String(processes),
    NPP_ASYNC_SVC_CONCURRENCY: String(concurrency),
    NPP_SVC_HANG_MS: String(hangMs),
  })
  await eventually('all are there', () => servicePidsOf(npp).length === processes)
  return servicePidsOf(npp)
}

/** Calls of these services run now. */
async function run(...names: readonly string[]): Promise<void> {
  await eventually(`${names.join()} run`, () => {
    const inHand = new Set(statusNow(npp).serviceProcesses.flatMap(({ callsInHand }) => callsInHand.map(({ service }) => service)))
    return names.every((name) => inHand.has(name))
  })
}

function killed(): unknown[] {
  return npp.log.flatMap((line) => (String(line['msg']).includes('npp_svc is blocked') ? [line['pid']] : []))
}

suite('a service process that blocks', { timeout: 240_000 }, () => {
  afterEach(async () => {
    assert.equal(await npp.stop(), 0)
  })

  test('past the deadline of its call and the grace is killed and replaced, while others go on', async () => {
    const before = await start(2, 1)
    const blocking = ask(`/busy?ms=${LONG_MS}&timeoutMs=300`)
    await run('busy')
    for (let count = 0; count < 20; count++) assert.equal((await ask(`/identity/${count}`)).token, String(count))
    assert.equal((await blocking).status, 504)
    assert.deepEqual(killed(), [], 'not before the grace is over')
    await eventually('one is replaced', () => servicePidsOf(npp).length === 2 && servicePidsOf(npp).some((pid) => !before.includes(pid)))
    const gone = before.find((pid) => !servicePidsOf(npp).includes(pid))
    assert.ok(gone !== undefined && !isAlive(gone))
    assert.deepEqual(killed(), [gone])
    assert.equal(npp.log.find((line) => String(line['msg']).includes('blocked'))?.['service'], 'busy')
    assert.equal((await ask('/identity/after')).token, 'after')
  })

  test('has its other calls answered: made again where that is harmless, once, else 502', async () => {
    const [before] = await start(1, 4)
    const [slow, again] = [ask(`/slow/a?ms=${LONG_MS}&timeoutMs=${LONG_MS}`), ask(`/again/b?ms=2500`)]
    const twice = ask(`/again/c?ms=${LONG_MS}`)
    await run('slow', 'again')
    assert.equal((await ask(`/busy?ms=${LONG_MS}&timeoutMs=200`)).status, 504)
    assert.equal((await slow).status, 502)
    const { status, token, pid } = await again
    assert.deepEqual([status, token, pid === before], [200, 'b', false])
    // It is in hand once more by now.
    await run('again')
    assert.equal((await ask(`/busy?ms=${LONG_MS}&timeoutMs=200`)).status, 504)
    assert.equal((await twice).status, 502)
    assert.equal(killed().length, 2)
    await eventually('it is counted', () => figuresOf(npp, 'again')?.retries === 2)
    await eventually('all are counted', () => figuresOf(npp, 'busy')?.timeouts === 2)
    assert.deepEqual([figuresOf(npp, 'slow')?.errors, figuresOf(npp, 'slow')?.calls], [1, 1])
  })

  test('has those of its message answered that it had not begun, or not replied to', async () => {
    await start(1, 1)
    // Both are known to be quick after that.
    for (let count = 0; count < 30; count++) {
      assert.equal((await ask('/work/x?ms=0')).status, 200)
      assert.equal((await fetch(`${npp.url}/half/2`)).status, 200)
    }
    const ends: unknown = await (await fetch(`${npp.url}/held-up?ms=${LONG_MS}&timeoutMs=300`)).json()
    assert.deepEqual(ends, ['NPP_SERVICE_DIED', 'NPP_CALL_TIMEOUT', 'replied', 'replied'])
    assert.equal(killed().length, 1)
  })

  test('in time of its own deadline is left alone, and so is one that awaits past its deadline', async () => {
    const before = await start(2, 4)
    assert.equal((await ask('/slow/a?ms=7000&timeoutMs=200')).status, 504)
    // Two seconds and more beyond its deadline and the grace.
    await sleep(3000)
    assert.deepEqual([killed(), servicePidsOf(npp)], [[], before])
    assert.ok(statusNow(npp).serviceProcesses.some(({ callsInHand }) => callsInHand.some(({ leftMs }) => leftMs < -2500)))
    // Computes for long, in the same process and in the other, and may: a call that waits there past its deadline is not the one that runs.
    const busy = await Promise.all([ask('/busy?ms=3000'), ask('/busy?ms=3000')])
    assert.deepEqual(new Set(busy.map(({ status, pid }) => (status === 200 ? pid : status))), new Set(before))
    assert.deepEqual([killed(), servicePidsOf(npp)], [[], before])
  })
})

/** Clients that ask as fast as they can; `end` tells how often they were answered how. */
function load(path: (token: string) => string): { readonly answers: Map<number, number>; readonly end: () => Promise<void> } {
  const answers = new Map<number, number>()
  const state = { isOver: false }
  const client = async (name: number): Promise<void> => {
    for (let count = 0; !state.isOver; count++) {
      const { status, token } = await ask(path(`${name}-${count}`))
      answers.set(status, (answers.get(status) ?? 0) + 1)
      if (status === 200) assert.equal(token, `${name}-${count}`)
    }
  }
  const clients = Promise.all(Array.from({ length: 16 }, (_, name) => client(name)))
  return {
    answers,
    end: async () => {
      state.isOver = true
      await clients
    },
  }
}

suite('a service process that is stopped under load', { timeout: 120_000 }, () => {
  afterEach(async () => {
    assert.equal(await npp.stop(), 0)
  })

  test('for longer than the grace: what it holds ends, all else is answered by the other, and it is replaced', async () => {
    const [stopped = 0] = await start(2, 1)
    // 16 requests at a time: those that the process holds are 16 at the most.
    const { answers, end } = load((token) => `/work/${token}?ms=5&timeoutMs=1000`)
    await eventually('there is load', () => (answers.get(200) ?? 0) > 100)
    await eventually('it is stopped with a call in hand', async () => {
      process.kill(stopped, 'SIGSTOP')
      if (statusNow(npp).serviceProcesses.some(({ pid, callsInHand }) => pid === stopped && callsInHand.length > 0)) return true
      process.kill(stopped, 'SIGCONT')
      return false
    })
    const answered = answers.get(200) ?? 0
    await eventually('others are answered', () => (answers.get(200) ?? 0) > answered + 100)
    await eventually('it is replaced', () => servicePidsOf(npp).length === 2 && !servicePidsOf(npp).includes(stopped))
    await end()
    assert.deepEqual(killed(), [stopped])
    const failed = [...answers].filter(([status]) => status !== 200)
    const count = failed.reduce((sum, [, times]) => sum + times, 0)
    assert.ok(count > 0 && count <= 16 && failed.every(([status]) => status === 504 || status === 502), JSON.stringify([...answers]))
  })

  test('with calls that it awaits: they end at their deadlines or with it', async () => {
    const [stopped = 0] = await start(1, 4)
    const calls = [ask('/slow/a?ms=60000&timeoutMs=600'), ask('/again/b?ms=300&timeoutMs=60000')]
    await run('slow', 'again')
    process.kill(stopped, 'SIGSTOP')
    assert.equal((await calls[0])?.status, 504)
    process.kill(stopped, 'SIGCONT')
    assert.equal((await calls[1])?.status, 200)
    const last = ask('/slow/c?ms=60000&timeoutMs=300')
    await run('slow')
    process.kill(stopped, 'SIGSTOP')
    assert.equal((await last).status, 504)
    await eventually('it is killed', () => !isAlive(stopped))
    assert.equal((await ask('/identity/after')).token, 'after')
  })

  test('and goes on within the grace: it works as before', async () => {
    const [stopped = 0] = await start(2, 1, 30_000)
    const { answers, end } = load((token) => `/identity/${token}?timeoutMs=1000`)
    await eventually('there is load', () => (answers.get(200) ?? 0) > 200)
    process.kill(stopped, 'SIGSTOP')
    await sleep(2500)
    process.kill(stopped, 'SIGCONT')
    const answered = answers.get(200) ?? 0
    await eventually('there is load again', () => (answers.get(200) ?? 0) > answered + 200)
    await end()
    assert.deepEqual(killed(), [])
    await eventually('it answers', async () =>
      (await Promise.all(Array.from({ length: 8 }, () => ask('/work/x?ms=5')))).some(({ pid }) => pid === stopped),
    )
  })
})
