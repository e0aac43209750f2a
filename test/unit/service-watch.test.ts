import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ServiceWatch } from '../../app/call/service-watch.ts'
import { BatchReader } from '../../ipc/batch-reader.ts'
import { DecodeError, disownFrame, markFrame, messageLengthOf } from '../../ipc/frame.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { ProcessKind, type ClaimedSlot } from '../../ipc/scoreboard.ts'
import { claimFor, memoryBoard, putMessage } from '../support/memory-board.ts'
import { RecordedLog } from '../support/recorded-log.ts'

const INBOX = 512
const ENGINE = 1
const EPOCH = 77
const DEADLINE = 1e6

/** A scoreboard in plain memory with a watch over it; the test says which process ends. */
class Given {
  readonly board = memoryBoard(INBOX, EPOCH)
  readonly told: string[] = []
  readonly ends = new Map<number, () => void>()
  readonly watch: ServiceWatch

  constructor() {
    this.watch = new ServiceWatch({
      board: this.board,
      engine: ENGINE,
      epoch: EPOCH,
      watch: ({ pid, start }, onEnd) => {
        this.told.push(`watch ${pid} of ${start}`)
        this.ends.set(pid, onEnd)
        return {
          kill: () => this.told.push(`kill ${pid}`) > 0,
          close: () => void this.told.push(`close ${pid}`),
        }
      },
      log: new RecordedLog(),
    })
    this.watch.attach({
      receiveAll: () => void this.told.push('receive'),
      died: (call, generation) => void this.told.push(`died ${call}/${generation}`),
      takeBack: (message) => void this.told.push(`back ${framesOf(message).map(said).join()}`),
      ended: (pid) => void this.told.push(`ended ${pid}`),
    })
  }

  claim(pid: number, kind: ProcessKind = ProcessKind.Service): ClaimedSlot {
    return claimFor(this.board, pid, kind)
  }

  end(pid: number): void {
    this.ends.get(pid)?.()
  }

  news(): string[] {
    return this.told.splice(0)
  }
}

/** Puts a message of these calls into an inbox, as the kernel does, and marks those that are begun as a worker does: all, or so many. */
function take(
  inbox: Buffer,
  calls: readonly (readonly [number, number])[],
  engine = ENGINE,
  epoch = EPOCH,
  begun: number = calls.length,
): void {
  const taken = calls.map(([call, generation]) => ({ call, generation, deadline: DEADLINE }))
  putMessage(inbox, taken, engine, epoch)
  const reader = new BatchReader(inbox, new NameCache())
  assert.equal(reader.read(messageLengthOf(inbox)), undefined)
  for (let left = begun; left > 0 && reader.next(); left--) markFrame(inbox, reader.frameStart)
}

/** The frames of a message, which is nothing else. */
function framesOf(message: Buffer): BatchReader[] {
  const frames: BatchReader[] = []
  const count = new BatchReader(message, new NameCache())
  assert.equal(count.read(message.byteLength), undefined)
  for (let frame = 1; count.next(); frame++) {
    const reader = new BatchReader(message, new NameCache())
    reader.read(message.byteLength)
    for (let skipped = 0; skipped < frame; skipped++) reader.next()
    frames.push(reader)
  }
  return frames
}

function said(frame: BatchReader): string {
  const body = frame.body()
  const text = body instanceof DecodeError || !(body.value instanceof Uint8Array) ? 'no bytes' : Buffer.from(body.value).toString()
  return `${frame.call}/${frame.generation} of ${frame.engine}/${frame.epoch} ${frame.name()}(${text}) returned ${frame.returns}`
}

describe('the watch over services', () => {
  it('watches each service once, no engine, and ends with those that gave their slot back', () => {
    const given = new Given()
    given.watch.look()
    assert.deepEqual(given.news(), [])
    const slot = given.claim(5)
    given.claim(6, ProcessKind.Engine)
    given.watch.look()
    given.watch.look()
    assert.deepEqual(given.news(), ['watch 5 of 50'])
    given.claim(7)
    slot.release()
    given.watch.look()
    assert.deepEqual(given.news(), ['watch 7 of 70', 'close 5'])
    given.watch.close()
    assert.deepEqual(given.news(), ['close 7'])
  })

  it('tells what a service had in hand: what ran, and what it had taken, after all replies', () => {
    const given = new Given()
    const slot = given.claim(5)
    given.watch.look()
    given.news()
    take(slot.inbox, [
      [1, 10],
      [2, 20],
    ])
    slot.put(ENGINE, EPOCH, 9, 90, 0, 1, DEADLINE)
    const cleared = slot.put(ENGINE, EPOCH, 8, 80, 0, 1, DEADLINE)
    slot.clear(cleared)
    given.end(5)
    assert.deepEqual(given.news(), ['receive', 'died 9/90', 'died 1/10', 'died 2/20', 'ended 5'])
    assert.deepEqual(given.board.occupants(), [])
  })

  it('tells once of a call that runs and is in the message that was taken last', () => {
    const given = new Given()
    const slot = given.claim(5)
    given.watch.look()
    given.news()
    take(slot.inbox, [
      [1, 10],
      [2, 20],
    ])
    slot.put(ENGINE, EPOCH, 1, 10, 0, 1, DEADLINE)
    given.end(5)
    assert.deepEqual(given.news(), ['receive', 'died 1/10', 'died 2/20', 'ended 5'])
  })

  it('gives what was taken and not begun back, each as a message of its own', () => {
    const given = new Given()
    const slot = given.claim(5)
    given.watch.look()
    given.news()
    take(
      slot.inbox,
      [
        [1, 10],
        [2, 20],
        [3, 30],
      ],
      ENGINE,
      EPOCH,
      1,
    )
    given.end(5)
    assert.deepEqual(given.news(), [
      'receive',
      'died 1/10',
      `back 2/20 of ${ENGINE}/${EPOCH} name(body) returned 0`,
      `back 3/30 of ${ENGINE}/${EPOCH} name(body) returned 0`,
      'ended 5',
    ])
  })

  it('tells nothing of calls that were given back, nor of those of other engines', () => {
    const given = new Given()
    const [one, other] = [given.claim(5), given.claim(6)]
    given.watch.look()
    given.news()
    take(one.inbox, [
      [1, 10],
      [2, 20],
    ])
    const reader = new BatchReader(one.inbox, new NameCache())
    assert.equal(reader.read(messageLengthOf(one.inbox)), undefined)
    assert.ok(reader.next())
    disownFrame(one.inbox, reader.frameStart)
    one.put(ENGINE + 1, EPOCH, 9, 90, 0, 1, DEADLINE)
    one.put(ENGINE, EPOCH + 1, 9, 91, 0, 1, DEADLINE)
    given.end(5)
    assert.deepEqual(given.news(), ['receive', 'died 2/20', 'ended 5'])
    take(other.inbox, [[3, 30]], ENGINE, EPOCH + 1)
    given.end(6)
    assert.deepEqual(given.news(), ['receive', 'ended 6'])
  })

  it('takes an inbox of anything for one that holds nothing', () => {
    for (const fill of [0, 0xff, 0x41]) {
      const given = new Given()
      const slot = given.claim(5)
      given.watch.look()
      given.news()
      slot.inbox.fill(fill)
      given.end(5)
      assert.deepEqual(given.news(), ['receive', 'ended 5'])
    }
    const garbage = Buffer.alloc(INBOX, 0x01)
    take(garbage, [[1, 10]])
    garbage.writeUInt32LE(0xff_ff_ff_ff, 20 + 12)
    assert.equal(messageLengthOf(garbage), 0)
    assert.equal(messageLengthOf(Buffer.alloc(3)), 0)
  })
})
