import type { TestContext } from 'node:test'
import { Caller } from '../../app/call/caller.ts'
import { Engine } from '../../app/engine.ts'
import type { Router } from '../../app/route/router.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { createSystemClock, type Clock } from '../../shared/clock.ts'
import { loadConfig } from '../../shared/config.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { RecordedLog } from './recorded-log.ts'

export interface BareOptions {
  readonly clock?: Clock
  /** Configuration, as environment variables. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where calls go, to services that there seem to be; without it there are none. */
  readonly requests?: MessageQueue
}

export interface BareEngine {
  /** Without a transport, which `attach` names. */
  readonly engine: Engine
  readonly wheel: TimerWheel
  readonly log: RecordedLog
}

/** An engine in this process that has no services, for tests of HTTP. It gives back what it holds after the test. */
export function bareEngine(
  context: TestContext,
  router: Router,
  { clock = createSystemClock(), settings = {}, requests }: BareOptions = {},
): BareEngine {
  const queue = createMemoryQueue({ name: 'queue', maxMessages: 1, messageSize: 100 }).open()
  const wheel = new TimerWheel(clock)
  const log = new RecordedLog()
  const config = loadConfig({ siteFolder: '/nowhere', environment: settings, flags: [] })
  const caller = new Caller({
    requests: requests ?? queue,
    replies: queue,
    engine: 0,
    epoch: 1,
    defaultTimeoutMs: 1000,
    maxBacklog: requests === undefined ? 0 : 10,
    hasService: () => requests !== undefined,
    clock,
    wheel,
    log,
  })
  context.after(() => {
    caller.stop()
    queue.close()
    requests?.close()
    wheel.stop()
  })
  return { engine: new Engine({ config, router, caller, clock, wheel, log }), wheel, log }
}
