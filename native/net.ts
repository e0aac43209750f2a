import { errnoOf, messageOf, NppError } from '../shared/errors.ts'
import { addon, type AddonNet } from './addon.ts'

/** How a net finds out which of its sockets are ready. */
export const Polling = { epoll: 0, poll: 1, select: 2 } as const

/** What a batch tells of a slot. As enum npp_event in net-state.h. */
export const NetEvent = { Opened: 0, Data: 1, Ended: 2, Drained: 3, Closed: 4, Exhausted: 5, Stalled: 6, Lingering: 7 } as const

/** What is handed back. As enum npp_command in net-state.h. */
export const NetCommand = { Write: 1, End: 2, Destroy: 3, Release: 4, Pause: 5, Resume: 6 } as const

/** What became of bytes that were sent directly. */
export const NetSent = { All: 0, Held: 1, Closed: 2, Copied: 3 } as const

/** Sizes of what is shared with the addon, in the order in which it lies in memory. As in net-state.h. */
export const NetLayout = {
  arenaBytes: 512 * 1024,
  outputBytes: 1024 * 1024,
  /** slot, event, then offset and length of data; of Closed the errno, 0 for an ordinary end. */
  eventInts: 4,
  events: 2048,
  /** command, slot, then of Write offset, length and the index of the slot's next Write, 0 for none. */
  commandInts: 5,
  commands: 4096,
  /** slot, event (Closed or Stalled), errno */
  outcomeInts: 3,
  outcomes: 8192,
} as const

export interface NetOpening {
  readonly polling: keyof typeof Polling
  /** Connections at the most. */
  readonly capacity: number
  /** What a connection above that is told before it is closed; up to 4,096 bytes. */
  readonly refusal: Uint8Array
  /** Bytes of output that may wait as copies for one connection; it is closed where more would. */
  readonly maxBuffered: number
}

/** An address and a port, or the path of a Unix socket and 0. */
export interface SocketName {
  readonly host: string
  readonly port: number
}

/** What a net holds and has seen. */
export interface NetCounters {
  /** Slots that are taken, and the most that ever were. */
  readonly connections: number
  readonly highWater: number
  readonly accepted: number
  readonly refused: number
  /** Bytes of output that wait as copies. */
  readonly keptBytes: number
  /** Buffers and files that are held until they have left. */
  readonly heldBuffers: number
  /** Refused connections that are still read from, so that the refusal arrives. */
  readonly lingering: number
}

/** What the addon refuses as a use of it; everything else is the system's, and left as it is: code, errno, syscall. */
function translated(cause: unknown): unknown {
  const code = errnoOf(cause)
  return code === 'NPP_NET_ARGUMENT' || code === 'NPP_NET_CLOSED' ? new NppError(code, messageOf(cause), { cause }) : cause
}

/**
 * Sockets, a batch of events at a time. `onBatch(count, again)` is called once a batch, with `count` events in `events`; data lies in `arena`
 * and is overwritten after the call, or by `more`, which it asks for further batches. Where it throws, the exception goes to 'uncaughtException' and onBatch is called again for the same
 * batch, with `again` true, so it has to know how far it got. A slot stays taken until it is released, after Closed as after Destroy.
 *
 * Methods throw NppError NPP_NET_ARGUMENT or NPP_NET_CLOSED, and those that listen the error of the system as it is.
 */
export class NetHandle {
  readonly arena: Buffer
  readonly output: Buffer
  readonly events: Int32Array
  readonly commands: Int32Array
  readonly outcomes: Int32Array
  readonly #net: AddonNet

  /** Use openNet. */
  constructor(net: AddonNet, onBatch: (count: number, again: boolean) => void) {
    const { memory } = net
    let at = 0
    const bytes = (length: number): Buffer => {
      at += length
      return Buffer.from(memory, at - length, length)
    }
    const integers = (length: number): Int32Array => {
      at += length * Int32Array.BYTES_PER_ELEMENT
      return new Int32Array(memory, at - length * Int32Array.BYTES_PER_ELEMENT, length)
    }
    this.arena = bytes(NetLayout.arenaBytes)
    this.output = bytes(NetLayout.outputBytes)
    this.events = integers(NetLayout.events * NetLayout.eventInts)
    this.commands = integers(NetLayout.commands * NetLayout.commandInts)
    this.outcomes = integers(NetLayout.outcomes * NetLayout.outcomeInts)
    this.#net = net
    net.onBatch = onBatch
  }

  listen(host: string, port: number, backlog: number): SocketName {
    return this.#named(() => this.#net.listen(host, port, backlog))
  }

  /** Replaces a socket file that nobody listens on; removes its own in stopListening. */
  listenUnix(path: string, mode: number, backlog: number): SocketName {
    return this.#named(() => this.#net.listenUnix(path, mode, backlog))
  }

  /** Listens on a descriptor that listens already, as systemd hands them over. */
  adopt(descriptor: number): SocketName {
    return this.#named(() => this.#net.adopt(descriptor))
  }

  stopListening(): void {
    this.#net.stopListening()
  }

  /** After NetEvent.Exhausted, in a while: it may come again. */
  acceptAgain(): void {
    this.#net.acceptAgain()
  }

  /** After NetEvent.Lingering, in a while: closes refused connections whose time is up; returns how many are left. */
  sweep(): number {
    return this.#net.sweep()
  }

  /** Carries out the first `count` commands; returns how many outcomes there are. */
  execute(count: number): number {
    return this.#net.execute(count)
  }

  /** Within onBatch: the next batch in place of the one in hand; how many events it has, 0 where the event loop is to have its turn. */
  more(): number {
    return this.#net.more()
  }

  /** Sends at once, holding on to `bytes` where the answer is NetSent.Held. */
  send(slot: number, bytes: Uint8Array, start: number, end: number): number {
    try {
      return this.#net.send(slot, bytes, start, end)
    } catch (error) {
      throw translated(error)
    }
  }

  /** Sends a part of a file. With NetSent.Held the descriptor must stay open until Drained or Closed. */
  sendFile(slot: number, descriptor: number, offset: number, length: number): number {
    try {
      return this.#net.sendFile(slot, descriptor, offset, length)
    } catch (error) {
      throw translated(error)
    }
  }

  /** Address of the peer, 'unix:' for one of a Unix socket; '' for one that is gone. */
  peer(slot: number): string {
    return this.#net.peer(slot)
  }

  /** Bytes that wait for the peer to read. */
  unsent(slot: number): number {
    return this.#net.unsent(slot)
  }

  /** The descriptor, which is the caller's from here on; -1 for a connection that is gone or has output unsent. The slot stays to be released. */
  detach(slot: number): number {
    return this.#net.detach(slot)
  }

  counters(): NetCounters {
    const [connections = 0, highWater = 0, accepted = 0, refused = 0, keptBytes = 0, heldBuffers = 0, lingering = 0] = this.#net.counters()
    return { connections, highWater, accepted, refused, keptBytes, heldBuffers, lingering }
  }

  /** Cuts everything off. Closing twice does nothing. */
  close(): void {
    this.#net.close()
  }

  #named(listen: () => [string, number]): SocketName {
    try {
      const [host, port] = listen()
      return { host, port }
    } catch (error) {
      throw translated(error)
    }
  }
}

/** Throws NppError NPP_NET_ARGUMENT or NPP_NATIVE_MISSING, or the error of the system. */
export function openNet(
  { polling, capacity, refusal, maxBuffered }: NetOpening,
  onBatch: (count: number, again: boolean) => void,
): NetHandle {
  const { Net } = addon()
  try {
    return new NetHandle(new Net(Polling[polling], capacity, refusal, maxBuffered), onBatch)
  } catch (error) {
    throw translated(error)
  }
}
