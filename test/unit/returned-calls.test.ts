import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Frame } from '../support/frames.ts'
import { GivenCaller, failure } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'

describe('a call whose service died', () => {
  it('leaves again before all others, with the highest priority there is, and once', async (context) => {
    const given = new GivenCaller(context, { depth: 1 })
    given.announce({ name: 'a', idempotent: true, priority: 3 })
    await turns(1)
    const call = given.call('a', 'lost')
    const lost = given.take()
    assert.equal(lost.priority, 3)
    for (const priority of [0, 30, 5]) given.call('b', priority, { priority })
    given.caller.flush()
    given.caller.died(lost.call, lost.generation)
    const order: Frame[] = []
    for (let count = 0; count < 4; count++) {
      await turns(3)
      order.push(given.take())
    }
    // One of the others was in the queue by then.
    assert.deepEqual(
      order.map(({ name, priority }) => [name, priority]),
      [
        ['b', 30],
        ['a', 31],
        ['b', 5],
        ['b', 0],
      ],
    )
    const [, again] = order
    assert.ok(again)
    given.caller.died(again.call, again.generation)
    assert.equal((await failure(call)).code, 'NPP_SERVICE_DIED')
  })

  it('is answered as any other when it is made again', async (context) => {
    const given = new GivenCaller(context)
    given.announce({ name: 'a', idempotent: true })
    await turns(1)
    const call = given.call('a')
    const lost = given.take()
    given.caller.died(lost.call, lost.generation)
    given.reply(given.take(), 'found')
    assert.equal(await call.promise, 'found')
  })
})
