import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { attachedServices, callsInHand } from '../support/attached-services.ts'
import { SteadyLoad } from '../support/steady-load.ts'
import { eventually } from '../support/eventually.ts'
import { freshInstanceId, NppProcess, SITES, environment, startInstance, type Instance } from '../support/instance.ts'
import { filesOf } from '../support/shm-tools.ts'

const FAULTS = `${SITES}faults`

/**
 * Milliseconds from when the new engine listens to the first answer of a service of the old one. It is to be a second at the most, and is some ten
 * here, as services find the engine while it starts; the rest is for a machine that has much else to do.
 */
const ATTACHED_AGAIN_MS = 3000

async function start(context: TestContext, id: string, port = 0): Promise<Instance> {
  const instance = await startInstance(FAULTS, { NPP_ASYNC_SVC_PROCESSES: '0', NPP_HTTP_PORT: String(port) }, { id })
  context.after(() => instance.stop('SIGKILL'))
  return instance
}

async function startServices(context: TestContext, id: string): Promise<NppProcess[]> {
  const services = Array.from(
    { length: 2 },
    () => new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: id, NPP_ASYNC_SVC_CONCURRENCY: '3' })),
  )
  for (const service of services) context.after(() => service.stop('SIGKILL'))
  await eventually('both are attached', () => attachedServices(id).length === 2)
  return services
}

async function firstAnswer(instance: Instance): Promise<number> {
  const begin = performance.now()
  await eventually('a service answers', async () => (await fetch(`${instance.url}/identity/x`)).status === 200)
  return performance.now() - begin
}

describe('npp_app is restarted, services by hand stay', () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`by ${signal}, under load: they serve the next one at once, and nobody gets what another has asked for`, async (context) => {
      const id = freshInstanceId()
      let instance = await start(context, id)
      const services = await startServices(context, id)
      const pids = new Set(services.map(({ pid }) => pid))
      // Who is cut off, or finds nobody listening, asks again.
      const load = new SteadyLoad(context, instance.url, 12, true)
      for (let round = 0; round < 4; round++) {
        await load.more(100)
        const { port } = instance
        if (signal === 'SIGTERM') assert.equal(await instance.stop('SIGTERM'), 0)
        else {
          instance.child.kill('SIGKILL')
          await instance.exited
        }
        instance = await start(context, id, port)
        const waited = await firstAnswer(instance)
        context.diagnostic(`answered ${Math.round(waited)} ms after it listens`)
        assert.ok(waited < ATTACHED_AGAIN_MS, `${waited} ms`)
      }
      await load.more(100)
      await load.end()
      assert.deepEqual(load.faults, [])
      // 503 is what a call gets that has waited for a service for a second: a machine that has much else to do may take so long.
      assert.ok(
        [...load.refusals].every((status) => status === 503),
        [...load.refusals].join(),
      )
      assert.deepEqual(load.pids, pids)
      assert.ok(services.every(({ running }) => running))
      for (const service of services) assert.equal(await service.stop(), 0)
      assert.equal(await instance.stop(), 0)
      assert.deepEqual(instance.queues, [])
      assert.deepEqual(filesOf(id), [])
    })
  }

  test('a call that is in hand when the engine is killed is given up, and its service lives on', async (context) => {
    const id = freshInstanceId()
    const first = await start(context, id)
    const [service] = await startServices(context, id)
    const cut = Array.from({ length: 6 }, (_, token) => fetch(`${first.url}/slow/old-${token}?ms=1500`).catch(() => undefined))
    await eventually('all are in hand', () => callsInHand(id) === 6)
    first.child.kill('SIGKILL')
    const second = await start(context, id)
    assert.ok((await firstAnswer(second)) < ATTACHED_AGAIN_MS)
    await Promise.all(cut)
    // By then the calls of the engine before have ended, which nobody waits for.
    await sleep(2000)
    assert.ok(service?.running, service?.stderr)
    assert.equal((await fetch(`${second.url}/identity/new`)).status, 200)
    assert.equal(attachedServices(id).length, 2)
    assert.deepEqual(
      second.log.filter((line) => /reply|message/.test(String(line['msg']))),
      [],
      'no message of the dead engine came through',
    )
    assert.equal(await second.stop(), 0)
  })
})
