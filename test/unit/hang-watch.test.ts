import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HangWatch } from '../../app/call/hang-watch.ts'
import { ProcessKind, ServiceFigures, type ClaimedSlot } from '../../ipc/scoreboard.ts'
import { NO_GENERATION } from '../../ipc/frame.ts'
import { Limits } from '../../shared/limits.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { claimFor, memoryBoard, putMessage } from '../support/memory-board.ts'

const ENGINE = 1
const EPOCH = 77
const GRACE = 2000
const { hangLookMs, hangLooks, hangSearchMs } = Limits
/** From the first look at a process to the one that tells of it. */
const PROOF = hangLookMs * hangLooks

class Given {
  readonly clock: FakeClock
  readonly wheel: TimerWheel
  readonly board = memoryBoard(512, EPOCH)
  readonly told: string[] = []
  readonly slot: ClaimedSlot
  readonly watch: HangWatch
  readonly row: number
  #calls = 0

  constructor(clock = new FakeClock()) {
    this.clock = clock
    this.wheel = new TimerWheel(clock)
    this.slot = claimFor(this.board, 5)
    this.row = new ServiceFigures(this.board.services, 5).rowOf('slow')
    this.watch = new HangWatch({
      board: this.board,
      engine: ENGINE,
      epoch: EPOCH,
      graceMs: GRACE,
      blocked: ({ pid }, service, overdueMs) => void this.told.push(`${pid} ${service} ${overdueMs >= GRACE}`),
      clock: this.clock,
      wheel: this.wheel,
    })
  }

  /** A call of this deadline is in hand, and nobody waits for it. */
  run(deadlineMs: number, slot = this.slot): number {
    const deadline = this.clock.monotonic() + deadlineMs
    this.watch.outlasts(deadline)
    return slot.put(ENGINE, EPOCH, ++this.#calls, 7, this.row, this.clock.monotonic(), deadline)
  }

  /** A message is in the inbox whose calls have these deadlines. */
  take(...deadlines: readonly number[]): void {
    const calls = deadlines.map((deadlineMs) => ({ call: ++this.#calls, generation: 7, deadline: this.clock.monotonic() + deadlineMs }))
    for (const { deadline } of calls) this.watch.outlasts(deadline)
    putMessage(this.slot.inbox, calls, ENGINE, EPOCH)
  }

  /** Time goes on; the process shows that it lives as often as `beats` says, in milliseconds. */
  pass(milliseconds: number, beats = Infinity): void {
    for (let passed = 0; passed < milliseconds; passed += 10) {
      this.clock.pass(10)
      if (passed % beats === 0 && beats !== Infinity) this.slot.beat()
      this.wheel.advance()
    }
  }
}

describe('a process is told of that', () => {
  it('computes past the deadline of its call and the grace, once', () => {
    const given = new Given()
    given.run(1000)
    given.pass(1000 + GRACE + PROOF - 50)
    assert.deepEqual(given.told, [])
    given.pass(100)
    assert.deepEqual(given.told, ['5 slow true'])
    given.pass(60_000)
    assert.equal(given.told.length, 1)
  })

  it('is past a time that lies between two milliseconds, looked at between them', () => {
    // The wheel ticks at 1000.7 and each ten milliseconds after that, so also right between the deadline and the millisecond that it is in.
    const given = new Given(new FakeClock(1000.7))
    given.run(999.95)
    given.pass(1000 + GRACE + PROOF + 60)
    assert.deepEqual(given.told, ['5 slow true'])
  })

  it('shows no sign of life while calls wait that are all past their time', () => {
    const given = new Given()
    for (const deadline of [500, 1000]) given.slot.waits(given.run(deadline))
    given.pass(1000 + GRACE, 100)
    given.pass(PROOF - 50)
    assert.deepEqual(given.told, [])
    given.pass(100)
    assert.deepEqual(given.told, ['5 slow true'])
  })

  it('has taken a message and begins none of its calls', () => {
    const given = new Given()
    given.take(60_000, 1000)
    given.pass(1000 + GRACE + PROOF + 50)
    assert.deepEqual(given.told, ['5  true'])
  })

  it('is one of several', () => {
    const given = new Given()
    const other = claimFor(given.board, 6)
    given.run(60_000)
    given.run(1000, other)
    given.pass(1000 + GRACE + PROOF + 50)
    assert.deepEqual(given.told, ['6 slow true'])
  })
})

describe('a process is left alone that', () => {
  it('waits past the deadline of its call, however long', () => {
    const given = new Given()
    given.slot.waits(given.run(1000))
    given.pass(120_000, 100)
    assert.deepEqual(given.told, [])
    assert.ok(given.wheel.armed > 0, 'it may yet be blocked')
  })

  it('computes in time, though a call waits there past its own', () => {
    const given = new Given()
    given.slot.waits(given.run(100))
    given.run(60_000)
    given.pass(59_000)
    assert.deepEqual(given.told, [])
  })

  it('has a call that waits and is in time: it may be the one that computes now', () => {
    const given = new Given()
    given.slot.waits(given.run(100))
    given.slot.waits(given.run(60_000))
    given.pass(59_000)
    assert.deepEqual(given.told, [])
  })

  it('goes from one late call to the next', () => {
    const given = new Given()
    for (let count = 0; count < 40; count++) {
      const entry = given.run(-GRACE)
      given.pass(PROOF - hangLookMs)
      given.slot.clear(entry)
    }
    assert.deepEqual(given.told, [])
  })

  it('goes on before the last look', () => {
    const given = new Given()
    given.slot.waits(given.run(1000))
    given.pass(1000 + GRACE + PROOF - 100)
    given.slot.beat()
    given.pass(PROOF - 100)
    assert.deepEqual(given.told, [])
  })

  it('could not run while this process could not either', () => {
    const given = new Given()
    given.slot.waits(given.run(1000))
    // The machine stood still: one look, after which the other process gets its turn.
    given.clock.pass(60_000)
    given.wheel.advance()
    given.pass(PROOF, 100)
    assert.deepEqual(given.told, [])
  })

  it('has nothing in hand, or what it gave back, or what another engine waits for', () => {
    const given = new Given()
    const [idle, garbage] = [claimFor(given.board, 6), claimFor(given.board, 7)]
    idle.inbox.fill(0)
    garbage.inbox.fill(0x41)
    given.take(100)
    given.slot.inbox.writeUInt32LE(NO_GENERATION, 20 + 8)
    const foreign = claimFor(given.board, 8)
    putMessage(foreign.inbox, [{ call: 1, generation: 2, deadline: 1 }], ENGINE + 1, EPOCH)
    claimFor(given.board, 9, ProcessKind.Engine).put(ENGINE, EPOCH, 1, 2, 0, 1, 2)
    given.pass(60_000)
    assert.deepEqual(given.told, [])
  })
})

describe('the watch', () => {
  it('looks only while a call may be overdue, and from the earliest on', () => {
    const given = new Given()
    assert.equal(given.wheel.armed, 0)
    given.watch.outlasts(given.clock.monotonic() + 50_000)
    given.slot.clear(given.run(1000))
    assert.equal(given.wheel.armed, 1)
    given.run(2000)
    given.pass(2000 + GRACE + PROOF + hangSearchMs)
    assert.deepEqual(given.told, ['5 slow true'])
    given.slot.release()
    given.pass(50_000)
    assert.equal(given.wheel.armed, 0)
  })

  it('does not look after it was closed', () => {
    const given = new Given()
    given.run(1000)
    given.watch.close()
    given.watch.outlasts(given.clock.monotonic())
    assert.equal(given.wheel.armed, 0)
  })
})
