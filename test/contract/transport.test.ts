import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { openNet } from '../../native/index.ts'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { eventually } from '../support/eventually.ts'
import { startTransportChild } from '../support/transport-child-process.ts'
import { client, listening, POLLERS, TRANSPORTS, turns, type TransportHost } from '../support/transport-host.ts'
import { handoverContract } from './transport-handover.contract.ts'
import { limitsContract } from './transport-limits.contract.ts'
import { transportContract } from './transport.contract.ts'

for (const kind of TRANSPORTS) {
  transportContract(kind)
  handoverContract(kind)
  limitsContract(kind)
}

const URGENT = `
import socket, sys, time
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)
s.sendall(b'go')
time.sleep(0.1)
s.sendall(b'ab')
s.send(b'!', socket.MSG_OOB)
s.sendall(b'cd')
read = b''
while len(read) < 6:
  read += s.recv(6)
sys.stdout.write(read.decode())
`

function native(host: TransportHost): NativeTransport {
  if (host.transport instanceof NativeTransport) return host.transport
  throw new Error('not a native transport')
}

for (const kind of POLLERS) {
  describe(`${kind} transport: what the native one counts and adds`, () => {
    // tcp(7): a read stops before urgent data, with more behind it. Node cannot send any.
    it('reads on behind urgent data', async (context) => {
      if (spawnSync('python3', ['--version']).status !== 0) {
        context.diagnostic('not looked at: there is no python3')
        return
      }
      const host = await listening(context, kind, {
        received: (transport, slot, bytes) => {
          transport.write(slot, bytes, 0, bytes.byteLength)
          // What comes meanwhile is there all at once.
          if (bytes.toString() === 'go') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
        },
      })
      const python = spawn('python3', ['-c', URGENT, String(host.port)], { stdio: ['ignore', 'pipe', 'ignore'] })
      context.after(() => python.kill())
      let read = ''
      python.stdout.setEncoding('utf8').on('data', (text: string) => (read += text))
      await once(python, 'close')
      assert.equal(read, 'goabcd')
    })

    it('counts, and is empty in the end', async (context) => {
      const big = Buffer.alloc(8 * 1024 * 1024)
      const host = await listening(
        context,
        kind,
        { received: (transport, slot) => transport.write(slot, big, 0, big.byteLength) },
        { maxConnections: 3 },
      )
      const transport = native(host)
      const clients = [
        await client(context, { port: host.port }),
        await client(context, { port: host.port }),
        await client(context, { port: host.port }),
      ]
      await eventually('opened', () => host.open.size === 3)
      const refused = await client(context, { port: host.port })
      await eventually('refused', () => refused.ended || refused.closed)
      for (const one of clients) one.socket.pause()
      for (const one of clients) one.socket.write('go')
      await eventually('held', () => transport.counters.heldBuffers === 3)
      const { lingering, ...counters } = transport.counters
      assert.deepEqual(counters, { connections: 3, highWater: 3, accepted: 3, refused: 1, keptBytes: 0, heldBuffers: 3 })
      assert.ok(lingering <= 1)
      clients[0]?.reset()
      clients[1]?.socket.resume()
      transport.destroy(host.slots[2] ?? -1)
      await eventually('two gone, one drained', () => transport.counters.heldBuffers === 0 && transport.counters.connections === 1)
      clients[1]?.socket.destroy()
      host.transport.end(host.slots[1] ?? -1)
      await eventually('empty', () => transport.counters.connections === 0)
      assert.equal(transport.counters.keptBytes, 0)
    })

    it('counts the refused that linger, and lets go of them when descriptors run out', async (context) => {
      const child = startTransportChild(context, undefined, kind, 'linger', 64)
      assert.equal(await child.report(), 'lingering 5')
      assert.equal(await child.report(), 'opened 2, lingering 0')
      assert.equal(await child.ended(), 0)
    })

    it('keeps copies within bounds, and counts them back', async (context) => {
      const host = await listening(context, kind)
      const transport = native(host)
      const one = await client(context, { port: host.port })
      one.socket.pause()
      await eventually('opened', () => host.open.size === 1)
      const slot = host.slots[0] ?? -1
      const piece = Buffer.alloc(60_000)
      let written = 0
      for (let held = 0; held < 20; written++) if (!transport.write(slot, Buffer.from(piece), 0, piece.byteLength)) held++
      assert.ok(transport.counters.keptBytes <= 1024 * 1024, String(transport.counters.keptBytes))
      assert.ok(transport.counters.heldBuffers >= 19)
      one.socket.resume()
      await eventually('all', () => one.bytes === written * piece.byteLength)
      await eventually('nothing kept', () => transport.counters.keptBytes === 0 && transport.counters.heldBuffers === 0)
    })

    it('neither spins nor stops for good when descriptors run out', async (context) => {
      const child = startTransportChild(context, undefined, kind, 'exhaust', 64)
      assert.equal(await child.report(), 'exhausted')
      const [, used] = (await child.report()).split(' ')
      assert.ok(Number(used) < 200, `${used} ms of CPU in a second`)
      assert.equal(await child.report(), 'served again')
      assert.equal(await child.ended(), 0)
    })

    it('works in worker threads, and goes with them', async () => {
      const program = `
        const { workerData, parentPort } = require('node:worker_threads')
        import(workerData.module).then(async ({ listening, client }) => {
          const host = await listening({ after() {} }, workerData.kind, { received: (t, slot, bytes) => t.write(slot, bytes, 0, bytes.length) })
          const one = await client({ after() {} }, { port: host.port })
          one.socket.write('x')
          await one.says('x')
          parentPort.postMessage(host.port)
        })`
      const workerData = { module: new URL('../support/transport-host.js', import.meta.url).href, kind }
      for (let round = 0; round < 3; round++) {
        const worker = new Worker(program, { eval: true, workerData })
        const port = await new Promise<unknown>((resolve, reject) => {
          worker.once('message', resolve)
          worker.once('error', reject)
        })
        assert.equal(typeof port, 'number')
        await worker.terminate()
      }
    })
  })
}

describe('select transport: its limit', () => {
  it('refuses descriptors beyond FD_SETSIZE, and says so', async (context) => {
    const child = startTransportChild(context, undefined, 'select', 'beyond-select', 4096)
    assert.equal(await child.report(), 'HTTP/1.1 503 Service Unavailable')
    assert.match(
      await child.report(),
      /select watches descriptors below 1024 \(FD_SETSIZE\), and the listener's is \d+; set polling to epoll or poll/,
    )
    assert.equal(
      await child.report(),
      'NPP_LISTEN_FAILED cannot listen: select watches descriptors below 1024 (FD_SETSIZE), and this process has all of them in use; set polling to epoll or poll',
    )
    assert.equal(await child.report(), '1')
    assert.equal(await child.ended(), 0)
  })
})

describe('native net: arguments', () => {
  const refusal = Buffer.from('no')
  const opening = { polling: 'epoll', capacity: 4, refusal, maxBuffered: 1024 } as const

  it('refuses what makes no sense', () => {
    for (const wrong of [{ capacity: 0 }, { capacity: 1.5 }, { capacity: 2 ** 30 }, { refusal: Buffer.alloc(5000) }, { maxBuffered: -1 }]) {
      assert.throws(() => openNet({ ...opening, ...wrong }, () => undefined), { code: 'NPP_NET_ARGUMENT' })
    }
    const net = openNet(opening, () => undefined)
    const refused = { code: 'NPP_NET_ARGUMENT' }
    const bytes = Buffer.alloc(10)
    for (const [slot, start, end] of [
      [-1, 0, 1],
      [0.5, 0, 1],
      [0, 2, 1],
      [0, 0, 11],
      [0, Number.NaN, 1],
    ] as const) {
      assert.throws(() => net.send(slot, bytes, start, end), refused)
    }
    assert.throws(() => net.sendFile(0, -1, 0, 1), refused)
    assert.throws(() => net.sendFile(0, 0, Number.MAX_SAFE_INTEGER, 1), refused)
    assert.throws(() => net.listen('', 1, 1), refused)
    assert.throws(() => net.listen('127.0.0.1', 65_536, 1), refused)
    assert.throws(() => net.listenUnix('/a\0b', 0o600, 1), refused)
    assert.throws(() => net.listenUnix('/tmp/x', 0o1000, 1), refused)
    assert.equal(net.send(3, bytes, 0, 10), 0, 'a slot that is not open takes what it is given')
    net.commands.fill(-1)
    assert.equal(net.execute(100), 0, 'commands of no kind to slots that are none')
    net.close()
    net.close()
    assert.throws(() => net.send(0, bytes, 0, 1), { code: 'NPP_NET_CLOSED' })
  })

  it('is collected when nobody has it', async () => {
    for (let round = 0; round < 50; round++) openNet(opening, () => undefined)
    globalThis.gc?.()
    await turns(3)
  })
})
