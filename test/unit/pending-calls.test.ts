import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CalledService } from '../../app/call/called-service.ts'
import { OutgoingCall } from '../../app/call/outgoing-call.ts'
import { PendingCalls } from '../../app/call/pending-calls.ts'
import { BodyForm, FrameKind } from '../../ipc/frame.ts'

function call(name: string): OutgoingCall {
  const waiter = { replied: () => undefined, failed: () => undefined }
  return new OutgoingCall(FrameKind.Call, new CalledService(name), waiter, true, 0, 1, 2, BodyForm.None, new Uint8Array(0), 56)
}

describe('pending calls', () => {
  it('are found by slot and generation, and are gone once taken', () => {
    const pending = new PendingCalls()
    const a = call('a')
    pending.add(a)
    assert.equal(pending.find(a.call, a.generation), a)
    assert.equal(pending.count, 1)
    assert.equal(pending.take(a.call, a.generation), a)
    assert.equal(pending.count, 0)
    assert.equal(pending.take(a.call, a.generation), undefined)
    assert.equal(pending.find(a.call, a.generation), undefined)
  })

  it('leave their slot to the next call under another generation: a late reply finds nothing', () => {
    const pending = new PendingCalls()
    const generations = new Set<number>()
    for (let round = 0; round < 1000; round++) {
      const next = call(`${round}`)
      pending.add(next)
      assert.equal(next.call, 0, 'the slot is used again')
      for (const old of generations) assert.equal(pending.find(0, old), undefined)
      assert.equal(generations.has(next.generation), false)
      generations.add(next.generation)
      pending.take(0, next.generation)
      for (const old of generations) assert.equal(pending.take(0, old), undefined)
    }
    assert.equal(pending.count, 0)
  })

  it('have slots of their own while they wait', () => {
    const pending = new PendingCalls()
    const calls = Array.from({ length: 100 }, (_, index) => call(`${index}`))
    for (const each of calls) pending.add(each)
    assert.equal(new Set(calls.map((each) => each.call)).size, 100)
    for (const each of calls) assert.equal(pending.find(each.call, each.generation), each)
  })

  it('are not found where there is no slot, and with no generation 0', () => {
    const pending = new PendingCalls()
    pending.add(call('a'))
    for (const slot of [1, -1, 0.5, 2 ** 32 - 1, Number.NaN]) assert.equal(pending.take(slot, 1), undefined)
    assert.equal(pending.take(0, 0), undefined)
    assert.equal(pending.take(9, 0), undefined)
    assert.equal(pending.count, 1)
  })

  it('are all taken at once', () => {
    const pending = new PendingCalls()
    const [a, b, c] = [call('a'), call('b'), call('c')]
    for (const each of [a, b, c]) pending.add(each)
    pending.take(b.call, b.generation)
    assert.deepEqual(pending.takeAll(), [a, c])
    assert.equal(pending.count, 0)
    assert.deepEqual(pending.takeAll(), [])
  })
})
