import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Engine } from '../../app/engine.ts'
import type { ListenAddress, Transport } from '../../app/net/transport.ts'
import { Router, type HandlerTarget } from '../../app/route/router.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import { Limits } from '../../shared/limits.ts'
import type { TimerWheel } from '../../shared/timer-wheel.ts'
import { bareEngine } from '../support/bare-engine.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { turns } from '../support/queue-tools.ts'
import type { RecordedLog } from '../support/recorded-log.ts'

/** The default of writeTimeout. */
const WRITE_TIMEOUT_MS = 60_000
/** Bytes that have to go meanwhile, by the default of minSendRate. */
const LEAST_TAKEN = 240 * 60
/** The defaults of bodyTimeout and minBodyRate. */
const BODY_TIMEOUT_MS = 20_000
const LEAST_ARRIVED = 500 * 20

/** Remembers what the engine does; the test says what the kernel would. */
class FakeTransport implements Transport {
  readonly reusesReadBuffers = false
  readonly arena: Buffer | undefined
  readonly told: string[] = []
  connections = 0
  refused = 0
  /** False: the peer does not read. */
  takes = true
  /** Bytes that wait for a peer that reads slowly. */
  waiting = 0

  listen(address: ListenAddress): Promise<ListenAddress> {
    return Promise.resolve(address)
  }

  listenUnix(path: string): Promise<ListenAddress> {
    return Promise.resolve({ host: path, port: 0 })
  }

  adopt(): Promise<ListenAddress> {
    return Promise.resolve({ host: '', port: 0 })
  }

  write(slot: number, bytes: Buffer, start: number, end: number): boolean {
    this.told.push(`write ${slot} ${/^HTTP\/1\.1 (\d+)/.exec(bytes.latin1Slice(start, end))?.[1] ?? ''}`)
    return this.takes
  }

  sendFile(): boolean {
    return true
  }

  detach(): undefined {}

  unsent(): number {
    return this.waiting
  }

  pause(slot: number): void {
    this.told.push(`pause ${slot}`)
  }

  resume(slot: number): void {
    this.told.push(`resume ${slot}`)
  }

  end(slot: number): void {
    this.told.push(`end ${slot}`)
  }

  destroy(slot: number): void {
    this.told.push(`destroy ${slot}`)
  }

  peerAddress(): string {
    return '192.0.2.1'
  }

  isSecure(): boolean {
    return false
  }

  stopListening(): void {
    this.told.push('stop')
  }

  close(): void {}
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

class Given {
  readonly clock = new FakeClock()
  readonly wheel: TimerWheel
  readonly log: RecordedLog
  readonly transport = new FakeTransport()
  readonly requests = createMemoryQueue({ name: 'requests', maxMessages: 10, messageSize: 100 }).open()
  readonly engine: Engine
  /** Answers of '/later', in the order of their requests. */
  readonly later: (() => void)[] = []

  constructor(context: TestContext, environment: Readonly<Record<string, string>> = {}) {
    const router = new Router()
    const answer: HandlerTarget = { handle: (_req, res) => res.text('hello') }
    const later: HandlerTarget = { handle: (_req, res) => void this.later.push(() => res.text('later')) }
    router.add('GET', '/', answer)
    router.add('GET', '/later', later)
    router.add('GET', '/call', { handle: (req) => void req.callAsync('service').catch(() => undefined) })
    const { engine, wheel, log } = bareEngine(context, router, { clock: this.clock, settings: environment, requests: this.requests })
    this.engine = engine
    this.wheel = wheel
    this.log = log
    this.engine.attach(this.transport)
  }

  open(slot: number): void {
    this.transport.connections++
    this.engine.opened(slot)
  }

  receive(slot: number, text: string): void {
    const bytes = Buffer.from(text, 'latin1')
    this.engine.received(slot, bytes, 0, bytes.byteLength)
  }

  close(slot: number): void {
    this.transport.connections--
    this.engine.closed(slot)
  }

  /** What the transport was told since the last look. */
  async told(): Promise<string[]> {
    await turns(2)
    return this.transport.told.splice(0)
  }

  pass(milliseconds: number): void {
    this.clock.pass(milliseconds)
    this.wheel.advance()
  }
}

describe('the engine', () => {
  it('answers all requests of a read in one write', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.receive(0, GET.repeat(50))
    assert.deepEqual(await given.told(), ['write 0 200'])
  })

  it('answers what arrived in time, though it hears of the deadline first: it was held up', async (context) => {
    const given = new Given(context, { NPP_KEEP_ALIVE_TIMEOUT: '2', NPP_HEADER_TIMEOUT: '2' })
    given.open(0)
    given.open(1)
    given.receive(1, GET.slice(0, 10))
    given.pass(5000)
    // The event loop comes to its sockets after its timers.
    given.receive(0, GET)
    given.receive(1, GET.slice(10))
    assert.deepEqual(await given.told(), ['write 0 200', 'write 1 200'])
    given.pass(1900)
    assert.deepEqual(await given.told(), [])
    given.pass(200)
    assert.deepEqual((await given.told()).toSorted(), ['end 0', 'end 1'])
  })

  it('sends calls before the turn is over where it goes on from batch to batch', (context) => {
    const given = new Given(context)
    given.open(0)
    for (const count of [0, 0, 1]) {
      given.engine.turnBegan()
      if (given.clock.monotonic() === 1000) given.receive(0, GET.replace('/', '/call'))
      given.engine.turnEnded()
      assert.equal(given.requests.count(), count)
      given.clock.pass(Limits.callGatherMs / 2)
    }
  })

  it('ends an idle connection at its deadline, not before, and a used one later', async (context) => {
    const given = new Given(context, { NPP_KEEP_ALIVE_TIMEOUT: '2' })
    given.open(0)
    given.open(1)
    given.pass(1500)
    given.receive(1, GET)
    given.pass(499)
    assert.deepEqual(await given.told(), ['write 1 200'])
    given.pass(20)
    assert.deepEqual(await given.told(), ['end 0'])
    given.pass(1500)
    assert.deepEqual(await given.told(), ['end 1'])
  })

  it('gives a header its time from the first byte, and a body its own', async (context) => {
    const given = new Given(context, { NPP_HEADER_TIMEOUT: '1', NPP_BODY_TIMEOUT: '5' })
    given.open(0)
    given.open(1)
    for (const slot of [0, 1]) given.receive(slot, 'GET / HTTP/1.1\r\n')
    given.pass(600)
    given.receive(0, 'Host: a\r\n')
    given.receive(1, 'Host: a\r\nContent-Length: 9\r\n\r\n1')
    given.pass(420)
    assert.deepEqual(await given.told(), ['write 0 408', 'end 0'])
    given.pass(4500)
    given.receive(1, '2')
    assert.deepEqual(await given.told(), ['destroy 0'], 'it does not end its side: it is cut off')
    given.pass(100)
    assert.deepEqual(await given.told(), ['write 1 408', 'end 1'])
  })

  it('drops the answer of a handler that comes when the connection is gone, or belongs to another client', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    given.close(0)
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    assert.equal(given.later.length, 2)
    given.later[0]?.()
    assert.deepEqual(await given.told(), [])
    given.later[1]?.()
    assert.deepEqual(await given.told(), ['write 0 200'])
  })

  it('drops the answer of a handler that comes after its deadline, also when the next request waits for its own', async (context) => {
    const given = new Given(context, { NPP_HANDLER_TIMEOUT: '1' })
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    given.pass(1020)
    assert.deepEqual(await given.told(), ['write 0 504'])
    given.receive(0, GET.replace('/', '/later'))
    given.later[0]?.()
    assert.deepEqual(await given.told(), [])
    given.later[1]?.()
    assert.deepEqual(await given.told(), ['write 0 200'])
  })

  it('reads on while a client is ahead by no more than is kept, and again once that is answered', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    const ahead = Math.floor(Limits.pipelinedBytes / GET.length)
    given.receive(0, GET.repeat(ahead))
    assert.deepEqual(await given.told(), [])
    given.receive(0, GET)
    assert.deepEqual(await given.told(), ['pause 0'])
    given.later[0]?.()
    const told = await given.told()
    assert.equal(told.at(-1), 'resume 0')
    assert.equal(
      told.filter((event) => event !== 'resume 0').every((event) => event === 'write 0 200'),
      true,
    )
  })

  it('handles nothing more of a client that does not read, until it has read', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.transport.takes = false
    given.receive(0, GET)
    given.receive(0, GET)
    assert.deepEqual(await given.told(), ['write 0 200'])
    given.transport.takes = true
    given.engine.drained(0)
    assert.deepEqual(await given.told(), ['write 0 200'])
  })

  it('cuts off a client that reads nothing for the time it has', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.transport.takes = false
    given.receive(0, GET)
    given.pass(WRITE_TIMEOUT_MS - 100)
    assert.deepEqual(await given.told(), ['write 0 200'])
    given.pass(200)
    assert.deepEqual(await given.told(), ['destroy 0'])
  })

  it('lets a slow client read on for as long as it takes its answer with the least rate', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.transport.takes = false
    given.transport.waiting = 4 * LEAST_TAKEN
    given.receive(0, GET)
    assert.deepEqual(await given.told(), ['write 0 200'])
    for (const left of [3, 2]) {
      given.transport.waiting = left * LEAST_TAKEN
      given.pass(WRITE_TIMEOUT_MS + 100)
      assert.deepEqual(await given.told(), [])
    }
    given.transport.waiting = LEAST_TAKEN + 1
    given.pass(WRITE_TIMEOUT_MS + 100)
    assert.deepEqual(await given.told(), ['destroy 0'])
  })

  it('lets a body arrive for as long as it comes with the least rate, and refuses it then with 408', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.receive(0, 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n')
    for (let count = 0; count < 2; count++) {
      given.receive(0, 'x'.repeat(LEAST_ARRIVED))
      given.pass(BODY_TIMEOUT_MS + 100)
      assert.deepEqual(await given.told(), [])
    }
    given.receive(0, 'x'.repeat(LEAST_ARRIVED - 1))
    given.pass(BODY_TIMEOUT_MS + 100)
    assert.deepEqual(await given.told(), ['write 0 408', 'end 0'])
  })

  it('lets a closing client linger from when its answer has left', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.transport.takes = false
    given.receive(0, 'GET / HTTP/1.0\r\n\r\n')
    assert.deepEqual(await given.told(), ['write 0 200', 'end 0'])
    given.pass(3 * Limits.lingerMs)
    assert.deepEqual(await given.told(), [])
    given.engine.drained(0)
    given.pass(Limits.lingerMs - 100)
    assert.deepEqual(await given.told(), [])
    given.pass(200)
    assert.deepEqual(await given.told(), ['destroy 0'])
  })

  it('logs a request whose client has gone as one of status 499', (context) => {
    const given = new Given(context)
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    given.close(0)
    assert.equal(given.log.raw.length, 1)
    assert.match(given.log.raw[0] ?? '', /"status":499/)
  })
})

describe('the engine that drains', () => {
  it('ends idle connections at once, busy ones with their answers, blocked ones when they have read', async (context) => {
    const given = new Given(context)
    for (const slot of [0, 1, 2]) given.open(slot)
    given.receive(1, GET.replace('/', '/later'))
    given.transport.takes = false
    given.receive(2, GET)
    given.transport.takes = true
    await given.told()
    let drained = false
    const drain = given.engine.drain().finally(() => {
      drained = true
    })
    // Asked twice, it is one drain.
    const again = given.engine.drain()
    assert.deepEqual(await given.told(), ['stop', 'end 0'])
    given.later[0]?.()
    assert.deepEqual(await given.told(), ['write 1 200', 'end 1'])
    given.engine.drained(2)
    assert.deepEqual(await given.told(), ['end 2'])
    given.close(0)
    given.close(1)
    await turns(2)
    assert.equal(drained, false)
    given.close(2)
    await drain
    await again
    assert.deepEqual(await given.told(), [])
  })

  it('answers the requests that wait behind a blocked one before it ends', async (context) => {
    const given = new Given(context)
    given.open(0)
    given.transport.takes = false
    given.receive(0, GET)
    given.receive(0, GET)
    given.transport.takes = true
    await given.told()
    given.engine.drained(0) // The rest is to be answered in a turn of its own, which the drain comes before.
    const drain = given.engine.drain()
    assert.deepEqual(await given.told(), ['stop', 'write 0 200', 'end 0'])
    given.close(0)
    await drain
  })

  it('cuts off what has not finished after drainTimeout', async (context) => {
    const given = new Given(context, { NPP_DRAIN_TIMEOUT: '0' })
    given.open(0)
    given.receive(0, GET.replace('/', '/later'))
    await given.engine.drain()
    assert.deepEqual(await given.told(), ['stop', 'destroy 0'])
  })
})
