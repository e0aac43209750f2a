import { NativeTransport } from './native-transport.ts'
import type { Detached, ListenAddress, Transport, TransportEvents } from './transport.ts'

/** Where a slot leads. */
interface Place {
  readonly transport: Transport
  readonly slot: number
}

/**
 * Two transports as one, for an engine that knows one: a plain one, where `listen` listens, and a secure one. Slots are its own, as both
 * number theirs from 0. Its arena is the plain one's; what is written from it to a connection of the other is copied there.
 */
export class JoinedTransport implements Transport {
  readonly reusesReadBuffers: boolean
  readonly arena: Buffer | undefined
  readonly secure: Transport

  readonly #plain: Transport
  readonly #events: TransportEvents
  readonly #places: (Place | undefined)[] = []
  readonly #free: number[] = []

  constructor(
    events: TransportEvents,
    openPlain: (events: TransportEvents) => Transport,
    openSecure: (events: TransportEvents, borrowed: Buffer | undefined) => Transport,
  ) {
    this.#events = events
    this.#plain = openPlain(this.#hear(() => this.#plain))
    try {
      this.secure = openSecure(
        this.#hear(() => this.secure),
        this.#plain.arena,
      )
    } catch (error) {
      this.#plain.close()
      throw error
    }
    this.reusesReadBuffers = this.#plain.reusesReadBuffers || this.secure.reusesReadBuffers
    this.arena = this.#plain.arena
  }

  get connections(): number {
    return this.#plain.connections + this.secure.connections
  }

  get refused(): number {
    return this.#plain.refused + this.secure.refused
  }

  listen(address: ListenAddress): Promise<ListenAddress> {
    return this.#plain.listen(address)
  }

  listenUnix(path: string, mode: number): Promise<ListenAddress> {
    return this.#plain.listenUnix(path, mode)
  }

  adopt(descriptor: number): Promise<ListenAddress> {
    return this.#plain.adopt(descriptor)
  }

  write(slot: number, bytes: Buffer, start: number, end: number): boolean {
    const place = this.#places[slot]
    if (place === undefined) return true
    // What was made in the arena is copied: once the turn is over it may be used anew.
    if (bytes === this.arena && place.transport === this.secure && this.#plain instanceof NativeTransport) this.#plain.endTurn()
    return place.transport.write(place.slot, bytes, start, end)
  }

  sendFile(slot: number, descriptor: number, offset: number, length: number): boolean {
    const place = this.#places[slot]
    return place === undefined || place.transport.sendFile(place.slot, descriptor, offset, length)
  }

  detach(slot: number): Detached | undefined {
    const place = this.#places[slot]
    return place?.transport.detach(place.slot)
  }

  unsent(slot: number): number {
    const place = this.#places[slot]
    return place === undefined ? 0 : place.transport.unsent(place.slot)
  }

  pause(slot: number): void {
    const place = this.#places[slot]
    place?.transport.pause(place.slot)
  }

  resume(slot: number): void {
    const place = this.#places[slot]
    place?.transport.resume(place.slot)
  }

  end(slot: number): void {
    const place = this.#places[slot]
    place?.transport.end(place.slot)
  }

  destroy(slot: number): void {
    const place = this.#places[slot]
    place?.transport.destroy(place.slot)
  }

  peerAddress(slot: number): string {
    const place = this.#places[slot]
    return place === undefined ? '' : place.transport.peerAddress(place.slot)
  }

  isSecure(slot: number): boolean {
    return this.#places[slot]?.transport === this.secure
  }

  stopListening(): void {
    this.#plain.stopListening()
    this.secure.stopListening()
  }

  close(): void {
    this.#plain.close()
    this.secure.close()
  }

  /** Hears one of the two, and tells what it hears by slots of this one. */
  #hear(transport: () => Transport): TransportEvents {
    const events = this.#events
    /** Our slots by those of the transport. */
    const slots: number[] = []
    return {
      turnBegan: () => events.turnBegan(),
      turnEnded: () => events.turnEnded(),
      opened: (inner) => {
        const slot = this.#free.pop() ?? this.#places.length
        this.#places[slot] = { transport: transport(), slot: inner }
        slots[inner] = slot
        events.opened(slot)
      },
      received: (inner, bytes, start, end) => events.received(slots[inner]!, bytes, start, end),
      ended: (inner) => events.ended(slots[inner]!),
      stalled: (inner) => events.stalled(slots[inner]!),
      drained: (inner) => events.drained(slots[inner]!),
      closed: (inner) => {
        const slot = slots[inner]!
        // Nobody else has the slot before its listener was told.
        try {
          events.closed(slot)
        } finally {
          this.#places[slot] = undefined
          this.#free.push(slot)
        }
      },
      acceptFailed: (error) => events.acceptFailed(error),
    }
  }
}
