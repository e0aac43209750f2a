import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { BatchReader } from '../../ipc/batch-reader.ts'
import { BEGUN, messageLengthOf } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { Counter, counterOf, ServiceFigures, type CallInHand, type ProcessReading, type ServiceReading } from '../../ipc/scoreboard.ts'
import { Figures } from '../../svc/figures.ts'
import { eventually } from '../support/eventually.ts'
import { messageOf } from '../support/frames.ts'
import { GivenWorker, MESSAGE } from '../support/given-worker.ts'
import { claimFor, memoryBoard } from '../support/memory-board.ts'
import { turns } from '../support/queue-tools.ts'

/** A worker with a slot on a scoreboard. */
class Shown extends GivenWorker {
  readonly board
  readonly figures

  constructor(context: TestContext, concurrency = 1, repliesDepth = 10, graceMs = 500) {
    const board = memoryBoard(MESSAGE)
    const slot = claimFor(board, process.pid)
    const figures = new Figures(slot, new ServiceFigures(board.services, process.pid))
    super(context, { concurrency, repliesDepth, slot, figures, graceMs })
    this.board = board
    this.figures = figures
  }

  get reading(): ProcessReading {
    return this.board.read().processes[0] ?? assert.fail('it has no slot')
  }

  get inHand(): CallInHand[] {
    return this.board.callsInHandOf(this.reading)
  }

  /** Calls that its inbox says it has taken and not replied to. */
  get inInbox(): number {
    const inbox = this.board.inboxOf(this.reading) ?? assert.fail('it has no inbox')
    const reader = new BatchReader(inbox, new NameCache())
    return reader.read(messageLengthOf(inbox)) === undefined ? reader.left : 0
  }

  /** Of the calls in its inbox, whether they were begun. */
  get begun(): boolean[] {
    const inbox = this.board.inboxOf(this.reading) ?? assert.fail('it has no inbox')
    const reader = new BatchReader(inbox, new NameCache())
    assert.equal(reader.read(messageLengthOf(inbox)), undefined)
    const begun: boolean[] = []
    while (reader.next()) begun.push(reader.returns === BEGUN)
    return begun
  }

  count(counter: Counter): number {
    this.figures.flush(this.clock.monotonic())
    return counterOf(this.reading, counter)
  }

  of(name: string): ServiceReading {
    this.figures.flush(this.clock.monotonic())
    return this.board.services.read().find((reading) => reading.name === name) ?? assert.fail(`there is nothing of ${name}`)
  }
}

describe('a worker shows', () => {
  it('the call that computes, and the one that waits, by what they are', async (context) => {
    const given = new Shown(context, 2)
    let seen: CallInHand[] = []
    given.onRun = () => {
      seen = given.inHand
    }
    given.push([given.frame('gated', 'a'), given.frame('takes', 1)])
    await turns(3)
    assert.deepEqual(
      seen.map(({ call, waits }) => [call, waits]),
      [
        [1, true],
        [2, false],
      ],
    )
    assert.equal(given.board.services.nameOf(seen[1]?.service ?? 0), 'takes')
    given.gate('a').open()
    await given.takeReplies()
    assert.deepEqual(given.inHand, [])
  })

  it('its message until all calls of it are replied to or in hand', async (context) => {
    const given = new Shown(context)
    given.onRun = () => assert.equal(given.inInbox, 2)
    given.push([given.frame('takes', 0), given.frame('takes', 0)])
    await turns(3)
    assert.equal(given.inInbox, 0)
    assert.equal((await given.takeReplies()).length, 2)
    given.onRun = () => undefined
    given.push([given.frame('gated', 'a'), given.frame('echo', 'b')])
    await turns(2)
    assert.equal(given.inInbox, 2, 'b has not been begun')
    given.gate('a').open()
    await given.takeReplies()
    assert.deepEqual([given.inInbox, given.inHand], [0, []])
  })

  it('which calls of its message it has begun', async (context) => {
    const given = new Shown(context)
    given.push([given.frame('echo', 'a'), given.frame('gated', 'b'), given.frame('echo', 'c')])
    await turns(2)
    assert.deepEqual(given.begun, [true, true, false])
    given.gate('b').open()
    assert.equal((await given.takeReplies()).length, 3)
  })

  it('a call as begun before it gives it back, and as not begun where there is no room', async (context) => {
    const given = new Shown(context)
    const stays = given.frame('echo', 'stays')
    given.push([given.frame('gated', 'a'), stays])
    await turns(2)
    // Full, so that nothing can be given back.
    while (given.requests.push(messageOf([given.frame('echo', 'x')], MESSAGE))) continue
    given.requests.cancelDrain()
    const stopped = given.worker.stop()
    assert.deepEqual(given.begun, [true, false])
    given.gate('a').open()
    while (given.requests.shift(Buffer.alloc(MESSAGE)) !== -1) continue
    await given.takeReplies()
    await stopped
  })

  it('its message while the queue has no room for the replies', async (context) => {
    const given = new Shown(context, 1, 1)
    given.call('echo', 'a')
    await turns(3)
    given.call('echo', 'b')
    await turns(3)
    assert.equal(given.inInbox, 1)
    for (let count = 0; count < 2; count++) assert.equal((await given.takeReplies()).length, 1)
    assert.equal(given.inInbox, 0)
  })

  it('that its event loop turns, while a call waits and no longer', async (context) => {
    const given = new Shown(context)
    const keepsUp = setInterval(() => undefined, 1000)
    context.after(() => clearInterval(keepsUp))
    given.call('gated', 'a')
    await turns(3)
    const first = given.board.beatOf(given.reading)
    await eventually('it beats', () => given.board.beatOf(given.reading) > first + 1)
    given.gate('a').open()
    await given.takeReply()
    const last = given.board.beatOf(given.reading)
    await new Promise((resolve) => {
      setTimeout(resolve, 350)
    })
    assert.equal(given.board.beatOf(given.reading), last)
  })

  it('nothing more once its engine is gone, whatever its calls come to', async (context) => {
    const given = new Shown(context)
    const keepsUp = setInterval(() => undefined, 1000)
    context.after(() => clearInterval(keepsUp))
    given.call('gated', 'a')
    await turns(3)
    given.worker.abandon()
    // The scoreboard is closed by now: whoever touches it throws.
    const memory = given.board.inboxOf(given.reading)
    assert.ok(memory)
    const before = JSON.stringify(given.board.read())
    given.gate('a').open()
    await turns(3)
    await new Promise((resolve) => {
      setTimeout(resolve, 250)
    })
    assert.equal(JSON.stringify(given.board.read()), before)
  })
})

describe('a call that waits far beyond its deadline', () => {
  it('loses its place to others, is in hand all the same, and its reply counts as any', async (context) => {
    const given = new Shown(context)
    const keepsUp = setInterval(() => undefined, 1000)
    context.after(() => clearInterval(keepsUp))
    given.call('gated', 'never')
    await turns(3)
    given.call('echo', 'next', { deadline: given.clock.monotonic() + 60_000 })
    given.clock.pass(1500)
    const before = given.board.beatOf(given.reading)
    await eventually('it beats', () => given.board.beatOf(given.reading) > before + 1)
    assert.deepEqual(await given.takeReplies(), [], 'within the grace it keeps its place')
    given.clock.pass(1)
    await eventually('the next is run', () => given.replies.count() > 0)
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      ['next'],
    )
    assert.equal(given.log.lines.length, 1)
    assert.equal(given.inHand.length, 1)
    const still = given.board.beatOf(given.reading)
    await eventually('it beats on', () => given.board.beatOf(given.reading) > still)
    assert.equal(given.count(Counter.BusyMicros), 1_501_000)
    given.clock.pass(1000)
    given.gate('never').open()
    assert.equal((await given.takeReplies()).length, 1)
    assert.deepEqual(given.inHand, [])
    assert.equal(given.count(Counter.BusyMicros), 1_501_000)
  })

  it('does not hold up the end of its process', async (context) => {
    const given = new Shown(context)
    const keepsUp = setInterval(() => undefined, 1000)
    context.after(() => clearInterval(keepsUp))
    given.call('gated', 'never')
    await turns(3)
    const stopped = given.worker.stop()
    given.clock.pass(1501)
    await stopped
  })
})

describe('a worker counts', () => {
  it('calls, errors, bytes, messages, and what it did not run', async (context) => {
    const given = new Shown(context)
    given.push([given.frame('echo', Buffer.alloc(10)), given.frame('echo', Buffer.alloc(20)), given.frame('fails')])
    given.call('unsendable')
    given.call('rejects')
    given.call('unknown')
    given.call('echo', 'late', { deadline: given.clock.monotonic() })
    given.cancels.cancel(8, 5)
    given.call('echo', 'cancelled')
    await given.takeReplies()
    const counts = [Counter.Calls, Counter.Errors, Counter.Dropped, Counter.BytesIn, Counter.BytesOut, Counter.Messages].map((counter) =>
      given.count(counter),
    )
    assert.deepEqual(counts, [6, 4, 2, 30, 30, 6])
    const echo = given.of('echo')
    assert.deepEqual([echo.calls, echo.errors, echo.bytesIn, echo.bytesOut], [2, 0, 30, 30])
    for (const name of ['fails', 'unsendable', 'rejects']) assert.deepEqual([given.of(name).calls, given.of(name).errors], [1, 1], name)
    // One that there is not has no row of its own: whoever makes up names fills no scoreboard.
    assert.deepEqual([given.of('').calls, given.of('').errors], [1, 1])
  })

  it('how long calls waited and ran', async (context) => {
    const given = new Shown(context)
    given.call('takes', 3, { calledAt: given.clock.monotonic() - 5 })
    given.call('takes', 0, { calledAt: given.clock.monotonic() + 1000 })
    await given.takeReplies()
    const { wait, run } = given.of('takes')
    // The second was made in the future, as far as this clock is concerned: it has not waited less than nothing.
    assert.deepEqual([wait.totalMicros, run.totalMicros], [5000, 3000])
    assert.deepEqual([wait.buckets[13], wait.buckets[0], run.buckets[12], run.buckets[0]], [1, 1, 1, 1])
  })

  it('the time in which it had a call in hand, once, however many there were', async (context) => {
    const given = new Shown(context, 3)
    given.call('takes', 2)
    await given.takeReplies()
    assert.equal(given.count(Counter.BusyMicros), 2000)
    given.call('gated', 'a')
    await turns(3)
    given.clock.pass(10)
    given.call('gated', 'b')
    given.call('takes', 5)
    await turns(3)
    given.clock.pass(1)
    assert.equal(given.count(Counter.BusyMicros), 2000 + 16_000)
    given.gate('a').open()
    await given.takeReplies()
    given.clock.pass(4)
    given.gate('b').open()
    await given.takeReplies()
    given.clock.pass(100)
    assert.equal(given.count(Counter.BusyMicros), 2000 + 20_000)
  })
})
