import type { CallFrame } from '../../ipc/batch-writer.ts'
import type { BodyForm, FrameKind } from '../../ipc/frame.ts'
import type { NppError } from '../../shared/errors.ts'
import type { TimerId } from '../../shared/timer-wheel.ts'
import type { CalledService } from './called-service.ts'

/** Who waits for a call. Exactly one of the two is told, once. */
export interface Waiter {
  replied(value: unknown): void
  failed(error: NppError): void
}

const NO_BODY = new Uint8Array(0)

/** A call from when it is made to when its waiter is told. */
export class OutgoingCall implements CallFrame {
  readonly kind: FrameKind
  readonly service: CalledService
  readonly waiter: Waiter
  readonly wantsReply: boolean
  readonly priority: number
  readonly calledAt: number
  readonly deadline: number
  readonly form: BodyForm
  body: Uint8Array
  /** Bytes that it takes in a message. */
  readonly bytes: number
  /** Slot and generation among the pending calls. */
  call = 0
  generation = 0
  timer: TimerId = 0
  /** It has not left yet, and is counted in the backlog. */
  isWaiting = false
  /** The one behind it in its lane. */
  next: OutgoingCall | undefined
  /** What ends the watch over the caller's signal. */
  unwatch: (() => void) | undefined

  constructor(
    kind: FrameKind,
    service: CalledService,
    waiter: Waiter,
    wantsReply: boolean,
    priority: number,
    calledAt: number,
    deadline: number,
    form: BodyForm,
    body: Uint8Array,
    bytes: number,
  ) {
    this.kind = kind
    this.service = service
    this.waiter = waiter
    this.wantsReply = wantsReply
    this.priority = priority
    this.calledAt = calledAt
    this.deadline = deadline
    this.form = form
    this.body = body
    this.bytes = bytes
    this.next = undefined
    this.unwatch = undefined
  }

  /** It has left, or never will: its bytes are not needed any more. */
  leave(): void {
    this.isWaiting = false
    this.body = NO_BODY
  }
}
