import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CancelTable } from '../../ipc/cancel-board.ts'
import { ProcessKind, Scoreboard, scoreboardBytes, type Claimant } from '../../ipc/scoreboard.ts'
import { Limits } from '../../shared/limits.ts'

const ENGINE: Claimant = { kind: ProcessKind.Engine, pid: 1, start: 1, engine: 2, epoch: 9, concurrency: 0 }

class Bench {
  readonly reserved: [number, number][] = []
  readonly board: Scoreboard

  constructor() {
    const memory = { memory: new ArrayBuffer(scoreboardBytes(128)), reserve: (...part: [number, number]) => void this.reserved.push(part) }
    this.board = Scoreboard.format(memory, () => true, { epoch: 9, inboxBytes: 128 })
  }
}

describe('the tables of all engine processes', () => {
  it('each have their own calls, from when their engine has its slot', () => {
    const { board } = new Bench()
    assert.equal(board.cancels.isCancelled(3, 5, 0), false, 'memory that nobody has taken is not looked at')
    board.claim({ ...ENGINE, pid: 1, engine: 3 })
    board.claim({ ...ENGINE, pid: 2, engine: 4 })
    board.cancels.of(3).cancel(5, 7)
    assert.deepEqual(
      [3, 4, 5, 15].map((engine) => board.cancels.isCancelled(engine, 5, 7)),
      [true, false, false, false],
    )
    board.cancels.of(4).cancel(Limits.cancelSlots - 1, 8)
    assert.equal(board.cancels.isCancelled(4, Limits.cancelSlots - 1, 8), true)
    for (const engine of [16, 35, 65_535]) assert.equal(board.cancels.isCancelled(engine, 5, 7), false)
    assert.throws(() => board.cancels.of(16), RangeError)
  })

  it('take their memory with the slot, and begin empty whatever the engine before has left', () => {
    const { board, reserved } = new Bench()
    const first = board.claim(ENGINE)
    assert.ok(reserved.some(([offset, length]) => offset % 4096 === 0 && length === Limits.cancelSlots * 4))
    board.cancels.of(2).cancel(5, 7)
    first.release()
    board.claim(ENGINE)
    assert.equal(board.cancels.isCancelled(2, 5, 7), false)
    // No inbox and no other table was written to.
    for (let engine = 0; engine < Limits.engines; engine++) if (engine !== 2) assert.equal(board.cancels.of(engine).isCancelled(0, 0), true)
  })
})

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
