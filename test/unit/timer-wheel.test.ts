import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createSystemClock } from '../../shared/clock.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually } from '../support/eventually.ts'

const TICK = 10
const ROUND = 1024 * TICK

class Given {
  readonly clock = new FakeClock(123.456)
  readonly wheel = new TimerWheel(this.clock, TICK)
  /** [subject, generation] in the order told. */
  readonly told: (readonly [number, number])[] = []
  /** What an owner does when it is told. */
  act: (subject: number) => void = () => undefined

  constructor(context: TestContext) {
    context.after(() => this.wheel.stop())
  }

  expired(subject: number, generation: number): void {
    this.told.push([subject, generation])
    this.act(subject)
  }

  arm(delay: number, subject: number, generation = 0): number {
    return this.wheel.arm(delay, this, subject, generation)
  }

  /** Time goes on in steps of one tick, the wheel with it. */
  pass(milliseconds: number): void {
    for (let passed = 0; passed < milliseconds; passed += TICK) {
      this.clock.pass(Math.min(TICK, milliseconds - passed))
      this.wheel.advance()
    }
  }

  /** Time goes on at once, as after a long pause of the process. */
  jump(milliseconds: number): void {
    this.clock.pass(milliseconds)
    this.wheel.advance()
  }

  get subjects(): number[] {
    return this.told.map(([subject]) => subject)
  }
}

describe('the timer wheel', () => {
  for (const delay of [0, 0.001, 1, 9.999, 10, 10.001, 25, 1000, ROUND - 1, ROUND, ROUND + 1, 3 * ROUND + 5]) {
    it(`expires ${delay} ms not early, at most one tick late, and once`, (context) => {
      const given = new Given(context)
      given.clock.pass(3.3) // Not at the start of a tick.
      given.arm(delay, 1, 2)
      let waited = 0
      while (given.told.length === 0 && waited <= delay + 2 * TICK) {
        given.clock.pass(0.5)
        waited += 0.5
        given.wheel.advance()
      }
      assert.deepEqual(given.told, [[1, 2]])
      assert.ok(waited >= delay, `${waited} ms is early`)
      assert.ok(waited <= delay + TICK + 0.5, `${waited} ms is late`)
      given.pass(2 * ROUND)
      assert.equal(given.told.length, 1)
      assert.equal(given.wheel.armed, 0)
    })
  }

  it('takes a negative delay as none', (context) => {
    const given = new Given(context)
    given.arm(-1e9, 1)
    assert.equal(given.told.length, 0)
    given.pass(TICK)
    assert.deepEqual(given.subjects, [1])
  })

  it('expires in the order of time, whatever the order of arming', (context) => {
    const given = new Given(context)
    const delays = [500, 20, 10_300, 40, 25_000, 30]
    for (const delay of delays) given.arm(delay, delay)
    given.pass(30_000)
    assert.deepEqual(
      given.subjects,
      delays.toSorted((a, b) => a - b),
    )
  })

  it('tells subject and generation of each timer, also of several in one tick', (context) => {
    const given = new Given(context)
    for (let subject = 0; subject < 10; subject++) given.arm(50, subject, subject * 100)
    given.pass(50)
    assert.deepEqual(
      given.told.toSorted(([a], [b]) => a - b),
      Array.from({ length: 10 }, (_, subject) => [subject, subject * 100]),
    )
  })

  it('does not tell what was cancelled', (context) => {
    const given = new Given(context)
    const ids = Array.from({ length: 9 }, (_, subject) => given.arm(50, subject))
    for (const index of [0, 4, 5, 8]) assert.equal(given.wheel.cancel(ids[index] ?? 0), true)
    assert.equal(given.wheel.armed, 5)
    given.pass(100)
    assert.deepEqual(
      given.subjects.toSorted((a, b) => a - b),
      [1, 2, 3, 6, 7],
    )
  })

  it('knows an id that has had its time', (context) => {
    const given = new Given(context)
    const expired = given.arm(10, 1)
    const cancelled = given.arm(10, 2)
    assert.equal(given.wheel.cancel(cancelled), true)
    assert.equal(given.wheel.cancel(cancelled), false)
    given.pass(20)
    assert.equal(given.wheel.cancel(expired), false)
    // Their nodes serve other timers now, which an old id does not reach.
    const successors = new Set([given.arm(10, 3), given.arm(10, 4)])
    assert.equal(given.wheel.cancel(expired), false)
    assert.equal(given.wheel.cancel(cancelled), false)
    assert.ok(!successors.has(expired) && !successors.has(cancelled))
    given.pass(20)
    assert.deepEqual(
      given.subjects.toSorted((a, b) => a - b),
      [1, 3, 4],
    )
  })

  it('takes no id for a timer that it never gave', (context) => {
    const given = new Given(context)
    given.arm(10, 1)
    for (const id of [0, 2, 63, 64, 1_000_000, -1, 2 ** 21 + 1]) assert.equal(given.wheel.cancel(id), false)
    given.pass(20)
    assert.deepEqual(given.subjects, [1])
  })

  it('gives an id as a small integer for as long as a node is used', (context) => {
    const given = new Given(context)
    for (let use = 0; use < 3000; use++) {
      const id = given.arm(10, use)
      assert.ok(id > 0 && id < 2 ** 31)
      assert.equal(given.wheel.cancel(id), true)
    }
  })

  it('takes timers that are armed while it tells, and does not tell them at once', (context) => {
    const given = new Given(context)
    given.act = (subject) => {
      if (subject < 5) given.arm(0, subject + 1)
    }
    given.arm(10, 0)
    given.jump(1000)
    assert.deepEqual(given.subjects, [0])
    given.pass(5 * TICK)
    assert.deepEqual(given.subjects, [0, 1, 2, 3, 4, 5])
  })

  it('takes a timer armed while it tells that falls into the same slot, a round later', (context) => {
    const given = new Given(context)
    given.act = (subject) => {
      if (subject === 0) given.arm(ROUND, 1)
    }
    given.arm(10, 0)
    given.pass(10)
    given.pass(ROUND - 2 * TICK)
    assert.deepEqual(given.subjects, [0])
    given.pass(3 * TICK)
    assert.deepEqual(given.subjects, [0, 1])
  })

  it('does not tell a timer that the one before it cancels, and loses none of the others', (context) => {
    for (const victims of [[1], [3], [0, 1], [2, 3], [1, 2, 3], [0, 1, 2, 3, 4]]) {
      for (const delay of [undefined, 200, ROUND]) {
        const given = new Given(context)
        const ids = [0, 1, 2, 3, 4].map((subject) => given.arm(50, subject))
        const cancelled = new Set<number>()
        // The first that is told cancels its neighbours, and arms others in their nodes: in another slot, or in this one.
        given.act = (subject) => {
          given.act = () => undefined
          for (const victim of victims) {
            if (victim !== subject && given.wheel.cancel(ids[victim] ?? 0)) cancelled.add(victim)
            if (delay !== undefined) given.arm(delay, 100 + victim)
          }
        }
        given.pass(60)
        assert.deepEqual(
          given.subjects.toSorted((a, b) => a - b),
          [0, 1, 2, 3, 4].filter((subject) => !cancelled.has(subject)),
        )
        assert.equal(given.wheel.armed, delay === undefined ? 0 : victims.length)
      }
    }
  })

  it('expires all that is due after a long pause, and nothing else', (context) => {
    const given = new Given(context)
    for (let subject = 1; subject <= 50; subject++) given.arm(subject * 1000, subject)
    given.jump(30_500)
    assert.deepEqual(
      given.subjects.toSorted((a, b) => a - b),
      Array.from({ length: 30 }, (_, index) => index + 1),
    )
    given.jump(100_000)
    assert.equal(given.told.length, 50)
  })

  it('grows beyond the nodes it begins with, and uses them again', (context) => {
    const given = new Given(context)
    for (let round = 0; round < 3; round++) {
      const ids = Array.from({ length: 1000 }, (_, subject) => given.arm(10 + (subject % 7) * 500, subject, round))
      assert.equal(new Set(ids).size, 1000)
      assert.equal(given.wheel.armed, 1000)
      for (const [index, id] of ids.entries()) if (index % 2 === 0) assert.equal(given.wheel.cancel(id), true)
      given.pass(4000)
      assert.deepEqual(
        given.told.map(([subject]) => subject).toSorted((a, b) => a - b),
        Array.from({ length: 500 }, (_, index) => index * 2 + 1),
      )
      assert.ok(given.told.every(([, generation]) => generation === round))
      given.told.length = 0
    }
  })

  it('agrees with a plain list of timers, whatever is done to it', (context) => {
    const given = new Given(context)
    const expected = new Map<number, { readonly id: number; readonly due: number }>()
    let seed = 1
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    for (let step = 0; step < 20_000; step++) {
      if (random(3) > 0) {
        const delay = random(5) === 0 ? random(4 * ROUND) : random(300)
        expected.set(step, { id: given.arm(delay, step), due: given.clock.monotonic() + delay })
      } else if (expected.size > 0) {
        const [subject = 0] = [...expected.keys()].slice(random(expected.size))
        assert.equal(given.wheel.cancel(expected.get(subject)?.id ?? 0), true)
        expected.delete(subject)
      }
      if (random(10) === 0) {
        given.jump(random(50) === 0 ? random(3 * ROUND) : random(60))
        for (const [subject] of given.told.splice(0)) {
          assert.ok((expected.get(subject)?.due ?? Infinity) <= given.clock.monotonic(), 'early, or not armed')
          expected.delete(subject)
        }
        for (const { due } of expected.values()) assert.ok(due > given.clock.monotonic() - TICK, 'forgotten')
      }
      assert.equal(given.wheel.armed, expected.size)
    }
  })

  it('tells nothing after it was stopped', (context) => {
    const given = new Given(context)
    given.arm(10, 1)
    given.arm(100, 2)
    given.wheel.stop()
    assert.equal(given.wheel.armed, 0)
    given.pass(1000)
    assert.deepEqual(given.told, [])
  })

  it('drives itself by the clock of the machine, also for a timer that comes before the one it sleeps for', async (context) => {
    const clock = createSystemClock()
    const wheel = new TimerWheel(clock)
    // The wheel keeps no process up: something else has to.
    const up = setInterval(() => undefined, 1000)
    context.after(() => {
      clearInterval(up)
      wheel.stop()
    })
    const early: number[] = []
    const told: number[] = []
    const start = clock.monotonic()
    const owner = {
      expired(subject: number): void {
        told.push(subject)
        if (clock.monotonic() - start < subject) early.push(subject)
        if (subject === 60) wheel.arm(1, owner, 61, 0)
      },
    }
    for (const delay of [3_600_000, 120, 60, 20]) wheel.arm(delay, owner, delay, 0)
    await eventually('the timers expire', () => told.length === 4)
    assert.deepEqual(
      told.toSorted((a, b) => a - b),
      [20, 60, 61, 120],
    )
    assert.deepEqual(early, [])
    assert.equal(wheel.armed, 1)
  })
})
