import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CancelTable } from '../../ipc/cancel-board.ts'

describe('a table of cancelled calls', () => {
  it('tells those that were cancelled, to all that have its memory', () => {
    const memory = new SharedArrayBuffer(400)
    const [engine, service] = [new CancelTable(new Int32Array(memory)), new CancelTable(new Int32Array(memory))]
    engine.cancel(3, 7)
    engine.cancel(99, 2 ** 32 - 1)
    assert.ok(service.isCancelled(3, 7) && service.isCancelled(99, 2 ** 32 - 1))
    for (const [slot, generation] of [
      [3, 6],
      [3, 8],
      [4, 7],
      [99, 2 ** 31 - 1],
    ] as const)
      assert.equal(service.isCancelled(slot, generation), false)
  })

  it('forgets a call when a later one of its slot is cancelled', () => {
    const table = new CancelTable(new Int32Array(1))
    table.cancel(0, 1)
    table.cancel(0, 2)
    assert.deepEqual([table.isCancelled(0, 1), table.isCancelled(0, 2)], [false, true])
  })

  it('has no call cancelled at the beginning, and none of a slot that it has no place for', () => {
    const table = new CancelTable(new Int32Array(4))
    for (const slot of [4, 2 ** 32 - 1]) {
      table.cancel(slot, 5)
      assert.equal(table.isCancelled(slot, 5), false)
    }
    // 0 is what the memory holds; no slot has that generation.
    for (let slot = 0; slot < 4; slot++) assert.equal(table.isCancelled(slot, 1), false)
  })
})
