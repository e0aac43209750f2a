import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Caller } from '../../app/call/caller.ts'
import { ServiceWatch } from '../../app/call/service-watch.ts'
import { BATCH_HEADER_BYTES, markFrame } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import { ProcessKind, Scoreboard, scoreboardBytes } from '../../ipc/scoreboard.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { EPOCH, MESSAGE } from '../support/given-caller.ts'
import { turns } from '../support/queue-tools.ts'
import { RecordedLog } from '../support/recorded-log.ts'

it('a service that comes while calls wait, and takes one, is watched within 100 ms, though nobody calls again', async (context) => {
  const clock = new FakeClock()
  const wheel = new TimerWheel(clock)
  const log = new RecordedLog()
  const memory = { memory: new ArrayBuffer(scoreboardBytes(MESSAGE)), reserve: () => undefined }
  const board = Scoreboard.format(memory, () => true, { epoch: EPOCH, inboxBytes: MESSAGE })
  const queue = createMemoryQueue({ name: 'requests', maxMessages: 10, messageSize: MESSAGE })
  const [requests, replies, other] = [
    queue.open(),
    createMemoryQueue({ name: 'replies', maxMessages: 10, messageSize: MESSAGE }).open(),
    queue.open(),
  ]
  const ends: (() => void)[] = []
  const watch = (_: unknown, onEnd: () => void): { close: () => void; kill: () => boolean } => {
    ends.push(onEnd)
    return { close: () => undefined, kill: () => false }
  }
  const services = new ServiceWatch({ board, engine: 0, epoch: EPOCH, watch, log })
  const common = { engine: 0, epoch: EPOCH, defaultTimeoutMs: 60_000, maxBacklog: 10, hasService: () => true }
  const caller = new Caller({ requests, replies, ...common, services, clock, wheel, log })
  context.after(() => {
    caller.stop()
    wheel.stop()
    for (const one of [requests, replies, other]) one.close()
  })
  const lost = assert.rejects(caller.call('plain', undefined, undefined), { code: 'NPP_SERVICE_DIED' })
  await turns(1)
  const slot = board.claim({ kind: ProcessKind.Service, pid: 5, start: 50, engine: 0, epoch: 0, concurrency: 1 })
  assert.notEqual(other.shift(slot.inbox), -1)
  markFrame(slot.inbox, BATCH_HEADER_BYTES)
  clock.pass(100)
  wheel.advance()
  assert.equal(ends.length, 1, 'nobody watches')
  ends[0]?.()
  await lost
})
