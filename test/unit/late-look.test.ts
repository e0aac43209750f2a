import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { Caller } from '../../app/call/caller.ts'
import { ServiceWatch } from '../../app/call/service-watch.ts'
import { BATCH_HEADER_BYTES, FrameKind, markFrame } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { ProcessKind, Scoreboard, scoreboardBytes } from '../../ipc/scoreboard.ts'
import { Limits } from '../../shared/limits.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { BASE, messageOf } from '../support/frames.ts'
import { EPOCH, MESSAGE } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'
import { RecordedLog } from '../support/recorded-log.ts'

interface Given {
  readonly clock: FakeClock
  readonly wheel: TimerWheel
  readonly caller: Caller
  readonly board: Scoreboard
  /** The services' ends of the queues. */
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  /** What ends each process that is watched. */
  readonly ends: (() => void)[]
}

function given(context: TestContext): Given {
  const clock = new FakeClock()
  const wheel = new TimerWheel(clock)
  const log = new RecordedLog()
  const memory = { memory: new ArrayBuffer(scoreboardBytes(MESSAGE)), reserve: () => undefined }
  const board = Scoreboard.format(memory, () => true, { epoch: EPOCH, inboxBytes: MESSAGE })
  const [requests, replies] = ['requests', 'replies'].map((name) => createMemoryQueue({ name, maxMessages: 10, messageSize: MESSAGE }))
  assert.ok(requests && replies)
  const open = { requests: requests.open(), replies: replies.open() }
  const services = { requests: requests.open(), replies: replies.open() }
  const ends: (() => void)[] = []
  const watch = (_: unknown, onEnd: () => void): { close: () => void; kill: () => boolean } => {
    ends.push(onEnd)
    return { close: () => undefined, kill: () => false }
  }
  const watching = new ServiceWatch({ board, engine: 0, epoch: EPOCH, watch, log })
  const common = { engine: 0, epoch: EPOCH, defaultTimeoutMs: 60_000, maxBacklog: 10, hasService: () => true }
  const caller = new Caller({ ...open, ...common, services: watching, clock, wheel, log })
  context.after(() => {
    caller.stop()
    wheel.stop()
    for (const one of [open.requests, open.replies, services.requests, services.replies]) one.close()
  })
  return { clock, wheel, caller, board, ends, ...services }
}

describe('a service that comes while calls wait, and takes one, is watched, though nobody calls again', () => {
  for (const [when, come] of [
    [
      'as soon as it has announced itself',
      ({ replies }: Given) =>
        void replies.push(messageOf([{ ...BASE, kind: FrameKind.Announcement, engine: 0, epoch: 0, name: '' }], MESSAGE)),
    ],
    [
      'at the next look without that',
      ({ clock, wheel }: Given) => {
        clock.pass(Limits.serviceWatchMs + 20)
        wheel.advance()
      },
    ],
  ] as const) {
    it(when, async (context) => {
      const one = given(context)
      const lost = assert.rejects(one.caller.call('plain', undefined, undefined), { code: 'NPP_SERVICE_DIED' })
      await turns(1)
      const slot = one.board.claim({ kind: ProcessKind.Service, pid: 5, start: 50, engine: 0, epoch: 0, concurrency: 1 })
      assert.notEqual(one.requests.shift(slot.inbox), -1)
      markFrame(slot.inbox, BATCH_HEADER_BYTES)
      assert.equal(one.ends.length, 0)
      come(one)
      await turns(3)
      assert.equal(one.ends.length, 1, 'nobody watches')
      one.ends[0]?.()
      await lost
    })
  }
})
