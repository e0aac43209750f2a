import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { queueNames } from '../../ipc/instance.ts'
import { FIRST_SERVICE_LOCK, NOBODY } from '../../ipc/owned-queue.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { scoreboardName } from '../../ipc/scoreboard-file.ts'
import { readQueueLimits } from '../../ipc/queue-limits.ts'
import { attachedServices, callsInHand } from '../support/attached-services.ts'
import { SteadyLoad } from '../support/steady-load.ts'
import { eventually } from '../support/eventually.ts'
import { isAlive, NppProcess, SITES, environment, startInstance, type Instance } from '../support/instance.ts'
import { filesOf, pathInMemory } from '../support/shm-tools.ts'

const FAULTS = `${SITES}faults`
const TWO = { NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '4' }

/** Each takes a name away from an instance, as a person might by hand. */
const REMOVALS: Readonly<Record<string, (id: string) => void>> = {
  'the request queue': (id) => void PosixQueue.unlink(queueNames(id).requests),
  'the reply queue': (id) => void PosixQueue.unlink(queueNames(id).replies),
  'the scoreboard': (id) => rmSync(pathInMemory(scoreboardName(id))),
}

async function start(context: TestContext, id?: string): Promise<Instance> {
  const instance = await startInstance(FAULTS, TWO, id === undefined ? {} : { id })
  context.after(async () => {
    await instance.stop('SIGKILL')
    for (const remove of Object.values(REMOVALS))
      if (filesOf(instance.id).length > 0 || instance.queues.length > 0) ignoring(() => remove(instance.id))
  })
  await eventually('both services are attached', () => attachedServices(instance.id).length === 2)
  return instance
}

function ignoring(act: () => void): void {
  try {
    act()
  } catch {
    // It was not there.
  }
}

/** Whether these services have what the names lead to now. */
function haveAttachedAgain(id: string, pids: readonly number[]): boolean {
  try {
    const { requests, replies } = queueNames(id)
    for (const name of [requests, replies]) {
      const queue = PosixQueue.open({ name })
      try {
        if (!pids.every((pid) => queue.lockedIn(FIRST_SERVICE_LOCK + pid, FIRST_SERVICE_LOCK + pid) !== NOBODY)) return false
      } finally {
        queue.close()
      }
    }
    return pids.every((pid) => attachedServices(id).includes(pid))
  } catch {
    return false // The names lead to nothing yet.
  }
}

/** A service by hand attaches, answers, and ends. */
async function assertNewcomerServes(context: TestContext, instance: Instance): Promise<void> {
  const newcomer = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: instance.id }))
  context.after(() => newcomer.stop('SIGKILL'))
  await eventually('the newcomer answers', async () => {
    const reply: unknown = await (await fetch(`${instance.url}/identity/x`)).json()
    return typeof reply === 'object' && reply !== null && 'pid' in reply && reply.pid === newcomer.pid
  })
  assert.equal(await newcomer.stop(), 0)
}

function said(instance: Instance, pattern: RegExp): number {
  return instance.log.filter((line) => pattern.test(String(line['msg']))).length
}

async function assertNothingLeft(instance: Instance): Promise<void> {
  assert.equal(await instance.stop(), 0)
  assert.deepEqual(instance.queues, [])
  assert.deepEqual(filesOf(instance.id), [])
}

describe('a name that is removed under load', () => {
  for (const [what, remove] of [
    ...Object.entries(REMOVALS),
    ['all three', (id: string) => Object.values(REMOVALS).forEach((each) => each(id))] as const,
  ]) {
    test(`${what}: no call is lost, and the instance heals by itself`, async (context) => {
      const instance = await start(context)
      const services = attachedServices(instance.id)
      const load = new SteadyLoad(context, instance.url)
      await load.more(200)
      for (let round = 0; round < 3; round++) {
        const before = performance.now()
        remove(instance.id)
        await eventually('the services have attached again', () => haveAttachedAgain(instance.id, services))
        context.diagnostic(`attached again after ${Math.round(performance.now() - before)} ms`)
        await load.more(100)
      }
      await load.end()
      assert.deepEqual(load.faults, [])
      assert.deepEqual(load.pids, new Set(services), 'they have not ended')
      assert.ok(said(instance, /somebody has removed the name of the .*: it is made anew/) >= 3)
      assert.equal(said(instance, /not one of npp|another engine|malformed/), 0)
      await assertNewcomerServes(context, instance)
      await assertNothingLeft(instance)
    })
  }

  test('what services have in hand of the scoreboard before is not lost when they are killed', async (context) => {
    const instance = await start(context)
    const before = attachedServices(instance.id)
    const never = ['a', 'b', 'c'].map((token) => fetch(`${instance.url}/slow/${token}?ms=60000&timeoutMs=60000`))
    const again = ['d', 'e', 'f'].map((token) => fetch(`${instance.url}/again/${token}?ms=2000`))
    await eventually('all are in hand', () => callsInHand(instance.id) === 6)
    REMOVALS['the scoreboard']?.(instance.id)
    await eventually('it is made anew', () => said(instance, /made anew/) === 1)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    for (const answer of await Promise.all(never)) assert.equal(answer.status, 502)
    for (const answer of await Promise.all(again)) assert.equal(answer.status, 200)
    await assertNothingLeft(instance)
  })
})

describe('a name that cannot be had again', () => {
  test('for want of room: the log says so, services serve on, and it is made as soon as there is room', async (context) => {
    if ((readQueueLimits().userBytes ?? Infinity) === Infinity) {
      context.diagnostic('no RLIMIT_MSGQUEUE here, so there is always room')
      return
    }
    const instance = await start(context)
    const services = attachedServices(instance.id)
    const limits = readQueueLimits()
    execFileSync('prlimit', ['--pid', String(instance.pid), '--msgqueue=1:'])
    const load = new SteadyLoad(context, instance.url)
    REMOVALS['the request queue']?.(instance.id)
    await eventually('the engine says why', () => said(instance, /cannot be made anew; tried again: .*RLIMIT_MSGQUEUE/) === 1)
    await load.more(200)
    await sleep(600) // Longer than services need to look for the name.
    await load.more(100)
    execFileSync('prlimit', ['--pid', String(instance.pid), `--msgqueue=${String(limits.userBytes)}:`])
    await eventually('the services have attached again', () => haveAttachedAgain(instance.id, services))
    await load.more(100)
    await load.end()
    assert.deepEqual(load.faults, [])
    await assertNewcomerServes(context, instance)
    await assertNothingLeft(instance)
  })

  test('as another engine has it: nothing of that one is touched, the log says so, and each serves on', async (context) => {
    const first = await start(context)
    const firstServices = attachedServices(first.id)
    // So that it does not heal before the other comes.
    process.kill(first.pid, 'SIGSTOP')
    for (const remove of Object.values(REMOVALS)) remove(first.id)
    const second = await start(context, first.id)
    const secondServices = attachedServices(second.id)
    process.kill(first.pid, 'SIGCONT')
    const loads = [new SteadyLoad(context, first.url, 6), new SteadyLoad(context, second.url, 6)]
    await eventually('the first engine says so', () => said(first, /belongs to another npp_app by now/) > 0)
    for (const load of loads) await load.more(200)
    for (const load of loads) await load.end()
    assert.deepEqual(loads[0]?.faults, [])
    assert.deepEqual(loads[1]?.faults, [])
    assert.deepEqual(loads[0]?.pids, new Set(firstServices))
    assert.deepEqual(loads[1]?.pids, new Set(secondServices))
    assert.equal(await second.stop(), 0)
    await eventually('the first has the names again', () => haveAttachedAgain(first.id, firstServices))
    assert.ok(firstServices.every((pid) => isAlive(pid)))
    await assertNothingLeft(first)
  })
})
