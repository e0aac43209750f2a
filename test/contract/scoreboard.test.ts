import assert from 'node:assert/strict'
import { chownSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, test, type TestContext } from 'node:test'
import {
  copyScoreboard,
  createScoreboard,
  openScoreboard,
  removeScoreboard,
  scoreboardName,
  type ScoreboardFile,
} from '../../ipc/scoreboard-file.ts'
import { Counter, ProcessKind, scoreboardBytes, type ClaimedSlot } from '../../ipc/scoreboard.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { sweepSpills } from '../../ipc/spill.ts'
import { startOfProcess, watchProcess } from '../../native/index.ts'
import { isCode } from '../support/codes.ts'
import { eventually } from '../support/eventually.ts'
import { uniqueName } from '../support/queue-tools.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import {
  filesOf,
  mappingsOf,
  mayMount,
  modeOf,
  pathInMemory,
  startShmChild,
  uniqueInstance,
  withSmallMemory,
} from '../support/shm-tools.ts'

const INBOX = 8192
/** Processes that are killed with a message in hand, or nearly. */
const ROUNDS = 30

function createFor(context: TestContext, id: string, epoch = 77): ScoreboardFile {
  const file = createScoreboard(id, { epoch, inboxBytes: INBOX })
  context.after(() => {
    file.close()
  })
  return file
}

function claimIn({ board }: ScoreboardFile): ClaimedSlot {
  const { pid } = process
  return board.claim({ kind: ProcessKind.Engine, pid, start: startOfProcess(pid) ?? 0, engine: 0, epoch: 77, concurrency: 0 })
}

describe('a scoreboard of processes', () => {
  test('has its file of mode 0600 from its creation to its end', (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    assert.equal(modeOf(scoreboardName(id)), 0o600)
    assert.equal(file.isCurrent(), true)
    const slot = claimIn(file)
    slot.put(1, 2, 3, 4, 5, 6, 7)
    const descriptors = readdirSync('/proc/self/fd').length
    const other = openScoreboard(id, { inboxBytes: INBOX })
    assert.equal(other.board.read().processes[0]?.callsInHand.length, 1)
    other.close()
    file.end()
    assert.deepEqual(filesOf(id), [])
    assert.equal(mappingsOf(scoreboardName(id)), 0)
    assert.equal(readdirSync('/proc/self/fd').length, descriptors - 1)
    assert.throws(() => slot.clear(0), TypeError, 'what is used after its end throws, and does not crash')
    assert.equal(removeScoreboard(id), false)
  })

  test('the calls in hand of a process that was killed are there at once when its end is told, also to a third process', async (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    const engine = claimIn(file)
    const before = file.board.changes
    const child = startShmChild(context, ['hold', id])
    assert.equal(await child.report(), '1')
    assert.notEqual(file.board.changes, before)
    const [mine, its] = file.board.occupants()
    assert.ok(mine && its)
    assert.deepEqual([mine.slot, its.slot, its.pid, its.kind], [engine.slot, 1, child.pid, ProcessKind.Service])
    assert.deepEqual(file.board.ended(), [])
    let told: readonly { readonly call: number; readonly service: number }[] = []
    watchProcess(its, () => {
      told = file.board.callsInHandOf(its)
    })
    await child.kill()
    await eventually('its end is told', () => told.length > 0)
    assert.deepEqual(told, [
      { engine: 0, epoch: 77, call: 5, generation: 6, service: 1, since: 1000, deadline: 2001, waits: false },
      { engine: 3, epoch: 78, call: 9, generation: 10, service: 1, since: 1002, deadline: 2002, waits: false },
    ])
    assert.equal(file.board.services.nameOf(told[0]?.service ?? 0), 'slow')
    assert.equal(file.board.inboxOf(its)?.toString('latin1', 0, 11), 'the message')
    // Another service that starts meanwhile leaves the slot alone.
    const next = startShmChild(context, ['hold', id])
    assert.equal(await next.report(), '2')
    assert.deepEqual(file.board.ended(), [its])
    assert.equal(file.board.free(its), true)
    assert.equal(file.board.free(its), false)
    assert.deepEqual(file.board.callsInHandOf(its), [])
    const third = startShmChild(context, ['hold', id])
    assert.equal(await third.report(), '1')
    assert.deepEqual(file.board.callsInHandOf(its), [])
    assert.equal(file.board.inboxOf(its), undefined)
  })

  test('twenty processes that claim at one moment have twenty slots, and killed at one moment they leave them all', async (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    const children = Array.from({ length: 20 }, () => startShmChild(context, ['claim', id]))
    const slots = await Promise.all(children.map((child) => child.report()))
    assert.equal(new Set(slots).size, 20)
    assert.deepEqual(new Set(file.board.occupants().map(({ pid }) => pid)), new Set(children.map(({ pid }) => pid)))
    await Promise.all(children.slice(0, 10).map((child) => child.kill()))
    for (const child of children.slice(10)) child.say('end')
    for (const child of children.slice(10)) assert.equal(await child.ended(), 0)
    const ended = file.board.ended()
    assert.deepEqual(new Set(ended.map(({ pid }) => pid)), new Set(children.slice(0, 10).map(({ pid }) => pid)))
    for (const occupant of ended) assert.equal(file.board.free(occupant), true)
    assert.deepEqual(file.board.occupants(), [])
  })

  test('a message that a process had taken when it was killed is in its inbox, wherever the kill falls', async (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    const queue = (): PosixQueue => {
      const opened = PosixQueue.open({ name: uniqueName(context), create: true, maxMessages: 5, messageSize: INBOX })
      context.after(() => opened.close())
      return opened
    }
    const [requests, replies] = [queue(), queue()]
    const random = new SeededRandom(7)
    const message = Buffer.alloc(2000)
    const into = Buffer.alloc(INBOX)
    const pending = new Set<number>()
    const numbers = { sent: 0 }
    let onlyInInbox = 0
    const push = (): void => {
      for (;;) {
        message.writeUInt32LE(numbers.sent + 1)
        if (!requests.push(message)) return
        pending.add(++numbers.sent)
      }
    }
    const drain = (from: PosixQueue): void => {
      while (from.shift(into) >= 0) pending.delete(into.readUInt32LE())
    }
    for (let round = 0; round < ROUNDS; round++) {
      const child = startShmChild(context, ['echo', id, requests.name, replies.name])
      assert.equal(await child.report(), 'ready')
      const [occupant] = file.board.occupants()
      assert.equal(occupant?.pid, child.pid)
      for (const goal = numbers.sent + 200 + random.below(300); numbers.sent < goal;) {
        push()
        drain(replies)
        if (random.below(8) === 0) await nextTurn()
      }
      process.kill(child.pid, 'SIGKILL')
      await child.ended()
      drain(replies)
      drain(requests)
      const inbox = file.board.inboxOf(occupant)
      if (pending.delete(inbox?.readUInt32LE() ?? 0)) onlyInInbox++
      assert.deepEqual([...pending], [], `lost in round ${round}`)
      assert.equal(file.board.free(occupant), true)
    }
    context.diagnostic(`${onlyInInbox} of ${ROUNDS} kills fell between the queues`)
  })

  test('no reader sees a part of one call and a part of another, however fast they turn over', async (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    const children = [1, 2].map(() => startShmChild(context, ['turn-over', id]))
    for (const child of children) assert.equal(await child.report(), 'ready')
    const occupants = file.board.occupants()
    const numbers = new Set<number>()
    for (let look = 0; look < 200_000 && numbers.size < 500; look++) {
      if (look % 1000 === 0) await nextTurn()
      for (const occupant of occupants) {
        for (const { engine, epoch, call, generation, service, since, deadline } of file.board.callsInHandOf(occupant)) {
          const number = call
          numbers.add(number)
          assert.deepEqual(
            [engine, epoch, generation, service, since, deadline],
            [number & 0xf, (number * 7) >>> 0, (number * 3) >>> 0, number & 0x7f, number * 5, number * 11],
          )
        }
      }
    }
    assert.ok(numbers.size >= 100, `only ${numbers.size} calls were seen`)
    await Promise.all(children.map((child) => child.kill()))
    for (const occupant of occupants) assert.ok(file.board.callsInHandOf(occupant).length <= 1)
  })

  test('figures of several processes that count at one moment are all there', async (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    const children = [1, 2, 3].map(() => startShmChild(context, ['count', id, '3000']))
    for (const child of children) assert.equal(await child.report(), 'ready')
    for (const child of children) child.say('go')
    for (const child of children) assert.equal(await child.report(), 'counted')
    const { services, processes } = file.board.read()
    assert.deepEqual(processes, [])
    for (const index of [0, 1, 2]) {
      const reading = services.find(({ name }) => name === `service ${index}`)
      assert.ok(reading)
      assert.deepEqual([reading.calls, reading.errors, reading.bytesIn, reading.bytesOut], [3000, 300, 30_000, 60_000])
      assert.equal(reading.wait.buckets[2], 3000)
      assert.equal(reading.run.buckets[7], 3000)
    }
    assert.equal(services.length, 4)
  })

  test('is copied as it is, by who only reads it, and the copy leads to nothing of it', (context) => {
    const id = uniqueInstance(context)
    assert.throws(() => copyScoreboard(id), isCode('NPP_SHM_MISSING'))
    const file = createFor(context, id)
    const slot = claimIn(file)
    slot.set(Counter.Requests, 5)
    const copy = copyScoreboard(id)
    assert.deepEqual(copy.read(), file.board.read())
    copy.free(copy.occupants()[0] ?? assert.fail('it has no process'))
    slot.set(Counter.Requests, 6)
    assert.deepEqual(copy.occupants(), [])
    assert.equal(file.board.occupants().length, 1)
    assert.equal(mappingsOf(scoreboardName(id)), 1)
    file.end()
  })

  test('two instances side by side know nothing of each other', async (context) => {
    const [first, second] = [uniqueInstance(context), uniqueInstance(context)]
    const [one, two] = [createFor(context, first, 1), createFor(context, second, 2)]
    const child = startShmChild(context, ['claim', first])
    assert.equal(await child.report(), '0')
    claimIn(one).add(Counter.Requests, 5)
    assert.equal(one.board.occupants().length, 2)
    assert.deepEqual(two.board.occupants(), [])
    assert.deepEqual([one.board.epoch, two.board.epoch], [1, 2])
    one.end()
    assert.equal(two.isCurrent(), true)
    assert.deepEqual(filesOf(second), [scoreboardName(second)])
    two.end()
  })

  test('the next engine makes another one; whoever has the old one sees that it is not current, and ends it without harm', async (context) => {
    const id = uniqueInstance(context)
    const old = createFor(context, id, 1)
    const child = startShmChild(context, ['claim', id])
    assert.equal(await child.report(), '0')
    const next = createFor(context, id, 2)
    assert.deepEqual([old.isCurrent(), next.isCurrent()], [false, true])
    assert.deepEqual(next.board.occupants(), [])
    assert.equal(old.board.occupants().length, 1, 'the old one still works')
    old.end()
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    assert.equal(openScoreboard(id, { inboxBytes: INBOX }).board.epoch, 2)
    next.end()
  })
})

function isRefused(id: string): void {
  assert.throws(() => copyScoreboard(id), isCode('NPP_SHM_PERMISSION'))
  assert.throws(() => openScoreboard(id, { inboxBytes: INBOX }), isCode('NPP_SHM_PERMISSION'))
  assert.throws(() => createScoreboard(id, { epoch: 1, inboxBytes: INBOX }), isCode('NPP_SHM_PERMISSION'))
  assert.deepEqual(filesOf(id), [scoreboardName(id)])
}

describe('a scoreboard that is none', () => {
  test('is refused when it is opened, and replaced when it is made anew', (context) => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('garbage'),
      Buffer.alloc(scoreboardBytes(INBOX)),
      new SeededRandom(5).bytes(scoreboardBytes(INBOX)),
    ]) {
      const id = uniqueInstance(context)
      writeFileSync(pathInMemory(scoreboardName(id)), bytes, { mode: 0o600 })
      assert.throws(() => openScoreboard(id, { inboxBytes: INBOX }), isCode('NPP_SHM_INVALID'))
      assert.throws(() => copyScoreboard(id), isCode('NPP_SHM_INVALID'))
      assert.equal(mappingsOf(scoreboardName(id)), 0)
      createFor(context, id).end()
      assert.deepEqual(filesOf(id), [])
    }
  })

  test('of other inboxes is refused, also where they take as many pages', (context) => {
    const id = uniqueInstance(context)
    const file = createFor(context, id)
    assert.throws(() => openScoreboard(id, { inboxBytes: INBOX * 2 }), isCode('NPP_SHM_INVALID'))
    assert.throws(() => openScoreboard(id, { inboxBytes: INBOX - 1 }), isCode('NPP_SHM_INVALID'))
    assert.equal(mappingsOf(scoreboardName(id)), 1)
    file.end()
    assert.throws(() => openScoreboard(id, { inboxBytes: INBOX }), isCode('NPP_SHM_MISSING'))
  })

  test('of another user, or behind a link, is neither opened nor replaced', (context) => {
    const id = uniqueInstance(context)
    symlinkSync('/etc/passwd', pathInMemory(scoreboardName(id)))
    isRefused(id)
    if (process.getuid?.() !== 0) return
    const other = uniqueInstance(context)
    writeFileSync(pathInMemory(scoreboardName(other)), 'theirs', { mode: 0o600 })
    chownSync(pathInMemory(scoreboardName(other)), 65534, 65534)
    isRefused(other)
  })
})

describe('a scoreboard without room', () => {
  test('is refused at once when it is made, and when a slot is claimed; nothing is left', async (context) => {
    const id = uniqueInstance(context)
    const limited = startShmChild(context, ['scoreboard-limited', id, String(INBOX)], ['prlimit', '--fsize=100000'])
    assert.match(await limited.report(), /^NPP_SHM_FULL /)
    assert.deepEqual(filesOf(id), [])
    if (!mayMount()) {
      context.diagnostic('this user may not mount a file system')
      return
    }
    const tooSmall = startShmChild(context, ['scoreboard-limited', id, String(INBOX)], withSmallMemory(200_000))
    assert.match(await tooSmall.report(), /^NPP_SHM_FULL Creating /)
    // Room for the scoreboard, none for an inbox of a megabyte.
    const noInbox = startShmChild(context, ['scoreboard-limited', id, '1000000'], withSmallMemory(1_000_000))
    assert.match(await noInbox.report(), /^NPP_SHM_FULL Taking /)
    const enough = startShmChild(context, ['scoreboard-limited', id, String(INBOX)], withSmallMemory(1_000_000))
    assert.equal(await enough.report(), 'claimed')
  })

  test('one that was killed before it had its name is swept', (context) => {
    const id = uniqueInstance(context)
    writeFileSync(pathInMemory(`${scoreboardName(id)}.${'a'.repeat(32)}`), 'half', { mode: 0o600 })
    const file = createFor(context, id)
    assert.equal(sweepSpills(id, 0), 1)
    assert.deepEqual(filesOf(id), [scoreboardName(id)])
    file.end()
  })
})
