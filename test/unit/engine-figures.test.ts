import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CallFigures } from '../../app/call/call-figures.ts'
import { ServiceWatch } from '../../app/call/service-watch.ts'
import { EngineFigures } from '../../app/engine-figures.ts'
import { BodyForm } from '../../ipc/frame.ts'
import { Counter, counterOf, ProcessKind, ServiceFigures, type ServiceReading } from '../../ipc/scoreboard.ts'
import { ENGINE, EPOCH, GivenCaller, failure } from '../support/given-caller.ts'
import type { ProcessWatch } from '../../native/index.ts'
import { claimFor, memoryBoard } from '../support/memory-board.ts'
import { turns } from '../support/queue-tools.ts'
import { RecordedLog } from '../support/recorded-log.ts'

const watch = (): ProcessWatch => ({ kill: () => true, close: () => undefined })
const board = (): ReturnType<typeof memoryBoard> => memoryBoard(512, EPOCH)

function of(services: readonly ServiceReading[], name: string): number[] {
  const { calls = 0, errors = 0, timeouts = 0, retries = 0, backlog = 0 } = services.find((reading) => reading.name === name) ?? {}
  return [calls, errors, timeouts, retries, backlog]
}

describe('an engine counts', () => {
  it('timeouts, retries and calls that died, of each service, and shows how many wait', async (context) => {
    const scoreboard = board()
    const figures = new CallFigures(new ServiceFigures(scoreboard.services, process.pid), ENGINE)
    const given = new GivenCaller(context, { depth: 2, figures })
    given.announce({ name: 'again', idempotent: true })
    await turns(3)
    const late = given.call('late', 1, { timeoutMs: 100 })
    given.take()
    given.pass(200)
    assert.equal((await failure(late)).code, 'NPP_CALL_TIMEOUT')
    const again = given.call('again')
    for (let count = 0; count < 2; count++) {
      const { call, generation } = given.take()
      given.caller.died(call, generation)
    }
    assert.equal((await failure(again)).code, 'NPP_SERVICE_DIED')
    for (let count = 0; count < 5; count++) given.call('waits')
    given.caller.flush()
    const show = (): readonly ServiceReading[] => {
      figures.flush(given.caller.services)
      return scoreboard.services.read()
    }
    assert.deepEqual(of(show(), 'late'), [0, 0, 1, 0, 0])
    assert.deepEqual(of(show(), 'again'), [1, 1, 0, 1, 0])
    assert.deepEqual(of(show(), 'waits'), [0, 0, 0, 0, 3])
    for (let count = 0; count < 5; count++) {
      given.take()
      await turns(2)
    }
    assert.deepEqual(of(show(), 'waits'), [0, 0, 0, 0, 0])
  })

  it('what its parts count', (context) => {
    const scoreboard = board()
    const given = new GivenCaller(context)
    given.call('a')
    const slot = claimFor(scoreboard, 5, ProcessKind.Engine)
    const calls = new CallFigures(new ServiceFigures(scoreboard.services, 5), ENGINE)
    const http = { requests: 10, connections: 3, accepted: 4 }
    new EngineFigures({ slot, http, transport: { refused: 2 }, caller: given.caller, calls }).flush()
    const [reading] = scoreboard.read().processes
    assert.ok(reading)
    const { Requests, Connections, Accepted, Refused, PendingCalls, Backlog, StaleReplies } = Counter
    assert.deepEqual(
      [Requests, Connections, Accepted, Refused, PendingCalls, Backlog, StaleReplies].map((counter) => counterOf(reading, counter)),
      [10, 3, 4, 2, 1, 1, 0],
    )
  })
})

describe('a process that says that it is here', () => {
  it('is watched from then on, though it has nothing to say of its services', async (context) => {
    const scoreboard = board()
    const watched: number[] = []
    const services = new ServiceWatch({
      board: scoreboard,
      engine: ENGINE,
      epoch: EPOCH,
      watch: ({ pid }) => {
        watched.push(pid)
        return watch()
      },
      log: new RecordedLog(),
    })
    const given = new GivenCaller(context, { services })
    claimFor(scoreboard, 5)
    given.announce(undefined, { form: BodyForm.None })
    await turns(3)
    assert.deepEqual([watched, given.caller.strayMessages], [[5], 0])
  })
})

describe('a call that was given up after it had left', () => {
  it('has the watch look for a process that it blocks; one that never left does not', async (context) => {
    const scoreboard = board()
    const outlasted: number[] = []
    class Listening extends ServiceWatch {
      override outlasts(deadline: number): void {
        outlasted.push(deadline)
      }
    }
    const services = new Listening({ board: scoreboard, engine: ENGINE, epoch: EPOCH, watch, log: new RecordedLog() })
    const given = new GivenCaller(context, { depth: 1, services })
    const now = given.clock.monotonic()
    const aborter = new AbortController()
    const [late, aborted] = [given.call('a', 1, { timeoutMs: 100 }), given.call('b', 1, { timeoutMs: 300, signal: aborter.signal })]
    given.take()
    await turns(2)
    given.take()
    await turns(2)
    await given.callNoReply('c', 1, { timeoutMs: 500 }).promise
    const waiting = given.call('d', 1, { timeoutMs: 50 })
    assert.equal(given.caller.waiting, 1)
    given.pass(100)
    aborter.abort()
    for (const call of [late, aborted, waiting]) await failure(call)
    assert.deepEqual(
      outlasted.toSorted((a, b) => a - b),
      [now + 100, now + 300, now + 500],
    )
  })
})
