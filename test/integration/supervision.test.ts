import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { callsInHand } from '../support/attached-services.ts'
import { eventually } from '../support/eventually.ts'
import { NppProcess, SITES, environment, freshInstanceId, isAlive, queuesOf, startInstance, type Instance } from '../support/instance.ts'
import { Limits } from '../../shared/limits.ts'

const FAULTS = `${SITES}faults`

/** Queues are few on a machine: each test ends what it started before the next one begins. */
async function start(context: TestContext, settings: Readonly<Record<string, string>> = {}, id?: string): Promise<Instance> {
  const instance = await startInstance(FAULTS, settings, id === undefined ? {} : { id })
  context.after(() => instance.stop('SIGKILL'))
  return instance
}

async function pidOf(url: string): Promise<number> {
  const reply: unknown = await (await fetch(`${url}/identity/x`)).json()
  return typeof reply === 'object' && reply !== null && 'pid' in reply && typeof reply.pid === 'number' ? reply.pid : 0
}

/** Waits until exactly these many services are attached, and returns their pids. */
async function attached(instance: Instance, count: number): Promise<number[]> {
  await eventually(`${count} services attached`, () => instance.servicePids.filter((pid) => isAlive(pid)).length === count)
  return instance.servicePids.filter((pid) => isAlive(pid))
}

/** The delays after which services that died were to be started again. */
function delaysOf(instance: Instance): number[] {
  return instance.log.flatMap((line) => /starting again in (\d+) ms/.exec(String(line['msg']))?.[1] ?? []).map(Number)
}

/** How often a service was started again at once. */
function restartsAtOnce(instance: Instance): number {
  return instance.log.filter((line) => /starting again at once/.test(String(line['msg']))).length
}

/** Pids of the processes that live and were started by this one. */
function childrenOf(pid: number): number[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  return pids.filter((child) => isAlive(child))
}

describe('services under npp start', () => {
  test('as many run as ASYNCSvcProcesses says, each a process called npp_svc', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '3' })
    const pids = await attached(instance, 3)
    assert.equal(new Set(pids).size, 3)
    assert.equal(await instance.stop(), 0)
    assert.deepEqual(
      pids.filter((pid) => isAlive(pid)),
      [],
    )
  })

  test('one that is killed is started again, and calls made meanwhile wait for it', async (context) => {
    const instance = await start(context)
    const before = await pidOf(instance.url)
    process.kill(before, 'SIGKILL')
    const next = await pidOf(instance.url)
    assert.notEqual(next, before)
    assert.ok(isAlive(next))
    assert.ok(instance.log.some((line) => line['signal'] === 'SIGKILL' && line['pid'] === before))
    await instance.stop()
  })

  test('one that keeps dying by itself is started again ever more rarely, and the engine serves on', async (context) => {
    const instance = await start(context)
    for (const [round, how] of ['exit', 'fault', 'exit'].entries()) {
      await attached(instance, 1)
      assert.equal((await fetch(`${instance.url}/dies/${how}`)).status, 502)
      await eventually('the death is noticed', () => delaysOf(instance).length === round + 1)
    }
    assert.deepEqual(delaysOf(instance), [Limits.restartBackoffMs, Limits.restartBackoffMs * 2, Limits.restartBackoffMs * 4])
    assert.deepEqual(
      instance.log.flatMap((line) => (/starting again in/.test(String(line['msg'])) ? [line['signal'] ?? line['code']] : [])),
      [1, 'SIGSEGV', 1],
    )
    assert.equal((await fetch(`${instance.url}/hello`)).status, 200)
    await instance.stop()
  })

  test('one that is killed from outside is started again at once, ten times in a row too', async (context) => {
    const instance = await start(context)
    const seen = new Set<number>()
    for (let round = 1; round <= 10; round++) {
      const pid = await pidOf(instance.url)
      assert.equal(seen.has(pid), false)
      seen.add(pid)
      process.kill(pid, round % 2 === 0 ? 'SIGTERM' : 'SIGKILL')
      await eventually('the end is noticed', () => restartsAtOnce(instance) === round)
    }
    assert.deepEqual(delaysOf(instance), [])
    // All that has not counted: the first that ends by itself comes back as soon as any.
    assert.equal((await fetch(`${instance.url}/dies/exit`)).status, 502)
    await eventually('the death is noticed', () => delaysOf(instance).length === 1)
    assert.deepEqual(delaysOf(instance), [Limits.restartBackoffMs])
    assert.equal((await fetch(`${instance.url}/identity/x`)).status, 200)
    await instance.stop()
  })

  test('one that is killed before it has attached counts as dying by itself', async (context) => {
    const instance = await start(context)
    // One that is killed may live on for a moment.
    const killed = [await pidOf(instance.url)]
    process.kill(killed[0] ?? 0, 'SIGKILL')
    for (let round = 1; round <= 2; round++) {
      let starting: number | undefined
      // A start takes some hundred milliseconds until it attaches.
      await eventually(
        'the next is starting',
        () => (starting = childrenOf(instance.pid).find((pid) => !killed.includes(pid))) !== undefined,
      )
      process.kill(starting ?? 0, 'SIGKILL')
      killed.push(starting ?? 0)
      await eventually('its death is noticed', () => delaysOf(instance).length === round)
    }
    assert.deepEqual(delaysOf(instance), [Limits.restartBackoffMs, Limits.restartBackoffMs * 2])
    assert.equal((await fetch(`${instance.url}/identity/x`)).status, 200)
    await instance.stop()
  })
})

describe('the end', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} finishes what is in flight, ends the services and removes the queues`, async (context) => {
      const instance = await start(context)
      const [service = 0] = await attached(instance, 1)
      const inFlight = fetch(`${instance.url}/slow/flying?ms=500`)
      await eventually('the call is under way', async () => (await fetch(`${instance.url}/hello`)).status === 200)
      const code = instance.stop(signal)
      const answer = await inFlight
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('connection'), 'close')
      assert.match(await answer.text(), /"token":"flying"/)
      assert.equal(await code, 0)
      assert.equal(isAlive(service), false)
      assert.deepEqual(instance.queues, [])
    })
  }

  test('a request that takes longer than drainTimeout is cut off', async (context) => {
    const instance = await start(context, { NPP_DRAIN_TIMEOUT: '0.2' })
    const inFlight = fetch(`${instance.url}/slow/stuck?ms=60000&timeoutMs=60000`).then(
      () => 'answered',
      () => 'cut off',
    )
    await eventually('the call is under way', async () => (await fetch(`${instance.url}/hello`)).status === 200)
    assert.equal(await instance.stop(), 0)
    assert.equal(await inFlight, 'cut off')
    assert.deepEqual(instance.queues, [])
  })

  test('kill -9 of npp_app: its services notice, end, and leave no queue', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '2' })
    const services = await attached(instance, 2)
    instance.child.kill('SIGKILL')
    await eventually('the services have ended', () => services.every((pid) => !isAlive(pid)))
    await eventually('the queues are gone', () => instance.queues.length === 0)
  })

  test('kill -9 of everything: the next start takes the queues over, with nothing of what was in them', async (context) => {
    const instance = await start(context)
    const [service = 0] = await attached(instance, 1)
    process.kill(service, 'SIGSTOP') // What is called now stays in the queue.
    const lost = fetch(`${instance.url}/identity/lost`).catch(() => undefined)
    await eventually('the call is queued', async () => (await fetch(`${instance.url}/hello`)).status === 200)
    instance.child.kill('SIGKILL')
    process.kill(service, 'SIGKILL')
    await lost
    await eventually('both are dead', () => !isAlive(instance.pid) && !isAlive(service))
    assert.equal(instance.queues.length, 2, 'nobody was left to remove them')
    const next = await start(context, {}, instance.id)
    assert.equal((await fetch(`${next.url}/identity/next`)).status, 200)
    assert.equal(
      next.log.some((line) => line['level'] === 40),
      false,
      'no message of the dead engine came through',
    )
    assert.equal(await next.stop(), 0)
    assert.deepEqual(next.queues, [])
  })

  test('the queues of a living instance are not touched by a second start', async (context) => {
    const instance = await start(context)
    const second = new NppProcess(['start', FAULTS], environment({ NPP_ASYNC_ID: instance.id }))
    assert.equal((await second.exited).code, 75)
    assert.match(second.stderr, new RegExp(`an npp_app of the instance ${instance.id} is running`))
    assert.equal((await fetch(`${instance.url}/identity/still`)).status, 200)
    await instance.stop()
  })

  test('an exception that nobody catches is logged with its stack, and leaves nothing behind', async (context) => {
    const instance = await start(context)
    const [service = 0] = await attached(instance, 1)
    await fetch(`${instance.url}/hello`)
    await fetch(`${instance.url}/crash`).catch(() => undefined)
    assert.equal((await instance.exited).code, 70)
    assert.ok(instance.log.some((line) => /nobody catches this[\s\S]*\n +at /.test(String(line['error']))))
    assert.ok(
      instance.log.some((line) => line['target'] === '/hello' && line['status'] === 200),
      'access lines were flushed',
    )
    await eventually('the service has ended', () => !isAlive(service))
    assert.deepEqual(instance.queues, [])
  })
})

describe('npp svc by hand', () => {
  test('adds a process that takes work at once, and gives it up at SIGTERM when its call is done', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' })
    const none = await fetch(`${instance.url}/identity/early`)
    assert.equal(none.status, 503)
    assert.equal(none.headers.get('retry-after'), '1')
    const service = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: instance.id }))
    context.after(() => service.stop('SIGKILL'))
    await eventually('a service answers', async () => (await fetch(`${instance.url}/identity/x`)).status === 200)
    assert.equal(await pidOf(instance.url), service.pid)
    const inHand = fetch(`${instance.url}/slow/inHand?ms=300`)
    // That the engine answers others does not say that the service has the call already: one that has not taken it never will.
    await eventually('the call is in hand', () => callsInHand(instance.id) === 1)
    service.child.kill('SIGTERM')
    assert.match(await (await inHand).text(), /"token":"inHand"/)
    assert.equal((await service.exited).code, 0)
    await eventually('calls are refused again', async () => (await fetch(`${instance.url}/identity/y`)).status === 503)
    await instance.stop()
  })

  test('outlives a restart of npp_app: it attaches to the next one', async (context) => {
    const id = freshInstanceId()
    const first = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' }, id)
    const service = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: id }))
    context.after(() => service.stop('SIGKILL'))
    await eventually('a service answers', async () => (await fetch(`${first.url}/identity/x`)).status === 200)
    assert.equal(await first.stop(), 0)
    const second = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' }, id)
    await eventually('it answers again', async () => (await fetch(`${second.url}/identity/x`)).status === 200)
    assert.equal(await pidOf(second.url), service.pid)
    second.child.kill('SIGKILL')
    await eventually(
      'it waits for another',
      () => service.log.filter((line) => /waiting for another/.test(String(line['msg']))).length === 2,
    )
    const third = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' }, id)
    await eventually('it answers once more', async () => (await fetch(`${third.url}/identity/x`)).status === 200)
    await third.stop()
    await service.stop()
    assert.deepEqual(queuesOf(id), [])
  })
})
