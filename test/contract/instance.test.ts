import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, symlinkSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { clearStale, ownInstance, queueNames, tryAttach } from '../../ipc/instance.ts'
import { claimQueue } from '../../ipc/owned-queue.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { scoreboardName } from '../../ipc/scoreboard-file.ts'
import { writeSpill } from '../../ipc/spill.ts'
import { eventually } from '../support/eventually.ts'
import { freshInstanceId, queuesOf } from '../support/instance.ts'
import { filesOf, pathInMemory } from '../support/shm-tools.ts'

/** An id whose queues and files are gone after the test, whoever holds them. */
function freshId(context: TestContext): string {
  const id = freshInstanceId()
  context.after(() => {
    const { requests, replies } = queueNames(id)
    PosixQueue.unlink(requests)
    PosixQueue.unlink(replies)
    for (const name of filesOf(id)) rmSync(pathInMemory(name))
  })
  return id
}

/** Another process that runs the program with `instance`, the module, and `id`; it says what it prints, and lives until it is killed. */
async function otherProcess(
  context: TestContext,
  id: string,
  program: string,
): Promise<{ readonly pid: number; readonly said: string; kill(): Promise<void> }> {
  const module = new URL('../../ipc/instance.js', import.meta.url).href
  const text = `import * as instance from ${JSON.stringify(module)}; const id = ${JSON.stringify(id)}; ${program}; setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  context.after(kill)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    said += part
  })
  await eventually('the other process says something', () => said.includes('\n'))
  return { pid: child.pid ?? 0, said: said.trim(), kill }
}

describe('who owns an instance', () => {
  test('one engine at a time: a second is refused and the queues stay as they are', async (context) => {
    const id = freshId(context)
    const owner = await otherProcess(context, id, 'await instance.ownInstance(id); console.log("owned")')
    await assert.rejects(ownInstance(id), { code: 'NPP_INSTANCE_RUNNING' })
    assert.equal(queuesOf(id).length, 2)
    await owner.kill()
    const mine = await ownInstance(id)
    mine.end()
    assert.deepEqual(queuesOf(id), [])
  })

  test('what a dead engine left in its queues is gone when the next one has them', async (context) => {
    const id = freshId(context)
    const program =
      'const i = await instance.ownInstance(id); i.requests.push(Buffer.from("stale")); i.replies.push(Buffer.from("stale")); console.log(i.epoch)'
    const owner = await otherProcess(context, id, program)
    await owner.kill()
    const mine = await ownInstance(id)
    assert.equal(mine.requests.count(), 0)
    assert.equal(mine.replies.count(), 0)
    assert.notEqual(String(mine.epoch), owner.said)
    mine.end()
  })

  test('a failure half way leaves nothing: the name of the second queue is too long by one', async (context) => {
    const id = freshInstanceId().padEnd(255 - queueNames('').requests.length, 'x')
    assert.equal(queueNames(id).requests.length, 255)
    context.after(() => PosixQueue.unlink(queueNames(id).requests))
    await assert.rejects(ownInstance(id), { code: 'NPP_QUEUE_ARGUMENT' })
    assert.throws(() => PosixQueue.open({ name: queueNames(id).requests }), { code: 'NPP_QUEUE_MISSING' })
  })

  test('a failure at the end leaves nothing: the scoreboard cannot be made', async (context) => {
    const id = freshId(context)
    symlinkSync('/dev/null', pathInMemory(scoreboardName(id)))
    await assert.rejects(ownInstance(id), { code: 'NPP_SHM_PERMISSION' })
    assert.deepEqual(queuesOf(id), [])
    assert.deepEqual(filesOf(id), [scoreboardName(id)], 'what somebody else put there')
  })

  test('what a dead engine left in memory is gone when the next one has begun, and its scoreboard is another', async (context) => {
    const id = freshId(context)
    const program = `await instance.ownInstance(id); (await import(${JSON.stringify(new URL('../../ipc/spill.js', import.meta.url).href)})).writeSpill(id, [Buffer.alloc(9)]); console.log("owned")`
    const owner = await otherProcess(context, id, program)
    const attached = tryAttach(id)
    assert.ok(attached)
    await owner.kill()
    assert.equal(filesOf(id).length, 2)
    const mine = await ownInstance(id)
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    assert.notEqual(attached.scoreboard.board.epoch, mine.epoch)
    assert.equal(attached.isAlive(), false, 'its queues are taken over, and its scoreboard is nobody’s')
    attached.detach()
    const next = tryAttach(id)
    assert.equal(next?.scoreboard.board.epoch, mine.epoch)
    next?.detach()
    mine.end()
    assert.deepEqual(filesOf(id), [])
  })

  test('ending twice does nothing, and queues that another engine made since stay', async (context) => {
    const id = freshId(context)
    const first = await ownInstance(id)
    PosixQueue.unlink(queueNames(id).requests)
    PosixQueue.unlink(queueNames(id).replies)
    const second = await ownInstance(id)
    first.end()
    first.end()
    assert.equal(queuesOf(id).length, 2)
    second.end()
    assert.deepEqual(queuesOf(id), [])
  })
})

describe('who serves an instance', () => {
  test('nobody attaches without a living engine', async (context) => {
    const id = freshId(context)
    assert.equal(tryAttach(id), undefined)
    const owner = await otherProcess(context, id, 'await instance.ownInstance(id); console.log("owned")')
    const attached = tryAttach(id)
    assert.equal(attached?.isAlive(), true)
    await owner.kill()
    assert.equal(attached?.isAlive(), false)
    attached?.detach()
    assert.equal(queuesOf(id).length, 2)
    assert.equal(tryAttach(id), undefined)
  })

  test('nobody attaches while an engine that follows a dead one is about to replace what that one left', async (context) => {
    const id = freshId(context)
    const owner = await otherProcess(context, id, 'await instance.ownInstance(id); console.log("owned")')
    await owner.kill()
    const queue = claimQueue(queueNames(id).requests)
    assert.ok(queue)
    assert.equal(queuesOf(id).length, 2)
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    assert.equal(tryAttach(id), undefined, 'reply queue and scoreboard are still those of the dead one')
    queue.close()
    const mine = await ownInstance(id)
    const attached = tryAttach(id)
    assert.equal(attached?.scoreboard.board.epoch, mine.epoch)
    assert.ok(attached.isAlive() && attached.isWhole())
    attached.detach()
    mine.end()
  })

  test('the engine sees who is attached, and that one is gone after kill -9', async (context) => {
    const id = freshId(context)
    const owned = await ownInstance(id)
    assert.equal(owned.hasService(), false)
    const attach = 'instance.tryAttach(id); console.log("attached")'
    const services = [
      await otherProcess(context, id, attach),
      await otherProcess(context, id, attach),
      await otherProcess(context, id, attach),
    ]
    assert.deepEqual(new Set(owned.services()), new Set(services.map(({ pid }) => pid)))
    await services[1]?.kill()
    assert.deepEqual(new Set(owned.services()), new Set([services[0]?.pid, services[2]?.pid]))
    await services[0]?.kill()
    await services[2]?.kill()
    assert.equal(owned.hasService(), false)
    owned.end()
  })

  test('an engine that ends and one that is restarted are both noticed', async (context) => {
    const id = freshId(context)
    const owned = await ownInstance(id)
    const attached = tryAttach(id)
    assert.equal(attached?.isAlive(), true)
    owned.end()
    assert.equal(attached?.isAlive(), false)
    const next = await ownInstance(id)
    assert.equal(attached?.isAlive(), false, 'its queues are not those of the next engine')
    attached?.detach()
    next.end()
  })
})

describe('clearing up after a dead engine', () => {
  test('removes its queues, does nothing while one lives, nothing where there are none', async (context) => {
    const id = freshId(context)
    clearStale(id)
    const owner = await otherProcess(context, id, 'await instance.ownInstance(id); console.log("owned")')
    clearStale(id)
    assert.equal(queuesOf(id).length, 2)
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    writeSpill(id, [Buffer.alloc(9)])
    await owner.kill()
    clearStale(id)
    assert.deepEqual(queuesOf(id), [])
    assert.deepEqual(filesOf(id), [])
  })
})
