import type { HttpRequest } from './http/request.ts'
import type { HttpResponse } from './http/response.ts'
import type { RequestParser } from './http/parser.ts'
import type { TimerId } from '../shared/timer-wheel.ts'

/** What a connection is doing; each phase has its own deadline. */
export const Phase = { Free: 0, Idle: 1, Header: 2, Body: 3, Handling: 4, Blocked: 5, Closing: 6 } as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** The state of one slot of the transport. The object stays with the slot; `generation` tells one connection in it from the next. */
export class Connection {
  readonly slot: number
  generation = 0
  phase: Phase = Phase.Free
  /** The parser of a request of which a part has arrived. */
  parser: RequestParser | undefined
  /** Bytes received and not yet parsed, or the part of a request that has arrived: held[heldStart, heldEnd). */
  held: Buffer | undefined
  heldStart = 0
  heldEnd = 0
  /** The request in hand and its answer to be. */
  request: HttpRequest | undefined
  response: HttpResponse | undefined
  /** When the request in hand was complete, in milliseconds of the monotonic clock. */
  startedAt = 0
  minorVersion = 1
  keepAlive = true
  isHead = false
  /** 100 Continue was sent for the request that arrives. */
  continued = false
  /** The transport still holds bytes that were written. */
  blocked = false
  /** Bytes that had not left when the deadline was set last. */
  unsent = 0
  /** Reading is paused: the client has sent far ahead. */
  paused = false
  /** The peer has ended its side. */
  ended = false
  /** A turn to go on with held bytes is on its way. */
  resuming = false
  /** When the phase has lasted too long, and when the timer in the wheel goes off, which may be earlier. */
  deadline = Infinity
  timer: TimerId = 0
  timerAt = Infinity

  constructor(slot: number) {
    this.slot = slot
  }

  get heldBytes(): number {
    return this.heldEnd - this.heldStart
  }

  /** Keeps `bytes[start, end)` behind what is held. */
  hold(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    const held = this.held
    if (held === undefined) {
      // A copy: the bytes belong to the transport, and a view would keep all of a large read alive.
      this.held = Buffer.allocUnsafeSlow(Math.max(length * 2, 1024))
      this.heldStart = 0
      this.heldEnd = bytes.copy(this.held, 0, start, end)
      return
    }
    if (held.byteLength - this.heldEnd < length) {
      const wider = Buffer.allocUnsafeSlow((this.heldBytes + length) * 2)
      this.heldEnd = held.copy(wider, 0, this.heldStart, this.heldEnd)
      this.heldStart = 0
      this.held = wider
    }
    this.heldEnd += bytes.copy(this.held ?? held, this.heldEnd, start, end)
  }

  /** Gives up what is held. The buffer is not used again: a request's body may be a view of it. */
  dropHeld(): void {
    this.held = undefined
    this.heldStart = 0
    this.heldEnd = 0
  }

  /** Readies the object for a new connection in the slot. */
  open(): void {
    this.phase = Phase.Idle
    this.continued = false
    this.blocked = false
    this.paused = false
    this.ended = false
    this.resuming = false
  }

  /** Ends this connection's use of the slot: whoever still names the old generation is not heard. */
  free(): void {
    this.phase = Phase.Free
    this.generation = (this.generation + 1) % 2 ** 30
    this.parser = undefined
    this.request = undefined
    this.response = undefined
    this.dropHeld()
    this.deadline = Infinity
    this.timerAt = Infinity
  }
}
