import type { CancelNotes } from '../../ipc/cancel-board.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import type { PayloadStore } from '../../ipc/payload-store.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import type { TimerWheel } from '../../shared/timer-wheel.ts'
import type { InputSchemas } from './call-async.ts'
import type { CallFigures } from './call-figures.ts'
import type { ServiceWatch } from './service-watch.ts'

/** What a caller needs. */
export interface CallerOptions {
  readonly requests: MessageQueue
  readonly replies: MessageQueue
  /** Number of this engine process in its instance. */
  readonly engine: number
  /** Drawn when the engine started. */
  readonly epoch: number
  readonly defaultTimeoutMs: number
  /** Calls that may wait for room in the queue. */
  readonly maxBacklog: number
  /** Bytes of calls that may; without it any number. */
  readonly maxBacklogBytes?: number
  /** Per cent of both that the calls of one service may take; without it all. */
  readonly maxPerService?: number
  /** What checks inputs before they are sent, by the names of services. */
  readonly schemas?: InputSchemas
  /** Asks whether a service process is there, or about to be. */
  readonly hasService: () => boolean
  /** Watches over the service processes; without it a call in the hand of one that is killed ends at its deadline. */
  readonly services?: ServiceWatch
  /** Where calls are noted that were given up after they had left; without it services run them. */
  readonly cancels?: CancelNotes
  /** Where payloads lie that do not fit into a message; without it there are none. */
  readonly payloads?: PayloadStore
  /** Where timeouts and calls that died are counted; without it they are not. */
  readonly figures?: CallFigures
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly log: Log
}
