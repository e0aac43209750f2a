import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PendingCalls, type PendingCall } from '../../app/call/pending-calls.ts'

function call(name: string): PendingCall {
  return { name, waiter: { replied: () => undefined, failed: () => undefined }, timer: 0 }
}

describe('pending calls', () => {
  it('are found by slot and generation, and are gone once taken', () => {
    const pending = new PendingCalls()
    const a = call('a')
    const slot = pending.add(a)
    const generation = pending.generationOf(slot)
    assert.equal(pending.find(slot, generation), a)
    assert.equal(pending.count, 1)
    assert.equal(pending.take(slot, generation), a)
    assert.equal(pending.count, 0)
    assert.equal(pending.take(slot, generation), undefined)
    assert.equal(pending.find(slot, generation), undefined)
  })

  it('leave their slot to the next call under another generation: a late reply finds nothing', () => {
    const pending = new PendingCalls()
    const generations = new Set<number>()
    let slot = 0
    for (let round = 0; round < 1000; round++) {
      slot = pending.add(call(`${round}`))
      assert.equal(slot, 0, 'the slot is used again')
      for (const old of generations) assert.equal(pending.find(slot, old), undefined)
      const generation = pending.generationOf(slot)
      assert.equal(generations.has(generation), false)
      generations.add(generation)
      pending.take(slot, generation)
      for (const old of generations) assert.equal(pending.take(slot, old), undefined)
    }
    assert.equal(pending.count, 0)
  })

  it('have slots of their own while they wait', () => {
    const pending = new PendingCalls()
    const calls = Array.from({ length: 100 }, (_, index) => call(`${index}`))
    const slots = calls.map((each) => pending.add(each))
    assert.equal(new Set(slots).size, 100)
    for (const [index, slot] of slots.entries()) assert.equal(pending.find(slot, pending.generationOf(slot)), calls[index])
  })

  it('are not found where there is no slot, and with no generation 0', () => {
    const pending = new PendingCalls()
    pending.add(call('a'))
    for (const slot of [1, -1, 0.5, 2 ** 32 - 1, Number.NaN]) assert.equal(pending.take(slot, 1), undefined)
    assert.equal(pending.take(0, 0), undefined)
    assert.equal(pending.generationOf(9), 0)
    assert.equal(pending.take(9, pending.generationOf(9)), undefined)
    assert.equal(pending.count, 1)
  })

  it('are all taken at once', () => {
    const pending = new PendingCalls()
    const [a, b, c] = [call('a'), call('b'), call('c')]
    pending.add(a)
    const slot = pending.add(b)
    pending.add(c)
    pending.take(slot, pending.generationOf(slot))
    assert.deepEqual(pending.takeAll(), [a, c])
    assert.equal(pending.count, 0)
    assert.deepEqual(pending.takeAll(), [])
  })
})
