import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConnectionTable } from '../../app/connection-table.ts'
import { Phase } from '../../app/connection.ts'
import { TurnClock } from '../../shared/clock.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'

function table(): {
  readonly table: ConnectionTable
  readonly passed: number[]
  readonly wheel: TimerWheel
  readonly wait: (milliseconds: number) => void
} {
  const clock = new FakeClock()
  const wheel = new TimerWheel(clock)
  const passed: number[] = []
  const connections = new ConnectionTable(new TurnClock(clock), wheel, { deadlinePassed: (slot) => passed.push(slot) })
  const wait = (milliseconds: number): void => {
    clock.pass(milliseconds)
    wheel.advance()
  }
  return { table: connections, passed, wheel, wait }
}

describe('the connection table', () => {
  it('knows which slots are open, and tells one connection in a slot from the next', () => {
    const { table: connections } = table()
    assert.equal(connections.isOpen(3), false)
    connections.add(3)
    const generation = connections.generationOf(3)
    assert.deepEqual([connections.isOpen(3), connections.isOpen(0), connections.open, connections.slots()], [true, false, 1, [3]])
    connections.remove(3)
    assert.deepEqual([connections.isOpen(3), connections.open, connections.slots()], [false, 0, []])
    connections.add(3)
    assert.notEqual(connections.generationOf(3), generation)
  })

  it('holds as many slots as there are, and asks for any', () => {
    const { table: connections } = table()
    for (let slot = 0; slot < 5000; slot++) connections.add(slot)
    assert.equal(connections.open, 5000)
    assert.equal(connections.slots().length, 5000)
    assert.equal(connections.isOpen(1e6), false)
    assert.equal(connections.busy(1e6), undefined)
  })

  it('lends state to a connection that is busy, and lends it to another afterwards', () => {
    const { table: connections } = table()
    for (const slot of [0, 1]) connections.add(slot)
    assert.equal(connections.busy(0), undefined)
    const conn = connections.take(0)
    assert.equal(connections.take(0), conn)
    assert.equal(connections.busy(0), conn)
    connections.giveBack(conn)
    assert.equal(connections.busy(0), undefined)
    const next = connections.take(1)
    assert.equal(next, conn)
    assert.equal(next.slot, 1)
  })

  it('takes back the state of a connection that is gone, with nothing of it', () => {
    const { table: connections } = table()
    for (const slot of [0, 1]) connections.add(slot)
    const conn = connections.take(0)
    conn.phase = Phase.Header
    conn.hold(Buffer.from('secret'), 0, 6)
    conn.ended = conn.blocked = conn.paused = conn.resuming = conn.continued = true
    conn.unsent = 9
    connections.remove(0)
    const next = connections.take(1)
    assert.equal(next, conn)
    assert.deepEqual(
      [next.phase, next.held, next.heldBytes, next.ended, next.blocked, next.paused, next.resuming, next.continued, next.unsent],
      [Phase.Idle, undefined, 0, false, false, false, false, false, 0],
    )
  })
})

describe('a deadline', () => {
  it('passes once', () => {
    const { table: connections, passed, wait } = table()
    connections.add(0)
    connections.setDeadline(0, 1000)
    wait(980)
    assert.deepEqual(passed, [])
    wait(40)
    wait(5000)
    assert.deepEqual(passed, [0])
  })

  it('that is put off costs no timer, and passes when it is due', () => {
    const { table: connections, passed, wheel, wait } = table()
    connections.add(0)
    connections.setDeadline(0, 1000)
    wait(900)
    connections.setDeadline(0, 1000)
    assert.equal(wheel.armed, 1)
    wait(900)
    assert.deepEqual(passed, [])
    wait(120)
    assert.deepEqual(passed, [0])
  })

  it('that is moved forward passes when it is due', () => {
    const { table: connections, passed, wheel, wait } = table()
    connections.add(0)
    connections.setDeadline(0, 60_000)
    connections.setDeadline(0, 1000)
    assert.equal(wheel.armed, 1)
    wait(1020)
    assert.deepEqual(passed, [0])
  })

  it('is not that of the next connection in the slot, and leaves no timer behind', () => {
    const { table: connections, passed, wheel, wait } = table()
    connections.add(0)
    connections.setDeadline(0, 1000)
    connections.remove(0)
    assert.equal(wheel.armed, 0)
    connections.add(0)
    wait(5000)
    assert.deepEqual(passed, [])
    connections.setDeadline(0, 1000)
    wait(1020)
    assert.deepEqual(passed, [0])
  })
})
