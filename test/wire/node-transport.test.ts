import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { NodeTransport } from '../../app/net/node-transport.ts'
import type { TransportEvents } from '../../app/net/transport.ts'
import { isCode } from '../support/codes.ts'
import { eventually } from '../support/eventually.ts'

/** Remembers what a transport tells. */
class Events implements TransportEvents {
  readonly told: string[] = []
  readonly bytes: Buffer[] = []

  turnBegan(): void {}

  turnEnded(): void {}

  stalled(slot: number): void {
    this.told.push(`stalled ${slot}`)
  }

  opened(slot: number): void {
    this.told.push(`opened ${slot}`)
  }

  received(slot: number, bytes: Buffer, start: number, end: number): void {
    this.told.push(`received ${slot}`)
    this.bytes.push(Buffer.from(bytes.subarray(start, end)))
  }

  ended(slot: number): void {
    this.told.push(`ended ${slot}`)
  }

  drained(slot: number): void {
    this.told.push(`drained ${slot}`)
  }

  closed(slot: number): void {
    this.told.push(`closed ${slot}`)
  }

  acceptFailed(error: Error): void {
    this.told.push(`acceptFailed ${error.message}`)
  }

  count(event: string): number {
    return this.told.filter((told) => told === event).length
  }

  async until(event: string, count = 1): Promise<void> {
    await eventually(`${event} is told ${count} times`, () => this.count(event) >= count)
  }
}

const OPTIONS = { maxConnections: 100, refusal: Buffer.from('no'), maxBuffered: 1024 * 1024 }

interface Given {
  readonly events: Events
  readonly transport: NodeTransport
  readonly port: number
  readonly client: () => Socket
}

async function listening(context: TestContext): Promise<Given> {
  const events = new Events()
  const transport = new NodeTransport(events, OPTIONS)
  const { port } = await transport.listen({ host: '127.0.0.1', port: 0 })
  const clients: Socket[] = []
  context.after(() => {
    transport.stopListening()
    for (const client of clients) client.destroy()
    for (let slot = 0; slot < clients.length; slot++) transport.destroy(slot)
  })
  const client = (): Socket => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined)
    clients.push(socket)
    return socket
  }
  return { events, transport, port, client }
}

describe('the transport on node:net', () => {
  it('gives a slot that is free again to the next connection, and counts those that are open', async (context) => {
    const { events, transport, client } = await listening(context)
    for (let round = 1; round <= 5; round++) {
      const sockets = [client(), client()]
      await eventually('both are open', () => transport.connections === 2)
      for (const socket of sockets) socket.resetAndDestroy()
      await eventually('both are closed', () => transport.connections === 0)
      assert.deepEqual([events.count('opened 0'), events.count('opened 1'), events.told.length], [round, round, round * 4])
    }
  })

  it('gives the bytes back that the kernel takes, and keeps the others until they have left', async (context) => {
    const { events, transport, client } = await listening(context)
    const socket = client()
    let received = 0
    socket.pause().on('data', (chunk) => (received += chunk.byteLength))
    socket.pause()
    await events.until('opened 0')
    assert.equal(transport.write(0, Buffer.from('xsmallx'), 1, 6), true)
    const large = Buffer.alloc(30_000_000)
    assert.equal(transport.write(0, large, 0, large.byteLength), false)
    assert.equal(transport.write(0, Buffer.from('more'), 0, 4), false)
    assert.equal(events.count('drained 0'), 0)
    socket.resume()
    await events.until('drained 0')
    await eventually('all of it has come', () => received === 5 + 30_000_000 + 4)
    assert.equal(transport.write(0, Buffer.from('again'), 0, 5), true)
  })

  it('tells nothing of a drain for a connection that is gone', async (context) => {
    const { events, transport, client } = await listening(context)
    const socket = client().pause()
    await events.until('opened 0')
    transport.write(0, Buffer.alloc(30_000_000), 0, 30_000_000)
    socket.resetAndDestroy()
    await events.until('closed 0')
    assert.deepEqual(events.told, ['opened 0', 'closed 0'])
    assert.equal(transport.write(0, Buffer.from('x'), 0, 1), true, 'bytes to nobody are the caller’s again')
    assert.equal(transport.peerAddress(0), '')
  })

  it('ends its side after what is written, and still receives', async (context) => {
    const { events, transport, client } = await listening(context)
    const socket = client()
    let text = ''
    let ended = false
    socket.on('data', (chunk) => (text += chunk.toString())).on('end', () => (ended = true))
    await events.until('opened 0')
    assert.equal(transport.peerAddress(0), '127.0.0.1')
    transport.write(0, Buffer.from('last'), 0, 4)
    transport.end(0)
    await eventually('the end has come', () => ended)
    assert.equal(text, 'last')
    socket.end('late')
    await events.until('closed 0')
    assert.deepEqual(events.told, ['opened 0', 'received 0', 'ended 0', 'closed 0'])
    assert.equal(Buffer.concat(events.bytes).toString(), 'late')
  })

  it('keeps our side open when the peer ends its own', async (context) => {
    const { events, transport, client } = await listening(context)
    const socket = client()
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.end()
    await events.until('ended 0')
    transport.write(0, Buffer.from('answer'), 0, 6)
    transport.end(0)
    await events.until('closed 0')
    await eventually('the answer has come', () => text === 'answer')
  })

  it('receives nothing while it is paused, and all of it afterwards', async (context) => {
    const { events, transport, client } = await listening(context)
    const socket = client()
    await events.until('opened 0')
    transport.pause(0)
    const sent = Buffer.alloc(30_000_000, 'x')
    let taken = false
    socket.write(sent, () => (taken = true))
    const other = client()
    other.write('y')
    await events.until('received 1')
    assert.equal(events.count('received 0'), 0)
    assert.equal(taken, false)
    transport.resume(0)
    await eventually('it is taken', () => Buffer.concat(events.bytes).byteLength === sent.byteLength + 1)
  })

  it('accepts nobody after it has stopped to listen, and keeps those that it has', async (context) => {
    const { events, transport, port, client } = await listening(context)
    const socket = client()
    await events.until('opened 0')
    transport.stopListening()
    transport.stopListening()
    let error = ''
    connect({ port, host: '127.0.0.1' }).on('error', (reason) => (error = 'code' in reason ? String(reason.code) : ''))
    await eventually('it is refused', () => error === 'ECONNREFUSED')
    socket.write('x')
    await events.until('received 0')
  })

  it('says which port is in use', async (context) => {
    const { port } = await listening(context)
    await assert.rejects(
      () => new NodeTransport(new Events(), OPTIONS).listen({ host: '127.0.0.1', port }),
      (error) => isCode('NPP_PORT_IN_USE')(error) && String(error).includes(String(port)),
    )
  })

  it('says that an address is not of this machine', async () => {
    await assert.rejects(() => new NodeTransport(new Events(), OPTIONS).listen({ host: '192.0.2.1', port: 0 }), isCode('NPP_LISTEN_FAILED'))
  })
})
