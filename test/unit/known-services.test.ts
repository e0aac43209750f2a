import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GivenCaller } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'

describe('announcements', () => {
  it('of very many services fill no memory, and those of before count', async (context) => {
    const given = new GivenCaller(context)
    for (let index = 0; index < 10_000; index++) {
      given.announce({ name: `s${index}`, priority: 9 })
      if (index % 500 === 499) await turns(5)
    }
    await turns(5)
    given.call('s0')
    given.call('s9999')
    assert.deepEqual([given.take(), given.take()].map(({ name, priority }) => `${name} ${priority}`).toSorted(), ['s0 9', 's9999 0'])
    const about = given.log.messages('warn').filter((line) => line.includes('announce'))
    assert.ok(about.length > 0 && about.length <= 10, `${about.length} lines`)
    // What is called without having been declared is remembered too, and forgotten.
    for (let index = 0; index < 10_000; index++) given.call(`t${index}`).promise.catch(() => undefined)
    given.announce({ name: 's0', priority: 3 })
    await turns(2)
  })

  it('of a service with a name that none can have are dropped', async (context) => {
    const given = new GivenCaller(context)
    given.announce({ name: 'x'.repeat(256), priority: 9 })
    await turns(2)
    assert.equal(given.caller.strayMessages, 1)
  })
})
