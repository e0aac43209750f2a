import type { Socket } from 'node:net'

/**
 * Bytes in and bytes out, and nothing of what they mean. A connection is named by its slot, a small number that is used again after `closed`;
 * whoever comes back later must know by a generation of its own whether the slot is still the same connection.
 */
export interface Transport {
  /** True when `bytes` of `received` are overwritten after the call: what is kept must be copied. */
  readonly reusesReadBuffers: boolean

  /**
   * Memory in which answers may be made: what is written from there is not copied. It must stay as it is until `turnEnded`. Undefined where
   * the transport has none.
   */
  readonly arena: Buffer | undefined

  /** Connections that are open. */
  readonly connections: number
  /** Connections above maxConnections that were told so, since the start. */
  readonly refused: number

  /** Listens, and says where. Throws NPP_PORT_IN_USE, NPP_PORT_PERMISSION or NPP_LISTEN_FAILED. */
  listen(address: ListenAddress): Promise<ListenAddress>

  /** Listens on a Unix socket with this mode; a socket file that nobody listens on is replaced. Throws as `listen`. */
  listenUnix(path: string, mode: number): Promise<ListenAddress>

  /** Listens on a descriptor that listens already, as systemd hands them over: sd_listen_fds(3). Throws as `listen`. */
  adopt(descriptor: number): Promise<ListenAddress>

  /**
   * Sends `bytes[start, end)`. True when the bytes are the caller's again, false when the transport holds on to them: then the caller must not
   * touch that buffer any more, and `drained` is told once they are gone. A transport that
   * takes a copy answers true; when the peer does not read it, `stalled` is told later, and `drained` when it is gone.
   */
  write(slot: number, bytes: Buffer, start: number, end: number): boolean

  /**
   * Sends `length` bytes of an open file from `offset` on, behind what was written. As `write`: false while the transport needs the file. The
   * descriptor stays the caller's, who may close it after true, `drained` or `closed`. A file that is shorter than that closes the connection.
   */
  sendFile(slot: number, descriptor: number, offset: number, length: number): boolean

  /**
   * Hands the connection over. `closed` is told later, as the slot is free then. Undefined, and nothing done, for a connection that is gone,
   * whose side was ended, or whose output has not all left: `drained` tells when it has.
   */
  detach(slot: number): Detached | undefined

  /**
   * Bytes that were written and that the peer has not taken; of those that the kernel holds it knows only in the native transport. It falls
   * while a slow reader takes some.
   */
  unsent(slot: number): number

  /** Stops and resumes `received`. */
  pause(slot: number): void
  resume(slot: number): void

  /** Sends what is still unsent, then the end of our side. The peer's side stays open: what it sends is still received. */
  end(slot: number): void

  /** Cuts the connection off. `closed` is told later. */
  destroy(slot: number): void

  /** Address of the peer; UNIX_PEER for one that came by a Unix socket, '' when it is gone. */
  peerAddress(slot: number): string

  /** True for a connection by TLS. */
  isSecure(slot: number): boolean

  /** Accepts no further connections. Those that are open live on. */
  stopListening(): void

  /** Stops listening, cuts off what is open, and gives everything back. Nothing is told after it. Closing twice does nothing. */
  close(): void
}

/** A connection that is its new owner's. */
export interface Detached {
  /** Paused and half-open: who has its listeners in place, one for 'error' among them, calls `resume`. */
  readonly socket: Socket
  /** What was read and not told yet. */
  readonly unread: Buffer
}

export interface TransportOptions {
  /** Connections at the most; one more is refused. */
  readonly maxConnections: number
  /** What a connection that is refused is told before it is closed. */
  readonly refusal: Uint8Array
  /**
   * Bytes that may wait for one connection in writes that its writer need not hold: copies, and writes of up to copiedWriteBytes. It is cut
   * off where more would. Large writes are bounded by who makes them.
   */
  readonly maxBuffered: number
}

/** What a peer of a Unix socket is called: it has no address. */
export const UNIX_PEER = 'unix:'

/** Connections that the kernel holds ready for accept; it cuts the number down to net.core.somaxconn. */
export const BACKLOG = 4096

/** Where a transport listens. */
export interface ListenAddress {
  /** An address, or the path of a Unix socket, whose port is 0. */
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** Who uses a transport. No event is told from inside a call to the transport. */
export interface TransportEvents {
  /** Events of several connections follow, all of one moment. Told by transports that read in batches. */
  turnBegan(): void
  /** They are over, and what was written from the arena has left it or was copied. Told also after writes outside of a batch. */
  turnEnded(): void
  opened(slot: number): void
  received(slot: number, bytes: Buffer, start: number, end: number): void
  /** The peer sends nothing more; it may still read. */
  ended(slot: number): void
  /** Of what was written, and taken by `write`, a part waits for the peer to read; `drained` follows. */
  stalled(slot: number): void
  /** All that was written has left. */
  drained(slot: number): void
  /** The connection is gone and the slot free. */
  closed(slot: number): void
  /** Accepting a connection failed; the transport goes on listening. */
  acceptFailed(error: Error): void
}
