import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { startTransportChild } from '../support/transport-child-process.ts'
import {
  client,
  descriptors,
  ECHO,
  folder,
  listening,
  REFUSED,
  send,
  TransportHost,
  turns,
  type TransportKind,
} from '../support/transport-host.ts'

/** Bytes that the kernel's send buffer grows to at the most. */
function sendBufferMost(): number {
  return Number(readFileSync('/proc/sys/net/ipv4/tcp_wmem', 'utf8').trim().split(/\s+/).at(-1))
}

/** What every Transport does where it must not or cannot go on. */
export function limitsContract(kind: TransportKind): void {
  describe(`${kind} transport: limits`, () => {
    it('cuts off a client for which more waits than is allowed, and no other', async (context) => {
      const maxBuffered = 128 * 1024
      // Where the transport counts what the kernel holds, that may be as much as the kernel takes.
      const inKernel = kind === 'node' || kind === 'tls' ? 0 : sendBufferMost()
      const host = await listening(context, kind, {}, { maxBuffered })
      const [one, other] = [await client(context, { port: host.port }), await client(context, { port: host.port })]
      await eventually('opened', () => host.slots.length === 2)
      one.socket.pause()
      const { arena } = host.transport
      const piece = Buffer.alloc(50_000, 'x')
      for (let written = 0; written < 500 && host.count('closed') === 0; written++) {
        // What is made in the transport's memory waits as copies; what the writer brings along he holds himself.
        host.transport.write(host.slots[0] ?? -1, arena ?? Buffer.from(piece), 0, piece.byteLength)
        await turns(1)
        assert.ok(host.transport.unsent(host.slots[0] ?? -1) <= maxBuffered + piece.byteLength + inKernel)
      }
      assert.deepEqual(host.told.slice(-1), [`closed ${host.slots[0]}`])
      send(host, host.slots[1] ?? -1, 'well')
      await other.says('well')
    })

    it('tells how much is unsent, which falls while a slow reader takes some', async (context) => {
      const host = await listening(context, kind)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      const slot = host.slots[0] ?? -1
      one.socket.pause()
      let most = 0
      one.socket.on('data', () => {
        if (one.bytes > most) one.socket.pause()
      })
      const big = Buffer.alloc(24 * 1024 * 1024)
      host.transport.write(slot, big, 0, big.byteLength)
      for (let step = 0; step < 3; step++) {
        const before = host.transport.unsent(slot)
        assert.ok(before > 0)
        most = one.bytes + 4 * 1024 * 1024
        one.socket.resume()
        await eventually('it takes some', () => one.bytes > most && host.transport.unsent(slot) < before)
      }
      most = Infinity
      one.socket.resume()
      await eventually('all has left', () => one.bytes === big.byteLength && host.transport.unsent(slot) === 0)
    })

    it('lets a refused client read what it is told, though its request comes late', async (context) => {
      const host = await listening(context, kind, ECHO, { maxConnections: 1 })
      await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      const refused = await client(context, { port: host.port })
      // A reset takes away what was received and not read: hence nothing is read before.
      refused.socket.pause()
      await new Promise((resolve) => {
        setTimeout(resolve, 200)
      })
      refused.socket.write('GET / HTTP/1.1\r\n\r\n')
      await turns(20)
      refused.socket.write('and more')
      await turns(20)
      refused.socket.resume()
      await eventually('refused', () => refused.ended || refused.closed)
      assert.equal(refused.text, REFUSED)
      assert.equal(refused.closed, false, 'no reset has come')
      refused.socket.end()
      await eventually('closed', () => refused.closed)
      assert.equal(host.count('opened'), 1)
    })

    it('lets go of refused clients that stay, and of the oldest where there are many', async (context) => {
      const before = descriptors()
      const host = await listening(context, kind, ECHO, { maxConnections: 1 })
      await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      const clients = await Promise.all(Array.from({ length: 80 }, () => client(context, { port: host.port })))
      await eventually('all are refused', () => clients.every((one) => one.ended || one.closed))
      // Two for each client that is open, of which 64 linger, and a few of the transport and of Node.
      assert.ok(descriptors() - before <= 81 + 1 + 64 + 10, `${descriptors() - before} descriptors more`)
      for (const one of clients) if (one.closed) assert.equal(one.text, REFUSED)
      await eventually('all are let go', () => descriptors() - before <= 81 + 1 + 10)
    })

    it('says what is wrong with the path of a Unix socket', async (context) => {
      const { transport } = new TransportHost(kind, {})
      context.after(() => transport.close())
      const inside = folder(context)
      const long = join(inside, 'x'.repeat(107 - inside.length))
      await assert.rejects(transport.listenUnix(long, 0o600), {
        code: 'NPP_LISTEN_FAILED',
        message: `cannot listen on ${long}: the path of a Unix socket has 107 bytes at the most, this one 108`,
      })
      await transport.listenUnix(long.slice(0, -1), 0o600)
      const nowhere = join(inside, 'nowhere', 'npp.sock')
      await assert.rejects(transport.listenUnix(nowhere, 0o600), {
        code: 'NPP_LISTEN_FAILED',
        message: `cannot listen on ${nowhere}: there is no folder ${join(inside, 'nowhere')}`,
      })
      const child = startTransportChild(context, undefined, kind, 'no-permission')
      assert.match(
        await child.report(),
        /^NPP_PORT_PERMISSION no permission to listen on \/.*: the user needs write permission in its folder$/,
      )
      assert.equal(await child.ended(), 0)
    })
  })
}
