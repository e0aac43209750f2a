import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { attachedServices, callsInHand } from '../support/attached-services.ts'
import { SteadyLoad } from '../support/steady-load.ts'
import { eventually } from '../support/eventually.ts'
import { NppProcess, SITES, environment, startInstance, type Instance } from '../support/instance.ts'
import { filesOf } from '../support/shm-tools.ts'

const FAULTS = `${SITES}faults`

async function start(context: TestContext, settings: Readonly<Record<string, string>>): Promise<Instance> {
  const instance = await startInstance(FAULTS, settings)
  context.after(() => instance.stop('SIGKILL'))
  return instance
}

/** One more service, attached. */
async function addService(context: TestContext, instance: Instance): Promise<NppProcess> {
  const service = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: instance.id, NPP_ASYNC_SVC_CONCURRENCY: '3' }))
  context.after(() => service.stop('SIGKILL'))
  await eventually('the service is attached', () => attachedServices(instance.id).includes(service.pid))
  return service
}

async function assertNothingLeft(instance: Instance): Promise<void> {
  assert.equal(await instance.stop(), 0)
  assert.deepEqual(instance.queues, [])
  assert.deepEqual(filesOf(instance.id), [])
}

describe('services that come and go', () => {
  test('by hand, with SIGTERM, under load: every call is answered, with its own answer', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' })
    const services = [await addService(context, instance)]
    const load = new SteadyLoad(context, instance.url, 16)
    const gone: NppProcess[] = []
    for (let round = 0; round < 6; round++) {
      services.push(await addService(context, instance))
      const oldest = services.shift()
      if (oldest === undefined) throw new Error('there is always one')
      await load.more(100)
      assert.equal(await oldest.stop('SIGTERM'), 0)
      gone.push(oldest)
    }
    await load.more(100)
    await load.end()
    assert.deepEqual(load.faults, [])
    assert.ok(
      gone.every(({ pid }) => load.pids.has(pid)),
      'each of them had calls',
    )
    assert.equal(await services[0]?.stop('SIGTERM'), 0)
    await assertNothingLeft(instance)
  })

  test('under npp start, told to end one after the other: every call is answered, and as many run again', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '3' })
    const load = new SteadyLoad(context, instance.url, 16)
    for (let round = 0; round < 5; round++) {
      await eventually('two are attached', () => attachedServices(instance.id).length === 2)
      const [pid = 0] = attachedServices(instance.id)
      process.kill(pid, 'SIGTERM')
      await load.more(100)
      await eventually('it has ended', () => !attachedServices(instance.id).includes(pid))
    }
    await load.end()
    assert.deepEqual(load.faults, [])
    await eventually('two are attached again', () => attachedServices(instance.id).length === 2)
    await assertNothingLeft(instance)
  })

  test('one that is told to end while the engine takes no replies ends with the engine', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' })
    const service = await addService(context, instance)
    const asked = fetch(`${instance.url}/slow/stuck?ms=200&timeoutMs=60000`).catch(() => undefined)
    await eventually('the call is in hand', () => callsInHand(instance.id) === 1)
    process.kill(instance.pid, 'SIGSTOP')
    const replies = PosixQueue.open({ name: queueNames(instance.id).replies })
    context.after(() => replies.close())
    while (replies.push(Buffer.from('no room for others'))) continue
    service.child.kill('SIGTERM')
    await sleep(800)
    assert.ok(service.running, 'it keeps the reply for as long as somebody may want it')
    process.kill(instance.pid, 'SIGKILL')
    await eventually('it ends', () => !service.running)
    assert.equal((await service.exited).code, 0)
    await asked
  })

  test('one that is told to end with a call in hand that never ends, ends when nobody waits for it any more', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' })
    const service = await addService(context, instance)
    const never = fetch(`${instance.url}/slow/never?ms=3600000&timeoutMs=1500`)
    await eventually('it is in hand', () => callsInHand(instance.id) === 1)
    service.child.kill('SIGTERM')
    assert.equal((await never).status, 504)
    assert.equal((await service.exited).code, 0)
    await assertNothingLeft(instance)
  })
})

describe('two instances of one site side by side', () => {
  test('no call of one is answered by services of the other', async (context) => {
    const settings = { NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '3' }
    const instances = [await start(context, settings), await start(context, settings)]
    for (const { id } of instances) await eventually('two are attached', () => attachedServices(id).length === 2)
    const services = instances.map(({ id }) => attachedServices(id))
    const loads = instances.map(({ url }) => new SteadyLoad(context, url, 8))
    for (const load of loads) await load.more(500)
    for (const load of loads) await load.end()
    assert.deepEqual(
      loads.map(({ faults }) => faults),
      [[], []],
    )
    assert.deepEqual(
      loads.map(({ pids }) => pids),
      services.map((pids) => new Set(pids)),
    )
    for (const instance of instances) await assertNothingLeft(instance)
  })
})
