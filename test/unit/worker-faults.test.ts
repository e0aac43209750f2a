import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import { createSystemClock } from '../../shared/clock.ts'
import { Limits } from '../../shared/limits.ts'
import { defineServices } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import { Worker, type HandSlot } from '../../svc/worker.ts'
import { eventually } from '../support/eventually.ts'
import { BASE, messageOf } from '../support/frames.ts'
import { GivenWorker, MESSAGE } from '../support/given-worker.ts'
import { turns } from '../support/queue-tools.ts'
import { RecordedLog } from '../support/recorded-log.ts'

/** Has the event loop wait for something, which the timers of a worker do not do by themselves. */
function keepUp(context: TestContext): void {
  const up = setInterval(() => undefined, 5)
  context.after(() => clearInterval(up))
}

describe('calls behind one that waits', () => {
  it('go back as soon as the queue has room, where it had none at first', async (context) => {
    keepUp(context)
    let running = 0
    const gate = new EventEmitter()
    const given: GivenWorker = new GivenWorker(context, {
      declared: {
        first: () => {
          running++
          for (let count = 0; count < given.requests.maxMessages; count++) given.call('other')
          return once(gate, 'open')
        },
        other: () => running++,
      },
    })
    given.push([given.frame('first'), given.frame('other'), given.frame('other')])
    await eventually('the first runs', () => running === 1)
    await new Promise((resolve) => {
      setTimeout(resolve, Limits.callBatchMs * 10)
    })
    assert.equal(given.takeCalls().length, given.requests.maxMessages)
    await eventually('they are back', () => given.requests.count() === 2)
    assert.deepEqual(
      given.takeCalls().map((frame) => frame.call),
      [2, 3],
    )
    assert.equal(running, 1)
    gate.emit('open')
    await turns(5)
  })
})

describe('a worker whose engine is gone', () => {
  it('lets a call that runs on end as it will: its slot is gone too', async (context) => {
    const slot = new ClosedSlot()
    const requests = createMemoryQueue({ name: 'requests', maxMessages: 10, messageSize: MESSAGE })
    const replies = createMemoryQueue({ name: 'replies', maxMessages: 10, messageSize: MESSAGE })
    const ends = [requests.open(), replies.open(), requests.open()] as const
    context.after(() => {
      for (const end of ends) end.close()
    })
    const gate = new EventEmitter()
    const registry = new Registry(defineServices({ gated: async () => once(gate, 'open') }), 'svc.ts')
    const clock = createSystemClock()
    const worker = new Worker({ slot, requests: ends[0], replies: ends[1], registry, clock, log: new RecordedLog() })
    worker.start()
    const given = { ...BASE, name: 'gated', body: Buffer.from([0xc0]), deadline: clock.monotonic() + 60_000 }
    assert.ok(ends[2].push(messageOf([given], MESSAGE)))
    await eventually('it runs', () => slot.inHand === 1)
    worker.abandon()
    slot.isClosed = true
    gate.emit('open')
    // What the slot throws would come out of a promise, and end this process.
    await turns(5)
    assert.equal(slot.inHand, 1)
  })
})

/** A slot of a scoreboard: once that is closed, whatever it is asked throws. */
class ClosedSlot implements HandSlot {
  readonly inbox = Buffer.alloc(MESSAGE)
  inHand = 0
  isClosed = false

  put(): number {
    if (this.isClosed) throw new TypeError('the memory is detached')
    return this.inHand++
  }

  clear(): void {
    if (this.isClosed) throw new TypeError('the memory is detached')
    this.inHand--
  }

  waits(): void {
    if (this.isClosed) throw new TypeError('the memory is detached')
  }

  beat(): void {
    if (this.isClosed) throw new TypeError('the memory is detached')
  }
}

describe('the signal of a call', () => {
  it('is not aborted by a deadline that is further away than a timer can wait', async (context) => {
    let signal: AbortSignal | undefined
    const given = new GivenWorker(context, {
      declared: {
        looks: (_input: unknown, context) => {
          signal = context.signal
          return new Promise(() => undefined)
        },
      },
    })
    given.call('looks', undefined, { deadline: 2 ** 40 })
    await eventually('it runs', () => signal !== undefined)
    await new Promise((resolve) => {
      setTimeout(resolve, 20)
    })
    assert.equal(signal?.aborted, false)
  })
})
