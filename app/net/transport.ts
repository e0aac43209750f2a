/**
 * Bytes in and bytes out, and nothing of what they mean. A connection is named by its slot, a small number that is used again after `closed`;
 * whoever comes back later must know by a generation of its own whether the slot is still the same connection.
 */
export interface Transport {
  /** True when `bytes` of `received` are overwritten after the call: what is kept must be copied. */
  readonly reusesReadBuffers: boolean

  /** Connections that are open. */
  readonly connections: number

  /** Listens, and says where. Throws NPP_PORT_IN_USE, NPP_PORT_PERMISSION or NPP_LISTEN_FAILED. */
  listen(address: ListenAddress): Promise<ListenAddress>

  /**
   * Sends `bytes[start, end)`. True when the bytes are the caller's again, false when the transport holds on to them: then the caller must not
   * touch that buffer any more, and `drained` is told once they are gone.
   */
  write(slot: number, bytes: Buffer, start: number, end: number): boolean

  /** Bytes that were written and have not left yet. It falls while a slow reader takes some. */
  unsent(slot: number): number

  /** Stops and resumes `received`. */
  pause(slot: number): void
  resume(slot: number): void

  /** Sends what is still unsent, then the end of our side. The peer's side stays open: what it sends is still received. */
  end(slot: number): void

  /** Cuts the connection off. `closed` is told later. */
  destroy(slot: number): void

  /** Address of the peer; '' when it is gone. */
  peerAddress(slot: number): string

  /** Accepts no further connections. Those that are open live on. */
  stopListening(): void
}

/** Where a transport listens. */
export interface ListenAddress {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** Who uses a transport. No event is told from inside a call to the transport. */
export interface TransportEvents {
  opened(slot: number): void
  received(slot: number, bytes: Buffer, start: number, end: number): void
  /** The peer sends nothing more; it may still read. */
  ended(slot: number): void
  /** All that was written has left. */
  drained(slot: number): void
  /** The connection is gone and the slot free. */
  closed(slot: number): void
  /** Accepting a connection failed; the transport goes on listening. */
  acceptFailed(error: Error): void
}
