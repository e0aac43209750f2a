import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { Caller } from '../../app/call/caller.ts'
import { FrameKind } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { createSystemClock } from '../../shared/clock.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { defineServices } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import { Worker } from '../../svc/worker.ts'
import { EndlessQueue } from '../support/endless-queue.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { BASE, messageOf } from '../support/frames.ts'
import { EPOCH, MESSAGE } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'
import { RecordedLog } from '../support/recorded-log.ts'

const GARBAGE = Buffer.from('garbage')

function memoryQueue(): MessageQueue {
  return createMemoryQueue({ name: 'queue', maxMessages: 10, messageSize: MESSAGE }).open()
}

/** Stops the caller when the test ends, and then closes its queue. */
function stopAfter(context: TestContext, caller: Caller, queue: MessageQueue): void {
  context.after(() => {
    caller.stop()
    queue.close()
  })
}

describe('a flood of messages that are none, to the engine,', () => {
  for (const [name, message] of [
    ['garbage', GARBAGE],
    ['replies to nobody', messageOf([{ ...BASE, kind: FrameKind.Reply, name: '', engine: 0, epoch: EPOCH }])],
    ['announcements of nothing', messageOf([{ ...BASE, kind: FrameKind.Announcement, name: '' }])],
  ] as const)
    it(`leaves the engine time for its sockets, and is told of in a few lines: ${name}`, (context) => {
      const clock = new FakeClock()
      const wheel = new TimerWheel(clock)
      const replies = new EndlessQueue(message, MESSAGE, 10_000)
      const requests = memoryQueue()
      const log = new RecordedLog()
      const common = { engine: 0, epoch: EPOCH, defaultTimeoutMs: 1000, maxBacklog: 10, hasService: () => true }
      const caller = new Caller({ requests, replies, ...common, clock, wheel, log })
      stopAfter(context, caller, requests)
      replies.turn()
      const inATurn = replies.taken
      assert.ok(inATurn > 0 && inATurn <= 1000, `${inATurn} in a turn`)
      // When a service has ended, what it had sent is in what the queue holds at that moment.
      caller.receiveAll()
      assert.ok(replies.taken - inATurn >= replies.maxMessages)
      for (let turn = 0; turn < 10; turn++) replies.turn()
      const { length } = log.messages('warn')
      assert.ok(length <= 10, `${length} lines`)
    })

  it('does not hold up an engine that has lost its services', async (context) => {
    const clock = new FakeClock()
    const wheel = new TimerWheel(clock)
    const requests = new EndlessQueue(GARBAGE, MESSAGE, 10_000)
    const replies = memoryQueue()
    let hasService = true
    const caller = new Caller({
      requests,
      replies,
      engine: 0,
      epoch: EPOCH,
      defaultTimeoutMs: 60_000,
      maxBacklog: 10,
      hasService: () => hasService,
      clock,
      wheel,
      log: new RecordedLog(),
    })
    stopAfter(context, caller, replies)
    const lost = assert.rejects(caller.call('a', 1, undefined), { code: 'NPP_NO_SERVICE' })
    await turns(1)
    hasService = false
    clock.pass(1000)
    wheel.advance()
    await lost
  })
})

describe('a flood of messages that are none, to a service,', () => {
  for (const [name, message] of [
    ['garbage', GARBAGE],
    ['replies', messageOf([{ ...BASE, kind: FrameKind.Reply, name: '' }])],
    ['calls whose deadline has passed', messageOf([BASE])],
  ] as const)
    it(`leaves the worker time for signals and timers: ${name}`, (context) => {
      const requests = new EndlessQueue(message, MESSAGE, 1_000_000)
      const replies = createMemoryQueue({ name: 'replies', maxMessages: 10, messageSize: MESSAGE }).open()
      context.after(() => replies.close())
      const log = new RecordedLog()
      const worker = new Worker({
        requests,
        replies,
        registry: new Registry(defineServices({}), 'svc.ts'),
        clock: createSystemClock(),
        log,
      })
      worker.start()
      for (let turn = 0; turn < 10; turn++) requests.turn()
      assert.ok(requests.taken > 10)
      const { length } = log.messages('warn')
      assert.ok(length <= 20, `${length} lines`)
      worker.abandon()
    })
})
