import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  bucketOf,
  Counter,
  counterOf,
  OTHER_SERVICES,
  ProcessKind,
  ProcessPhase,
  Scoreboard,
  scoreboardBytes,
  ServiceFigures,
  type Claimant,
  type ProcessProbe,
} from '../../ipc/scoreboard.ts'
import { cancelsAt, CANCELS_BYTES } from '../../ipc/scoreboard-layout.ts'
import { NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { isCode } from '../support/codes.ts'
import { SeededRandom } from '../support/random-bytes.ts'

const INBOX = 128
const OPTIONS = { epoch: 0xfe_dc_ba_98, inboxBytes: INBOX }

/** A scoreboard in plain memory, and who of its processes is dead. */
class Bench {
  readonly memory: ArrayBuffer
  readonly board: Scoreboard
  readonly dead = new Set<number>()
  readonly reserved: [number, number][] = []
  isFull = false
  isDead = false

  constructor(memory = new ArrayBuffer(scoreboardBytes(INBOX)), format = true) {
    this.memory = memory
    const isAlive: ProcessProbe = (pid) => !this.isDead && !this.dead.has(pid)
    this.board = format ? Scoreboard.format(this, isAlive, OPTIONS) : new Scoreboard(this, isAlive)
  }

  reserve(offset: number, length: number): void {
    if (this.isFull) throw new NppError('NPP_SHM_FULL', 'no room')
    this.reserved.push([offset, length])
  }
}

function service(pid: number, more: Partial<Claimant> = {}): Claimant {
  return { kind: ProcessKind.Service, pid, start: pid * 10, engine: 0, epoch: 0, concurrency: 1, ...more }
}

const ENGINE: Claimant = { kind: ProcessKind.Engine, pid: 1000, start: 2 ** 33 + 5, engine: 3, epoch: 0xff_ff_ff_ff, concurrency: 0 }

describe('scoreboard: slots', () => {
  test('a claim is seen by all who look, with all that it said', () => {
    const { board, memory } = new Bench()
    assert.deepEqual(board.occupants(), [])
    const before = board.changes
    board.claim(service(4_194_303, { concurrency: 64 }))
    board.claim(ENGINE)
    assert.notEqual(board.changes, before)
    const other = new Bench(memory, false).board
    assert.equal(other.epoch, OPTIONS.epoch)
    const [first, second, ...none] = other.occupants()
    assert.deepEqual(none, [])
    assert.deepEqual({ ...first, state: 0 }, { ...service(4_194_303, { concurrency: 64 }), slot: 0, state: 0 })
    assert.deepEqual({ ...second, state: 0 }, { ...ENGINE, slot: 1, state: 0 })
  })

  test('a slot that is given back is free, once, and the next claimant finds nothing of the one before', () => {
    const { board } = new Bench()
    const first = board.claim(service(1))
    first.put(1, 2, 3, 4, 5, 6, 7)
    first.add(Counter.Calls, 5)
    first.inbox.write('a message')
    first.enter(ProcessPhase.Stopping)
    const [before] = board.occupants()
    assert.ok(before)
    first.release()
    assert.deepEqual(board.occupants(), [])
    const second = board.claim(service(1))
    assert.equal(second.slot, first.slot)
    const [reading] = board.read().processes
    assert.ok(reading)
    assert.deepEqual(reading.callsInHand, [])
    assert.equal(counterOf(reading, Counter.Calls), 0)
    assert.equal(reading.phase, ProcessPhase.Starting)
    assert.ok(board.inboxOf(reading)?.every((byte) => byte === 0))
    // The first one's, of the same pid and start, are stale.
    first.release()
    assert.equal(board.free(before), false)
    second.put(1, 2, 3, 4, 5, 6, 7)
    assert.deepEqual(board.callsInHandOf(before), [])
    assert.equal(board.inboxOf(before), undefined)
    assert.equal(board.occupants().length, 1)
    assert.equal(board.free(reading), true)
    assert.equal(board.free(reading), false)
  })

  test('a slot can be claimed any number of times', () => {
    const { board } = new Bench()
    const seen = new Set<number>()
    for (let count = 0; count < 1024; count++) {
      const slot = board.claim(service(4_194_303))
      const [occupant] = board.occupants()
      assert.equal(occupant?.pid, 4_194_303)
      seen.add(occupant.state)
      slot.release()
    }
    assert.equal(seen.size, 1024, 'no two claims in a row look alike')
  })

  test('all slots are taken, each once, and one more is refused', () => {
    const { board } = new Bench()
    const slots = Array.from({ length: Limits.scoreboardSlots }, (_, index) => board.claim(service(index + 1)).slot)
    assert.equal(new Set(slots).size, Limits.scoreboardSlots)
    assert.throws(() => board.claim(service(9999)), isCode('NPP_SCOREBOARD_FULL'))
    assert.equal(board.occupants().length, Limits.scoreboardSlots)
  })

  test('memory for an inbox is taken when the slot is, and where there is none the slot stays free', () => {
    const bench = new Bench()
    bench.isFull = true
    assert.throws(() => bench.board.claim(service(1)), isCode('NPP_SHM_FULL'))
    assert.deepEqual(bench.board.occupants(), [])
    bench.isFull = false
    const slots = [bench.board.claim(service(1)), bench.board.claim(service(2))]
    assert.equal(new Set(bench.reserved.map(([offset]) => offset)).size, 2)
    for (const [offset, length] of bench.reserved) {
      assert.equal(offset % 4096, 0)
      assert.ok(length >= INBOX && offset + length <= bench.memory.byteLength)
    }
    slots[0]?.inbox.fill(1)
    assert.ok(slots[1]?.inbox.every((byte) => byte === 0))
    assert.equal(slots[0]?.inbox.byteLength, INBOX)
  })
})

describe('scoreboard: made anew', () => {
  test('it has all of the one before but the slots of services, and whoever looks sees that something is new', () => {
    const { board } = new Bench()
    board.claim(service(1)).put(1, 2, 3, 4, 5, 6, 7)
    const engine = board.claim(ENGINE)
    engine.set(Counter.Requests, 99)
    const row = board.services.rowOf('sum', 1)
    board.cancels.of(ENGINE.engine).cancel(5, 9)
    const anew = new Bench(new ArrayBuffer(scoreboardBytes(INBOX)))
    board.copyTo(anew)
    const copy = new Bench(anew.memory, false).board
    assert.equal(copy.epoch, board.epoch)
    assert.equal(copy.cancels.isCancelled(ENGINE.engine, 5, 9), true)
    assert.ok(anew.reserved.some(([offset, length]) => offset === cancelsAt(ENGINE.engine) && length === CANCELS_BYTES))
    assert.notEqual(copy.changes, board.changes)
    assert.deepEqual(
      copy.occupants(),
      board.occupants().filter(({ kind }) => kind === ProcessKind.Engine),
    )
    assert.deepEqual(
      copy.read().processes.map((process) => counterOf(process, Counter.Requests)),
      [99],
    )
    assert.equal(copy.services.rowOf('sum', 1), row)
    // What a process of the same pid claims is told from what it had.
    const [before] = board.occupants()
    const slot = copy.claim(service(1))
    assert.equal(slot.slot, 0)
    const [after] = copy.occupants()
    assert.ok(before && after)
    assert.notEqual(after.state, before.state)
    assert.deepEqual(copy.callsInHandOf(after), [])
  })
})

describe('scoreboard: processes that have ended', () => {
  test('are told, with what they had in hand and in their inbox, until they are freed', () => {
    const { board, dead } = new Bench()
    const slot = board.claim(service(1))
    board.claim(service(2))
    slot.put(0, 7, 1, 2, 3, 100, 200)
    slot.inbox.write('the last message')
    dead.add(1)
    const [gone, ...others] = board.ended()
    assert.ok(gone)
    assert.deepEqual(others, [])
    assert.equal(gone.pid, 1)
    assert.deepEqual(board.callsInHandOf(gone), [
      { engine: 0, epoch: 7, call: 1, generation: 2, service: 3, since: 100, deadline: 200, waits: false },
    ])
    assert.equal(board.inboxOf(gone)?.toString('latin1', 0, 16), 'the last message')
    assert.equal(board.free(gone), true)
    assert.deepEqual(board.ended(), [])
    assert.deepEqual(
      board.occupants().map(({ pid }) => pid),
      [2],
    )
  })

  test('services stay until the engine has looked, though nothing is in hand: their inbox may hold a call', () => {
    const { board, dead } = new Bench()
    board.claim(service(1)).inbox.write('taken, not yet in hand')
    dead.add(1)
    assert.equal(board.claim(service(2)).slot, 1)
    assert.equal(board.ended().length, 1)
  })

  test('engines are freed by the next claim', () => {
    const { board, dead } = new Bench()
    board.claim(ENGINE)
    dead.add(ENGINE.pid)
    assert.equal(board.claim(service(2)).slot, 0)
    assert.deepEqual(board.ended(), [])
  })

  test('where no other slot is left, those of services with nothing in hand are taken, the others never', () => {
    const { board, dead } = new Bench()
    for (let pid = 1; pid <= Limits.scoreboardSlots; pid++) {
      const slot = board.claim(service(pid))
      if (pid <= 2) slot.put(0, 7, pid, 2, 3, 100, 200)
    }
    dead.add(1)
    assert.throws(() => board.claim(service(1001)), isCode('NPP_SCOREBOARD_FULL'))
    dead.add(2).add(3)
    assert.equal(board.claim(service(1002)).slot, 2)
    assert.deepEqual(
      board.ended().map(({ pid }) => pid),
      [1, 2],
    )
  })

  test('one that was killed in the middle of its claim is not seen, and its slot is freed by the next claim', () => {
    const { board, dead, memory } = new Bench()
    // As compareExchange leaves it: the state says who, Ready still says nobody.
    const words = new Int32Array(memory)
    const reference = new Bench()
    reference.board.claim(service(77))
    const state = [...new Int32Array(reference.memory)].findIndex((word, index) => word !== words[index] && (word & 0x3f_ff_ff) === 77)
    words[state] = (1 << 22) | 77
    assert.deepEqual(board.occupants(), [])
    assert.equal(board.claim(service(2)).slot, 1, 'it may be about to go on')
    dead.add(77)
    assert.equal(board.claim(service(3)).slot, 0)
    assert.equal(board.occupants().length, 2)
  })
})

describe('scoreboard: calls in hand', () => {
  test('are read as they were put, numbers of 32 bits and times of 48 and 47 included, oldest first', () => {
    const { board } = new Bench()
    const slot = board.claim(service(1, { concurrency: 64 }))
    const u32 = 2 ** 32 - 1
    const entry = slot.put(15, u32, u32, u32, 127, 2 ** 48 - 1.5, 2 ** 47 - 1.5)
    slot.waits(entry)
    slot.put(0, 0, 0, 0, 0, 2 ** 31 + 0.9, 2 ** 32 + 0.1)
    const [occupant] = board.occupants()
    assert.ok(occupant)
    assert.deepEqual(board.callsInHandOf(occupant), [
      { engine: 0, epoch: 0, call: 0, generation: 0, service: 0, since: 2 ** 31, deadline: 2 ** 32 + 1, waits: false },
      { engine: 15, epoch: u32, call: u32, generation: u32, service: 127, since: 2 ** 48 - 2, deadline: 2 ** 47 - 1, waits: true },
    ])
  })

  test('are cleared one by one, in any order, and there is room for as many as a service may have', () => {
    const { board } = new Bench()
    const slot = board.claim(service(1))
    const calls = (): number[] => {
      const [occupant] = board.occupants()
      return occupant === undefined ? [] : board.callsInHandOf(occupant).map(({ call }) => call)
    }
    const all = Array.from({ length: Limits.callsInHand }, (_, index) => index)
    const entries = all.map((call) => slot.put(0, 1, call, 1, 1, call, 1))
    assert.equal(new Set(entries).size, Limits.callsInHand)
    assert.equal(slot.inHand, Limits.callsInHand)
    assert.equal(slot.put(0, 1, 999, 1, 1, 1, 1), -1)
    assert.deepEqual(calls(), all)
    for (const call of all.filter((call) => call % 3 === 0)) slot.clear(entries[call] ?? -1)
    assert.deepEqual(
      calls(),
      all.filter((call) => call % 3 !== 0),
    )
    assert.equal(slot.inHand, calls().length)
    assert.ok(slot.put(0, 1, 999, 1, 1, 1e6, 1) >= 0)
    assert.equal(calls().at(-1), 999)
    for (let count = 0; count < 100_000; count++) slot.clear(slot.put(0, 1, count, 1, 1, 1, 1))
    assert.equal(slot.inHand, calls().length)
  })
})

describe('scoreboard: counters', () => {
  test('belong to one process', () => {
    const { board } = new Bench()
    const [first, second] = [board.claim(service(1)), board.claim(service(2))]
    first.add(Counter.Calls, 2)
    first.add(Counter.Calls, 3)
    first.set(Counter.Connections, 7)
    first.set(Counter.Connections, 6)
    second.add(Counter.StaleReplies, 1)
    first.enter(ProcessPhase.Running)
    const [one, two] = board.read().processes
    assert.ok(one && two)
    assert.deepEqual([counterOf(one, Counter.Calls), counterOf(one, Counter.Connections), one.phase], [5, 6, ProcessPhase.Running])
    assert.equal(counterOf(one, Counter.StaleReplies), 0)
    assert.deepEqual([counterOf(two, Counter.Calls), counterOf(two, Counter.StaleReplies)], [0, 1])
    assert.equal(two.phase, ProcessPhase.Starting)
  })
})

describe('scoreboard: figures of services', () => {
  test('are added up over processes, and seen after a flush', () => {
    const { board, memory } = new Bench()
    const here = new ServiceFigures(board.services, 1)
    const there = new ServiceFigures(new Bench(memory, false).board.services, 2)
    const row = here.rowOf('sum')
    assert.equal(there.rowOf('sum'), row)
    here.finished(row, 0.5, 100.4, 10, 20, false)
    here.finished(row, 1, 127, 1, 2, true)
    there.finished(row, 3, 128, 5, 6, false)
    there.timedOut(row)
    there.retried(row)
    there.retried(row)
    assert.deepEqual(
      board.services.read().map(({ name, calls }) => ({ name, calls })),
      [
        { name: '', calls: 0 },
        { name: 'sum', calls: 0 },
      ],
    )
    for (const figures of [here, there, here, there]) figures.flush()
    const sum = board.read().services.find(({ name }) => name === 'sum')
    assert.ok(sum)
    const { wait, run, ...rest } = sum
    assert.deepEqual(rest, { name: 'sum', calls: 3, errors: 1, timeouts: 1, retries: 2, bytesIn: 16, bytesOut: 28, backlog: 0 })
    assert.deepEqual(wait.buckets.slice(0, 4), [1, 1, 1, 0])
    assert.deepEqual(run.buckets.slice(6, 10), [0, 2, 1, 0])
    assert.equal(run.totalMicros, 355)
    assert.equal(wait.buckets.length, 24)
    assert.equal(
      run.buckets.reduce((total, count) => total + count, 0),
      3,
    )
  })

  test('a bucket ends before twice where it begins', () => {
    assert.deepEqual([0, 0.99, 1, 1.99, 2, 3.9, 4, 1000, 1023, 1024].map(bucketOf), [0, 0, 1, 1, 2, 2, 3, 10, 10, 11])
    assert.deepEqual([2 ** 22 - 1, 2 ** 22, 2 ** 32, 2 ** 40, Infinity].map(bucketOf), [22, 23, 23, 23, 23])
  })

  test('services beyond the rows, and names that are too long, are added up in one row', () => {
    const { board } = new Bench()
    const figures = new ServiceFigures(board.services, 1)
    const rows = Array.from({ length: Limits.scoreboardServices + 10 }, (_, index) => figures.rowOf(`service ${index}`))
    assert.equal(new Set(rows).size, Limits.scoreboardServices)
    assert.deepEqual(
      rows.slice(Limits.scoreboardServices - 1),
      Array.from({ length: 11 }, () => OTHER_SERVICES),
    )
    assert.equal(figures.rowOf('é'.repeat(128)), OTHER_SERVICES)
    assert.equal(figures.rowOf(''), OTHER_SERVICES)
    for (const row of rows) figures.finished(row, 1, 1, 0, 0, false)
    figures.flush()
    const readings = board.services.read()
    assert.equal(readings.length, Limits.scoreboardServices)
    assert.equal(readings.find(({ name }) => name === '')?.calls, 11)
  })

  test('a name of 255 bytes has a row, and its characters stay whole', () => {
    const { board } = new Bench()
    const name = `${'é'.repeat(127)}x`
    const figures = new ServiceFigures(board.services, 1)
    const row = figures.rowOf(name)
    assert.notEqual(row, OTHER_SERVICES)
    assert.equal(board.services.nameOf(row), name)
    assert.equal(board.services.nameOf(row + 1), '')
    assert.equal(board.services.nameOf(-1), '')
    assert.equal(board.services.nameOf(1000), '')
  })

  test('the row of a process that was killed while it wrote the name is taken by another, that of one that lives is not', () => {
    const { board, dead, memory } = new Bench()
    const words = new Int32Array(memory)
    const before = [...words]
    assert.equal(board.services.rowOf('first', 5), 1)
    const state = words.findIndex((word, index) => index > 16 && word !== before[index])
    words[state] = -5
    assert.equal(board.services.nameOf(1), '')
    assert.equal(board.services.rowOf('second', 6), 2)
    dead.add(5)
    assert.equal(board.services.rowOf('third', 6), 1)
    assert.equal(board.services.rowOf('second', 6), 2)
  })

  test('two rows of one name, of two processes that asked at once, read as one', () => {
    const { board, memory } = new Bench()
    const words = new Int32Array(memory)
    const before = [...words]
    assert.equal(board.services.rowOf('twice', 5), 1)
    const state = words.findIndex((word, index) => index > 16 && word !== before[index])
    words[state] = -5
    assert.equal(board.services.rowOf('twice', 6), 2)
    words[state] = 1
    board.services.add(1, 0, 3)
    board.services.add(2, 0, 4)
    board.services.setBacklog(1, 0, 5)
    board.services.setBacklog(2, 15, 6)
    const readings = board.services.read().filter(({ name }) => name === 'twice')
    assert.equal(readings.length, 1)
    assert.deepEqual([readings[0]?.calls, readings[0]?.backlog], [7, 11])
  })

  test('the backlog is what the engines say now, and nothing is left of an engine that starts anew', () => {
    const { board } = new Bench()
    const figures = new ServiceFigures(board.services, 1)
    const row = figures.rowOf('sum')
    const backlog = (): number | undefined => board.services.read().find(({ name }) => name === 'sum')?.backlog
    figures.setBacklog(row, 3, 10)
    figures.setBacklog(row, 3, 8)
    figures.setBacklog(row, 0, 1)
    assert.equal(backlog(), 9)
    board.claim(ENGINE)
    assert.equal(backlog(), 1)
  })
})

describe('scoreboard: memory that is none', () => {
  test('is refused: too short, zero, of another version, of another size', () => {
    const good = new Bench()
    for (const memory of [new ArrayBuffer(0), new ArrayBuffer(3), new ArrayBuffer(64), new ArrayBuffer(scoreboardBytes(INBOX))]) {
      assert.throws(() => new Bench(memory, false), isCode('NPP_SHM_INVALID'))
    }
    assert.throws(() => new Bench(good.memory.slice(0, -4), false), isCode('NPP_SHM_INVALID'))
    for (let word = 0; word < 7; word++) {
      // The epoch may be any number.
      if (word === 2) continue
      for (const value of [0, -1, 1, 7, 2 ** 31 - 1]) {
        const copy = good.memory.slice(0)
        const words = new Int32Array(copy)
        // A few bytes more or less of an inbox take the same pages: openScoreboard compares them with what it expects.
        if (words[word] === value || (word === 5 && value > 0 && value < 4096)) continue
        words[word] = value
        assert.throws(() => new Bench(copy, false), isCode('NPP_SHM_INVALID'), `word ${word} is ${value}`)
      }
    }
    assert.equal(new Bench(good.memory, false).board.epoch, OPTIONS.epoch)
  })

  test('garbage behind a good header is read without a fault, and claims still find room', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench()
      const bytes = Buffer.from(bench.memory)
      new SeededRandom(seed).bytes(bytes.byteLength - 64).copy(bytes, 64)
      const { board } = bench
      for (const occupant of board.read().processes) {
        board.callsInHandOf(occupant)
        board.inboxOf(occupant)
      }
      board.services.read()
      board.services.rowOf('name', 1)
      bench.isDead = true
      const slot = board.claim(service(1))
      slot.put(0, 1, 2, 3, 4, 5, 6)
      bench.isDead = false
      const mine = board.occupants().find((occupant) => occupant.slot === slot.slot)
      assert.equal(mine && board.callsInHandOf(mine).length, 1)
    }
  })
})
