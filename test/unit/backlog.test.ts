import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { FrameKind } from '../../ipc/frame.ts'
import { valueOf, type Frame } from '../support/frames.ts'
import { GivenCaller, failure } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'

/** The next call in the queue, which is full again when this returns if there are more. */
async function take(given: GivenCaller): Promise<Frame> {
  const frame = given.take()
  await turns(1)
  return frame
}

describe('while the queue is full', () => {
  it('calls that were refused are not kept', async (context) => {
    const given = new GivenCaller(context, { depth: 1, maxBacklog: 5 })
    for (let count = 0; count < 6; count++) given.call('a')
    await turns(1)
    assert.equal(given.caller.waiting, 5)
    const refused: WeakRef<object>[] = []
    let failures = 0
    for (let count = 0; count < 2000; count++) {
      const waiter = { replied: () => assert.fail(), failed: () => void failures++ }
      refused.push(new WeakRef(waiter))
      given.caller.start(FrameKind.Call, count % 2 === 0 ? 'a' : `b${count}`, count, undefined, waiter)
    }
    assert.equal(failures, 2000)
    // WeakRefs are kept until the end of the turn in which they were made.
    await turns(2)
    setFlagsFromString('--expose-gc')
    const collect: unknown = runInNewContext('gc')
    assert.ok(typeof collect === 'function')
    collect()
    const kept = refused.filter((one) => one.deref() !== undefined).length
    assert.ok(kept < 200, `${kept} are kept`)
    for (let count = 0; count < 6; count++) await take(given)
    assert.equal(given.inQueue, 0)
  })

  it('calls of any number of services may be given up', async (context) => {
    const given = new GivenCaller(context, { depth: 1, maxBacklog: 100_000 })
    given.call('first')
    given.call('second')
    await turns(1)
    const gone = new AbortController()
    const calls = Array.from({ length: 20_000 }, (_, index) => given.call(`s${index}`, undefined, { signal: gone.signal }))
    given.call('last')
    gone.abort()
    await Promise.all(calls.map((call) => failure(call)))
    assert.equal(given.caller.waiting, 2)
    const names = [await take(given), await take(given), await take(given)].map(({ name }) => name)
    assert.deepEqual(names, ['first', 'second', 'last'])
  })

  it('calls that are given up in any order leave the others in theirs', async (context) => {
    const given = new GivenCaller(context, { depth: 1, maxBacklog: 10_000 })
    given.call('first')
    given.call('second')
    const gone = new AbortController()
    await turns(1)
    const wanted: number[] = []
    for (let index = 0; index < 1000; index++) {
      const isWanted = index % 10 === 7
      if (isWanted) wanted.push(index)
      given.call('a', index, isWanted ? undefined : { signal: gone.signal })
    }
    gone.abort()
    for (let index = 1000; index < 1010; index++) given.call('a', index)
    wanted.push(...Array.from({ length: 10 }, (_, index) => 1000 + index))
    await take(given)
    await take(given)
    const inputs: unknown[] = []
    while (given.inQueue > 0) inputs.push(valueOf(await take(given)))
    assert.deepEqual(inputs, wanted)
  })
})
