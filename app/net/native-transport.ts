import { lookup } from 'node:dns/promises'
import { isIP, Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { NetCommand, NetEvent, NetLayout, NetSent, openNet, type NetCounters, type NetHandle } from '../../native/index.ts'
import { messageOf, NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { checkSocketPath, listenError } from './listen-error.ts'
import { Is, NO_PLAIN_WRITE } from './slot-state.ts'
import { BACKLOG, type Detached, type ListenAddress, type Transport, type TransportEvents, type TransportOptions } from './transport.ts'

/** Output up to here is for copies; what follows is lent as `arena`. */
const COPY_BYTES = NetLayout.outputBytes / 2

const COMMAND = NetLayout.commandInts
const EVENT = NetLayout.eventInts
const OUTCOME = NetLayout.outcomeInts

export interface NativeTransportOptions extends TransportOptions {
  readonly polling: 'epoll' | 'poll' | 'select'
}

/** Of a paused connection: what was read before the pause took hold. */
interface Withheld {
  bytes: Buffer
  ended: boolean
}

/**
 * The transport on native/net: one call into JavaScript for all sockets that are ready, and one back with all that is to be done. Writes
 * gather in an arena that is shared with the addon and leave at the end of the batch, or of the turn for those outside a batch.
 */
export class NativeTransport implements Transport {
  readonly reusesReadBuffers = true
  readonly arena: Buffer

  readonly #events: TransportEvents
  readonly #net: NetHandle
  readonly #input: Buffer
  readonly #output: Buffer
  readonly #list: Int32Array
  readonly #commands: Int32Array
  readonly #states: Uint8Array
  readonly #addresses: (string | undefined)[] = []
  /** Index of the slot's last Write of this round, plus #round; what is below #round is of an earlier one. */
  readonly #lastWrite: Float64Array
  readonly #withheld = new Map<number, Withheld>()
  readonly #flushLater: () => void
  #round = 1
  #count = 0
  #used = 0
  #open = 0
  /** The event of the batch that comes next. */
  #at = 0
  #inBatch = false
  #isScheduled = false
  /** What is told at the end of the turn, since no event is told from inside a call. */
  #closing: number[] = []
  #stalled: number[] = []
  #resumed: number[] = []
  /** That accepting failed is told once, until it succeeds. */
  #isExhausted = false
  #retry: NodeJS.Timeout | undefined
  #sweep: NodeJS.Timeout | undefined
  #isClosed = false

  /** Throws NPP_NET_ARGUMENT, NPP_NATIVE_MISSING, or NPP_LISTEN_FAILED where the system has no room for it. */
  constructor(events: TransportEvents, options: NativeTransportOptions) {
    const { polling, maxConnections, refusal, maxBuffered } = options
    this.#events = events
    try {
      this.#net = openNet({ polling, capacity: maxConnections, refusal, maxBuffered }, (count, again) => this.#batch(count, again))
    } catch (error) {
      throw error instanceof NppError ? error : new NppError('NPP_LISTEN_FAILED', `cannot listen: ${messageOf(error)}`, { cause: error })
    }
    this.#input = this.#net.arena
    this.#output = this.#net.output
    this.arena = this.#net.output.subarray(COPY_BYTES)
    this.#list = this.#net.events
    this.#commands = this.#net.commands
    this.#states = new Uint8Array(maxConnections)
    this.#lastWrite = new Float64Array(maxConnections)
    this.#flushLater = () => {
      this.#isScheduled = false
      this.#settle()
    }
  }

  get connections(): number {
    return this.#open
  }

  get refused(): number {
    return this.#net.counters().refused
  }

  /** What the addon holds: a test sees leaks here. */
  get counters(): NetCounters {
    return this.#net.counters()
  }

  async listen(address: ListenAddress): Promise<ListenAddress> {
    try {
      const host = isIP(address.host) === 0 ? (await lookup(address.host)).address : address.host
      return { host: address.host, port: this.#net.listen(host, address.port, BACKLOG).port }
    } catch (error) {
      throw listenError(error, address)
    }
  }

  async listenUnix(path: string, mode: number): Promise<ListenAddress> {
    checkSocketPath(path)
    try {
      return this.#net.listenUnix(path, mode, BACKLOG)
    } catch (error) {
      throw listenError(error, { host: path, port: 0 })
    }
  }

  async adopt(descriptor: number): Promise<ListenAddress> {
    try {
      return this.#net.adopt(descriptor)
    } catch (error) {
      throw listenError(error, { host: `descriptor ${descriptor}`, port: 0 })
    }
  }

  write(slot: number, bytes: Buffer, start: number, end: number): boolean {
    const length = end - start
    const state = this.#states[slot]!
    if (bytes === this.arena) {
      if ((state & (Is.Open | Is.Closing | Is.Ended)) === Is.Open && length > 0) this.#append(slot, COPY_BYTES + start, length)
      return true
    }
    const used = this.#used
    if (length > Limits.copiedWriteBytes || (state & NO_PLAIN_WRITE) !== 0 || used + length > COPY_BYTES) {
      return this.#writeOtherwise(slot, bytes, start, end)
    }
    if (state === 0 || length === 0) return true
    bytes.copy(this.#output, used, start, end)
    this.#used = used + length
    this.#append(slot, used, length)
    return true
  }

  unsent(slot: number): number {
    return this.#isHeard(slot) ? this.#net.unsent(slot) : 0
  }

  sendFile(slot: number, descriptor: number, offset: number, length: number): boolean {
    if (!this.#isWritable(slot)) return true
    this.#flush()
    return !this.#isWritable(slot) || this.#sent(slot, this.#net.sendFile(slot, descriptor, offset, length))
  }

  pause(slot: number): void {
    if (!this.#isHeard(slot)) return
    this.#states[slot]! |= Is.Paused
    this.#command(NetCommand.Pause, slot, 0, 0)
  }

  resume(slot: number): void {
    if (!this.#isHeard(slot)) return
    this.#states[slot]! &= ~Is.Paused
    this.#command(NetCommand.Resume, slot, 0, 0)
    if (this.#withheld.has(slot)) this.#resumed.push(slot)
  }

  end(slot: number): void {
    if (!this.#isWritable(slot)) return
    this.#states[slot]! |= Is.Ended
    this.#command(NetCommand.End, slot, 0, 0)
  }

  destroy(slot: number): void {
    if (!this.#isHeard(slot)) return
    this.#command(NetCommand.Destroy, slot, 0, 0)
    this.#states[slot]! |= Is.Closing
    this.#closing.push(slot)
  }

  peerAddress(slot: number): string {
    if (!this.#isHeard(slot)) return ''
    return (this.#addresses[slot] ??= this.#net.peer(slot))
  }

  isSecure(): boolean {
    return false
  }

  detach(slot: number): Detached | undefined {
    this.#flush()
    const descriptor = this.#isWritable(slot) ? this.#net.detach(slot) : -1
    if (descriptor < 0) return undefined
    const unread = [this.#withheld.get(slot)?.bytes ?? NOTHING]
    for (let at = this.#at; at < this.#eventsEnd; at += EVENT) {
      if (this.#list[at] !== slot || this.#list[at + 1] !== NetEvent.Data) continue
      const offset = this.#list[at + 2]!
      unread.push(this.#input.subarray(offset, offset + this.#list[at + 3]!))
    }
    this.#states[slot]! |= Is.Closing
    this.#closing.push(slot)
    this.#schedule()
    const socket = new Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen: true })
    return { socket: socket.pause(), unread: Buffer.concat(unread) }
  }

  /** Has `turnEnded` told when this turn is over: somebody else has sent what was made in `arena`. */
  endTurn(): void {
    if (!this.#inBatch) this.#schedule()
  }

  stopListening(): void {
    if (this.#isClosed) return
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#net.stopListening()
  }

  close(): void {
    if (this.#isClosed) return
    this.stopListening()
    this.#isClosed = true
    clearTimeout(this.#sweep)
    this.#states.fill(0)
    this.#open = 0
    this.#count = 0
    this.#closing = []
    this.#stalled = []
    this.#resumed = []
    this.#withheld.clear()
    this.#net.close()
  }

  #eventsEnd = 0

  #isHeard(slot: number): boolean {
    return (this.#states[slot]! & (Is.Open | Is.Closing)) === Is.Open
  }

  #isWritable(slot: number): boolean {
    return (this.#states[slot]! & (Is.Open | Is.Closing | Is.Ended)) === Is.Open
  }

  // What the addon tells.

  #batch(count: number, again: boolean): void {
    let left = count
    if (again) {
      // A listener threw. The batch goes on behind the event that it threw at, unless it was through already.
      if (this.#inBatch) this.#goOn()
      left = this.#more()
    }
    while (left > 0) {
      this.#at = 0
      this.#eventsEnd = left * EVENT
      this.#inBatch = true
      this.#events.turnBegan()
      // Commands of an earlier turn name slots as they were then.
      this.#flush()
      this.#goOn()
      left = this.#more()
    }
  }

  #goOn(): void {
    while (this.#at < this.#eventsEnd) {
      const at = this.#at
      this.#at = at + EVENT
      this.#tell(at)
    }
    this.#eventsEnd = 0
    this.#inBatch = false
    this.#settle()
  }

  /** Under load more is ready by the time a batch is answered: it is taken without going back to the event loop. */
  #more(): number {
    return this.#isClosed ? 0 : this.#net.more()
  }

  #tell(at: number): void {
    const list = this.#list
    const slot = list[at]!
    const kind = list[at + 1]!
    const offset = list[at + 2]!
    const state = this.#states[slot]!
    switch (kind) {
      case NetEvent.Data:
        if (state === Is.Open) this.#events.received(slot, this.#input, offset, offset + list[at + 3]!)
        else this.#dataOtherwise(slot, offset, offset + list[at + 3]!)
        break
      case NetEvent.Opened:
        this.#states[slot] = Is.Open
        this.#addresses[slot] = undefined
        this.#open++
        this.#isExhausted = false
        this.#events.opened(slot)
        break
      case NetEvent.Ended:
        if ((state & Is.Paused) !== 0) this.#withhold(slot, NOTHING).ended = true
        else if ((state & (Is.Open | Is.Closing)) === Is.Open) this.#events.ended(slot)
        break
      case NetEvent.Drained:
        this.#states[slot] = state & ~Is.Stalled
        if ((state & (Is.Open | Is.Closing)) === Is.Open) this.#events.drained(slot)
        break
      case NetEvent.Closed:
        this.#gone(slot)
        break
      case NetEvent.Exhausted:
        this.#retryLater()
        if (!this.#isExhausted) this.#events.acceptFailed(new Error(`accept ${getSystemErrorName(-offset)}`))
        this.#isExhausted = true
        break
      case NetEvent.Lingering:
        this.#sweepLater()
        break
      default:
        break
    }
  }

  #dataOtherwise(slot: number, start: number, end: number): void {
    const state = this.#states[slot]!
    if ((state & (Is.Open | Is.Closing)) !== Is.Open) return
    if ((state & Is.Paused) === 0) this.#events.received(slot, this.#input, start, end)
    else this.#withhold(slot, this.#input.subarray(start, end))
  }

  #withhold(slot: number, bytes: Buffer): Withheld {
    const held = this.#withheld.get(slot)
    if (held !== undefined) {
      held.bytes = Buffer.concat([held.bytes, bytes])
      return held
    }
    const fresh = { bytes: Buffer.from(bytes), ended: false }
    this.#withheld.set(slot, fresh)
    return fresh
  }

  #gone(slot: number): void {
    const state = this.#states[slot]!
    if (state === 0 || (state & Is.Closing) !== 0) return
    this.#states[slot] = state | Is.Closing
    this.#closing.push(slot)
  }

  /** The system has no descriptor left: a pause lets it recover, as a listener that is ready all the time would spin. */
  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      try {
        this.#net.acceptAgain()
      } catch {
        this.#retryLater()
      }
    }, Limits.acceptRetryMs)
  }

  /** Refused connections are closed by their peers, or here when those take too long. The process need not wait for them. */
  #sweepLater(): void {
    this.#sweep = setTimeout(() => {
      if (this.#net.sweep() > 0) this.#sweepLater()
    }, Limits.lingerMs).unref()
  }

  // What is handed back.

  /** Puts output[offset, offset + length) on its way, in one send with what the slot has been given before in this round. */
  #append(slot: number, offset: number, length: number): void {
    const commands = this.#commands
    const last = this.#lastWrite[slot]! - this.#round
    if (last >= 0) {
      const at = last * COMMAND
      const before = commands[at + 3]!
      if (offset === before + commands[at + 2]!) {
        commands[at + 3] = before + length
        return
      }
      // Answers to others lie in between: the addon sends what is chained in one go.
      commands[at + 4] = this.#count
    }
    this.#lastWrite[slot] = this.#round + this.#count
    this.#command(NetCommand.Write, slot, offset, length)
  }

  #command(command: number, slot: number, offset: number, length: number): void {
    const commands = this.#commands
    const at = this.#count * COMMAND
    commands[at] = command
    commands[at + 1] = slot
    commands[at + 2] = offset
    commands[at + 3] = length
    commands[at + 4] = 0
    if (++this.#count === NetLayout.commands) this.#flush()
    if (!this.#inBatch) this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(this.#flushLater)
  }

  #flush(): void {
    const count = this.#count
    if (count === 0) return
    this.#count = 0
    this.#used = 0
    this.#round += NetLayout.commands
    const outcomes = this.#net.execute(count)
    const list = this.#net.outcomes
    for (let at = 0; at < outcomes * OUTCOME; at += OUTCOME) {
      const slot = list[at]!
      if (list[at + 1] === NetEvent.Closed) this.#gone(slot)
      else {
        this.#states[slot]! |= Is.Stalled
        this.#stalled.push(slot)
      }
    }
  }

  /** Hands over what there is to do, and tells what came of it. Where a listener throws, the rest follows in a turn of its own. */
  #settle(): void {
    let isDone = false
    try {
      while (!this.#isClosed) {
        this.#flush()
        const slot = this.#closing.pop()
        if (slot !== undefined) this.#tellClosed(slot)
        else if (this.#stalled.length > 0) this.#tellStalled(this.#stalled.pop()!)
        else if (this.#resumed.length > 0) this.#tellWithheld(this.#resumed.pop()!)
        else if (this.#count === 0) break
      }
      isDone = true
      if (!this.#isClosed) this.#events.turnEnded()
    } finally {
      if (!isDone) this.#schedule()
    }
  }

  #tellClosed(slot: number): void {
    this.#states[slot] = 0
    this.#open--
    this.#withheld.delete(slot)
    // Handed over after the listener was told: until then no other connection has the slot.
    this.#command(NetCommand.Release, slot, 0, 0)
    this.#events.closed(slot)
  }

  #tellStalled(slot: number): void {
    if (this.#isHeard(slot) && (this.#states[slot]! & Is.Stalled) !== 0) this.#events.stalled(slot)
  }

  #tellWithheld(slot: number): void {
    const held = this.#withheld.get(slot)
    if (held === undefined || (this.#states[slot]! & (Is.Open | Is.Closing | Is.Paused)) !== Is.Open) return
    this.#withheld.delete(slot)
    if (held.ended) {
      // The end comes after the bytes, whatever the listener does with them.
      this.#withhold(slot, NOTHING).ended = true
      held.ended = false
      if (held.bytes.byteLength > 0) {
        this.#resumed.push(slot)
        this.#events.received(slot, held.bytes, 0, held.bytes.byteLength)
        return
      }
      this.#withheld.delete(slot)
      this.#events.ended(slot)
    } else this.#events.received(slot, held.bytes, 0, held.bytes.byteLength)
  }

  /** Writes that the arena does not take: large ones, and those behind output that waits. */
  #writeOtherwise(slot: number, bytes: Buffer, start: number, end: number): boolean {
    if (!this.#isWritable(slot)) return true
    this.#flush()
    if (!this.#isWritable(slot)) return true
    if (end - start <= Limits.copiedWriteBytes && (this.#states[slot]! & Is.Stalled) === 0) return this.write(slot, bytes, start, end)
    return this.#sent(slot, this.#net.send(slot, bytes, start, end))
  }

  #sent(slot: number, sent: number): boolean {
    switch (sent) {
      case NetSent.Held:
        this.#states[slot]! |= Is.Stalled
        return false
      case NetSent.Copied:
        if ((this.#states[slot]! & Is.Stalled) === 0) this.#stalled.push(slot)
        this.#states[slot]! |= Is.Stalled
        break
      case NetSent.Closed:
        this.#gone(slot)
        break
      default:
        break
    }
    if (!this.#inBatch && this.#closing.length + this.#stalled.length > 0) this.#schedule()
    return true
  }
}

const NOTHING = Buffer.alloc(0)
