import type { CallFrame } from '../../ipc/batch-writer.ts'
import type { FrameKind } from '../../ipc/frame.ts'
import type { NppError } from '../../shared/errors.ts'
import type { TimerId } from '../../shared/timer-wheel.ts'
import type { CalledService } from './called-service.ts'
import type { LargeInput } from './large-input.ts'
import type { ReplyAssembly } from './reply-assembly.ts'

/** Who waits for a call. Exactly one of the two is told, once. */
export interface Waiter {
  replied(value: unknown): void
  failed(error: NppError): void
}

const NO_BODY = new Uint8Array(0)
const MOST_PRIORITY = 31

/** A call from when it is made to when its waiter is told. */
export class OutgoingCall implements CallFrame {
  readonly kind: FrameKind
  readonly service: CalledService
  readonly waiter: Waiter
  readonly wantsReply: boolean
  priority: number
  readonly calledAt: number
  readonly deadline: number
  readonly form: number
  body: Uint8Array
  /** Bytes that it takes in a message, or would take if a message could hold its input. */
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
  /** Its input, when no message holds it. */
  large: LargeInput | undefined
  /** Its reply, while it comes in parts. */
  parts: ReplyAssembly | undefined
  /** The body is there, though the call has left. */
  #isKept = false
  #hasComeBack = false

  constructor(
    kind: FrameKind,
    service: CalledService,
    waiter: Waiter,
    wantsReply: boolean,
    priority: number,
    calledAt: number,
    deadline: number,
    form: number,
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
    this.large = undefined
    this.parts = undefined
  }

  /** It has left, or never will. Its bytes are kept for as long as it may have to leave again. */
  leave(): void {
    this.isWaiting = false
    const isKept = this.mayComeBack && this.large?.isKept !== false
    if (isKept) this.#isKept = true
    else {
      this.body = NO_BODY
      this.large?.forget()
    }
  }

  /** It may have to leave again once it has left, by what is known of its service now. */
  get mayComeBack(): boolean {
    const { isDeclared, idempotent } = this.service
    return this.wantsReply && !this.#hasComeBack && (!isDeclared || idempotent)
  }

  /** It could leave once more as it was. */
  get mayLeaveAgain(): boolean {
    return this.#isKept
  }

  /** It waits again, for the last time, and before all others: who waits for it has waited already. */
  comeBack(): void {
    this.priority = MOST_PRIORITY
    this.#hasComeBack = true
    this.#isKept = false
    // The parts that came are those of a service that ended.
    this.parts = undefined
  }
}
