import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { claimQueue, FIRST_SERVICE_LOCK, OwnedQueue, READY_LOCK } from '../../ipc/owned-queue.ts'
import { BATCH_HEADER_BYTES } from '../../ipc/frame.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { uniqueName, until } from '../support/queue-tools.ts'

const SIZE = { maxMessages: 3, messageSize: 64 }

/** A queue as its engine has it, and as a service that is attached has it. */
function given(context: TestContext, forwards: boolean): { name: string; owned: OwnedQueue; service: PosixQueue } {
  const name = uniqueName(context)
  const queue = claimQueue(name, SIZE)
  assert.ok(queue)
  const owned = new OwnedQueue(queue, forwards)
  const service = attach(name)
  context.after(() => {
    service.close()
    owned.close()
  })
  return { name, owned, service }
}

let services = 0

function attach(name: string): PosixQueue {
  const service = PosixQueue.open({ name })
  assert.ok(service.lock(FIRST_SERVICE_LOCK + ++services, true))
  return service
}

/** A message with a priority where a frame has it, and a text. */
function message(priority: number, text: string): Buffer {
  const bytes = Buffer.alloc(BATCH_HEADER_BYTES + 3 + text.length)
  bytes[BATCH_HEADER_BYTES + 2] = priority
  bytes.write(text, BATCH_HEADER_BYTES + 3)
  return bytes
}

function push(queue: OwnedQueue | PosixQueue, priority: number, text: string): boolean {
  const bytes = message(priority, text)
  return queue.push(bytes, 0, bytes.length, priority)
}

function shift(queue: OwnedQueue | PosixQueue): string | undefined {
  const bytes = Buffer.alloc(SIZE.messageSize)
  const length = queue.shift(bytes)
  return length === -1 ? undefined : bytes.toString('latin1', BATCH_HEADER_BYTES + 3, length)
}

describe('claiming a queue', () => {
  test('one that another has is not touched', (context) => {
    const { name, service } = given(context, true)
    assert.equal(claimQueue(name, SIZE), undefined)
    assert.ok(service.isCurrent())
  })

  test('one that nobody has is replaced: whoever still has it open has it for himself', (context) => {
    const { name, owned, service } = given(context, true)
    push(service, 0, 'stale')
    owned.close()
    const next = claimQueue(name, SIZE)
    assert.ok(next)
    assert.equal(next.count(), 0)
    assert.equal(service.isCurrent(), false)
    assert.equal(service.lockedIn(READY_LOCK, READY_LOCK), -1, 'its engine is seen to be gone')
    next.close()
  })
})

describe('a queue whose name was removed', () => {
  test('is made anew, as large, with what lay in it, in its order, before what comes later', (context) => {
    const { name, owned } = given(context, true)
    push(owned, 0, 'second')
    push(owned, 9, 'first')
    PosixQueue.unlink(name)
    assert.equal(owned.isCurrent(), false)
    assert.equal(owned.renew(), true)
    assert.ok(owned.isCurrent())
    assert.ok(push(owned, 0, 'third'))
    const service = attach(name)
    assert.deepEqual([service.maxMessages, service.messageSize], [SIZE.maxMessages, SIZE.messageSize])
    assert.deepEqual([shift(service), shift(service), shift(service), shift(service)], ['first', 'second', 'third', undefined])
    service.close()
  })

  test('what is given back into the former one comes before what is pushed, and nothing is lost where there is no room', (context) => {
    const { name, owned, service } = given(context, true)
    PosixQueue.unlink(name)
    owned.renew()
    const newcomer = attach(name)
    for (const text of ['a', 'b', 'c']) assert.ok(push(owned, 0, text))
    for (const text of ['back 1', 'back 2']) assert.ok(push(service, 0, text))
    assert.equal(owned.forward(), false)
    assert.equal(push(owned, 0, 'd'), false)
    assert.equal(shift(newcomer), 'a')
    assert.equal(push(owned, 0, 'd'), false, 'the room is for what was given back')
    service.close()
    owned.closeUnused()
    assert.equal(owned.hasFormer, true, 'something lies in the former one')
    for (const text of ['b', 'c', 'back 1']) assert.equal(shift(newcomer), text)
    assert.ok(push(owned, 0, 'd'))
    for (const text of ['back 2', 'd', undefined]) assert.equal(shift(newcomer), text)
    owned.closeUnused()
    assert.equal(owned.hasFormer, false)
    newcomer.close()
  })

  test('tells of room where the former one had refused a message', async (context) => {
    const { name, owned } = given(context, true)
    let drained = 0
    owned.onDrain(() => {
      drained++
      owned.cancelDrain()
    })
    for (const text of ['a', 'b', 'c']) push(owned, 0, text)
    assert.equal(push(owned, 0, 'd'), false)
    PosixQueue.unlink(name)
    owned.renew()
    await until(() => drained > 0, 'drain')
  })

  test('is read, and so are those that had the name before, for as long as a service has them', async (context) => {
    const { name, owned, service } = given(context, false)
    const read: (string | undefined)[] = []
    owned.onMessages(() => read.push(shift(owned)))
    PosixQueue.unlink(name)
    owned.renew()
    const newcomer = attach(name)
    push(newcomer, 0, 'to the new one')
    push(service, 0, 'to the former one')
    await until(() => read.length === 2, 'both are read')
    owned.closeUnused()
    assert.equal(owned.hasFormer, true)
    push(service, 0, 'the last')
    service.close()
    owned.closeUnused()
    assert.equal(owned.hasFormer, true, 'something lies in it')
    await until(() => read.length === 3, 'the last is read')
    assert.deepEqual(new Set(read), new Set(['the last', 'to the former one', 'to the new one']))
    owned.closeUnused()
    assert.equal(owned.hasFormer, false)
    assert.ok(owned.isUsed())
    newcomer.close()
    assert.equal(owned.isUsed(), false)
    owned.onMessages(undefined)
  })

  test('services that have the former one count', (context) => {
    const { name, owned } = given(context, true)
    const pid = services
    PosixQueue.unlink(name)
    owned.renew()
    assert.ok(owned.isUsed())
    assert.deepEqual(owned.users(), [pid])
  })

  test('is not made where another has made one, which stays as it is', (context) => {
    const { name, owned } = given(context, true)
    PosixQueue.unlink(name)
    const other = claimQueue(name, SIZE)
    assert.ok(other)
    assert.equal(owned.renew(), false)
    owned.end()
    assert.ok(other.isCurrent())
    other.close()
  })
})
