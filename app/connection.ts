import type { Exchange } from './http/exchange.ts'
import type { RequestParser } from './http/parser.ts'

/** What a connection is doing; each phase has its own deadline. Up to Body it reads a request, up to Blocked it has one to answer. */
export const Phase = { Idle: 0, Header: 1, Body: 2, Handling: 3, Streaming: 4, Blocked: 5, Closing: 6 } as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** What goes on with an answer after the turn in which it began. */
export interface LongAnswer {
  /** Bytes of the body that were written. */
  readonly bodyBytes: number
  /** All that was written has left. */
  drained(): void
  /** The connection is gone. */
  gone(): void
}

/** The state of a connection that is not idle. An idle one has none; the object serves another connection then. */
export class Connection {
  /** The transport's name for it. */
  slot = 0
  phase: Phase = Phase.Idle
  /** The parser of a request of which a part has arrived. */
  parser: RequestParser | undefined
  /** Bytes received and not yet parsed, or the part of a request that has arrived: held[heldStart, heldEnd). */
  held: Buffer | undefined
  heldStart = 0
  heldEnd = 0
  /** The request in hand and its answer to be. */
  exchange: Exchange | undefined
  /** An answer that goes on, or output that somebody waits for the end of. */
  long: LongAnswer | undefined
  /** 100 Continue was sent for the request that arrives. */
  continued = false
  /** The body that arrives is dropped: its request was answered without it. */
  discarding = false
  /** Bytes of the body that have arrived since its rate was looked at last. */
  arrived = 0
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

  /** What is received next belongs to a request. */
  get isReading(): boolean {
    return this.phase <= Phase.Body
  }

  /** What is received next waits until an answer has left. */
  get isAnswering(): boolean {
    return this.phase >= Phase.Handling && this.phase <= Phase.Blocked
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

  /** Readies the object for another connection. */
  reset(): void {
    this.phase = Phase.Idle
    this.parser = undefined
    this.exchange = undefined
    this.long = undefined
    this.continued = false
    this.discarding = false
    this.arrived = 0
    this.blocked = false
    this.unsent = 0
    this.paused = false
    this.ended = false
    this.resuming = false
    this.dropHeld()
  }
}
