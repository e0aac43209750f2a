import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { UNIX_PEER } from '../../app/net/transport.ts'
import { eventually } from '../support/eventually.ts'
import { startTransportChild } from '../support/transport-child-process.ts'
import {
  type Client,
  client,
  descriptors,
  ECHO,
  folder,
  listening,
  makeTransport,
  pattern,
  REFUSED,
  send,
  TransportHost,
  turns,
  type Hooks,
  type TransportKind,
} from '../support/transport-host.ts'

/** test/faults.c answers some sends with EAGAIN: then a stall and a drain are told where a kernel with room would give no reason for them. */
const isFaulty = process.env['NPP_TEST_FAULTS'] !== undefined

function isNative(kind: TransportKind): boolean {
  return kind === 'epoll' || kind === 'poll' || kind === 'select'
}

/** What the order test writes. */
function all(word: string): string {
  return Array.from({ length: 10 }, (_, round) => `<${word} ${round}>`).join('')
}

/** What every Transport does. */
export function transportContract(kind: TransportKind): void {
  describe(`${kind} transport: bytes`, () => {
    it('echoes, and tells of a connection from its opening to its end', async (context) => {
      const host = await listening(context, kind, ECHO)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      assert.equal(host.transport.connections, 1)
      const slot = host.slots[0] ?? -1
      assert.equal(host.transport.peerAddress(slot), '127.0.0.1')
      one.socket.write('hello')
      await one.says('hello')
      one.socket.end()
      await eventually('both are done', () => one.ended && host.open.size === 0)
      assert.deepEqual(
        isFaulty ? host.told.filter((told) => !/^(?:stalled|drained) /.test(told)) : host.told,
        ['opened', 'received', 'ended', 'closed'].map((word) => `${word} ${slot}`),
      )
      assert.equal(host.transport.connections, 0)
      assert.equal(host.transport.peerAddress(slot), '')
    })

    it('keeps the order of several writes, with those to others in between', async (context) => {
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          for (let round = 0; round < 10; round++) {
            for (const other of host.slots) send(host, other, `<${slot === other ? 'own' : 'other'} ${round}>`)
          }
          assert.equal(transport.connections, 3)
        },
      })
      const clients = [
        await client(context, { port: host.port }),
        await client(context, { port: host.port }),
        await client(context, { port: host.port }),
      ]
      await eventually('opened', () => host.slots.length === 3)
      clients[1]?.socket.write('go')
      await clients[0]?.says(all('other'))
      await clients[1]?.says(all('own'))
      await clients[2]?.says(all('other'))
      // One send a connection, however the writes were mixed: each arrives in one piece.
      if (isNative(kind) && !isFaulty)
        assert.deepEqual(
          clients.map((each) => each.chunks.length),
          [1, 1, 1],
        )
    })

    it('sends what is written outside of any event', async (context) => {
      const host = await listening(context, kind)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      send(host, host.slots[0] ?? -1, 'a')
      send(host, host.slots[0] ?? -1, 'b')
      setImmediate(() => send(host, host.slots[0] ?? -1, 'c'))
      await one.says('abc')
    })

    it('sends the part from start to end, and leaves the bytes to the caller where it answers true', async (context) => {
      const host = await listening(context, kind)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      const bytes = Buffer.from('0123456789')
      assert.equal(host.transport.write(host.slots[0] ?? -1, bytes, 3, 6), true)
      bytes.fill('x')
      assert.equal(host.transport.write(host.slots[0] ?? -1, bytes, 0, 0), true)
      await one.says('345')
    })

    it('holds a large write for a slow reader, and tells when it has left', async (context) => {
      const big = pattern(16 * 1024 * 1024)
      const host = await listening(context, kind, {
        received: (transport, slot) => assert.equal(transport.write(slot, big, 0, big.byteLength), false),
      })
      const one = await client(context, { port: host.port })
      one.socket.pause()
      one.socket.write('go')
      await eventually('received', () => host.count('received') === 1)
      await turns(50)
      assert.equal(host.count('drained'), 0)
      one.socket.resume()
      await eventually('all has come', () => one.bytes === big.byteLength)
      await eventually('drained', () => host.count('drained') === 1)
      assert.ok(Buffer.concat(one.chunks).equals(big))
    })

    it('keeps small writes for a slow reader, in order, and tells when they have left', async (context) => {
      const piece = pattern(10_000)
      let held = 0
      const hooks: Hooks = {
        received: (transport, slot) => {
          // What is held must not change: hence one buffer a write.
          for (let round = 0; round < 1200; round++) if (!transport.write(slot, Buffer.from(piece), 0, piece.byteLength)) held++
        },
      }
      // Native ones copy up to their bound, and have the writer hold the rest; the others count all of it.
      const host = await listening(context, kind, hooks, isNative(kind) ? {} : { maxBuffered: 1200 * piece.byteLength })
      const one = await client(context, { port: host.port })
      one.socket.pause()
      one.socket.write('go')
      await eventually('stalled', () => held + host.count('stalled') > 0)
      await turns(20)
      assert.equal(host.count('drained'), 0)
      one.socket.resume()
      await eventually('all has come', () => one.bytes === 1200 * piece.byteLength)
      await eventually('drained', () => host.count('drained') > 0)
      const all = Buffer.concat(one.chunks)
      for (let round = 0; round < 1200; round++) {
        assert.ok(all.subarray(round * piece.byteLength, (round + 1) * piece.byteLength).equals(piece), `piece ${round}`)
      }
      one.chunks = []
      send(host, host.slots[0] ?? -1, 'afterwards')
      await one.says('afterwards')
    })

    it('carries 32 MiB both ways at once', async (context) => {
      const total = 32 * 1024 * 1024
      const host = await listening(context, kind, {
        received: (transport, slot, bytes) => {
          if (!transport.write(slot, bytes, 0, bytes.byteLength)) transport.pause(slot)
        },
        stalled: (transport, slot) => transport.pause(slot),
        drained: (transport, slot) => transport.resume(slot),
        ended: (transport, slot) => transport.end(slot),
      })
      const one = await client(context, { port: host.port })
      const bytes = pattern(total)
      one.socket.end(bytes)
      await eventually('all has come back', () => one.ended)
      assert.ok(Buffer.concat(one.chunks).equals(bytes))
      await eventually('closed', () => host.open.size === 0)
    })

    it('serves clients that send a byte at a time', async (context) => {
      const host = await listening(context, kind, ECHO)
      const clients = await Promise.all(Array.from({ length: 5 }, () => client(context, { port: host.port })))
      for (let at = 0; at < 40; at++) {
        for (const [index, one] of clients.entries()) one.socket.write(String.fromCharCode(97 + ((at + index) % 26)))
        await turns(1)
      }
      for (const [index, one] of clients.entries()) {
        await one.says(Array.from({ length: 40 }, (_, at) => String.fromCharCode(97 + ((at + index) % 26))).join(''))
      }
    })

    it('reads nothing while paused, and goes on where it stopped', async (context) => {
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          if (host.count('received') === 1) transport.pause(slot)
        },
      })
      const one = await client(context, { port: host.port })
      one.socket.write('one')
      await eventually('received', () => host.count('received') === 1)
      one.socket.end('two')
      await turns(20)
      assert.equal(host.receivedBytes, 3)
      assert.equal(host.count('ended'), 0)
      host.transport.resume(host.slots[0] ?? -1)
      await eventually('the rest', () => host.receivedBytes === 6 && host.count('ended') === 1)
    })

    it('tells nothing of one that another’s event has paused', async (context) => {
      let paused = -1
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          if (paused !== -1) return
          paused = host.slots.find((other) => other !== slot) ?? -1
          transport.pause(paused)
        },
      })
      const [one, other] = [await client(context, { port: host.port }), await client(context, { port: host.port })]
      await eventually('opened', () => host.slots.length === 2)
      one.socket.write('same turn')
      other.socket.end('same turn')
      await eventually('received', () => host.count('received') === 1)
      await turns(20)
      assert.equal(host.count('received'), 1)
      assert.equal(host.count(`ended ${paused}`), 0)
      host.transport.resume(paused)
      await eventually('received', () => host.count('received') === 2)
    })
  })

  describe(`${kind} transport: ends`, () => {
    it('answers a client that has ended its side', async (context) => {
      const host = await listening(context, kind, {
        ended: (transport, slot) =>
          setTimeout(() => {
            send(host, slot, 'late answer')
            transport.end(slot)
          }, 20),
      })
      const one = await client(context, { port: host.port })
      one.socket.end('question')
      await eventually('answered', () => one.ended)
      assert.equal(one.text, 'late answer')
      await eventually('closed', () => host.open.size === 0)
    })

    it('sends what is unsent before its end, and still reads', async (context) => {
      const big = pattern(8 * 1024 * 1024)
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          if (host.count('received') > 1) return
          transport.write(slot, big, 0, big.byteLength)
          transport.end(slot)
          send(host, slot, 'after the end')
        },
      })
      const one = await client(context, { port: host.port })
      one.socket.write('go')
      await eventually('all and the end', () => one.ended)
      assert.equal(one.bytes, big.byteLength)
      assert.equal(host.open.size, 1)
      one.socket.write('still here')
      await eventually('received', () => host.receivedBytes === 12)
      one.socket.end()
      await eventually('closed', () => host.open.size === 0)
    })

    it('may be cut off from inside each event, and is told closed once, later', async (context) => {
      for (const word of ['opened', 'received', 'ended'] as const) {
        let isInside = false
        const host = await listening(context, kind, {
          [word]: (transport: TransportHost['transport'], slot: number) => {
            isInside = true
            transport.destroy(slot)
            transport.destroy(slot)
            send(host, slot, 'nothing')
            transport.end(slot)
            transport.pause(slot)
            transport.resume(slot)
            isInside = false
          },
          closed: () => assert.equal(isInside, false),
        })
        const one = await client(context, { port: host.port })
        one.socket.end('bytes')
        await eventually(`closed after ${word}`, () => host.count('closed') === 1 && one.closed)
        await turns(5)
        assert.equal(host.count('closed'), 1)
        assert.equal(one.bytes, 0)
      }
    })

    it('hears no more of one that another’s event has cut off', async (context) => {
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          for (const other of host.slots) if (other !== slot) transport.destroy(other)
        },
      })
      const clients = await Promise.all(Array.from({ length: 20 }, () => client(context, { port: host.port })))
      await eventually('opened', () => host.slots.length === 20)
      for (const one of clients) one.socket.write('same turn')
      await eventually('closed', () => host.open.size === 1)
      await turns(10)
      assert.equal(host.count('received'), 1)
    })

    it('takes a reset at each stage for an end', async (context) => {
      const big = pattern(16 * 1024 * 1024)
      const stages: Record<string, { hooks: Hooks; before: (one: Client, host: TransportHost) => Promise<void> }> = {
        'after accept': { hooks: {}, before: async () => undefined },
        'half a request sent': {
          hooks: {},
          before: async (one, host) => {
            one.socket.write('GET /hal')
            await eventually('received', () => host.count('received') === 1)
          },
        },
        'while the answer is awaited': {
          hooks: { received: (_, slot) => setTimeout(() => send(host(), slot, 'too late'), 30) },
          before: async (one, host) => {
            one.socket.write('GET')
            await eventually('received', () => host.count('received') === 1)
          },
        },
        'after its own end': {
          hooks: {},
          before: async (one, host) => {
            one.socket.end('GET')
            await eventually('ended', () => host.count('ended') === 1)
          },
        },
        'while the answer is half written': {
          hooks: { received: (transport, slot) => transport.write(slot, big, 0, big.byteLength) },
          before: async (one, host) => {
            one.socket.pause()
            one.socket.write('GET')
            await eventually('received', () => host.count('received') === 1)
            await turns(10)
          },
        },
        'after our end': {
          hooks: { received: (transport, slot) => transport.end(slot) },
          before: async (one) => {
            one.socket.write('GET')
            await eventually('ended', () => one.ended)
          },
        },
      }
      let current: TransportHost
      const host = (): TransportHost => current
      for (const [stage, { hooks, before }] of Object.entries(stages)) {
        current = await listening(context, kind, hooks)
        const one = await client(context, { port: current.port })
        await before(one, current)
        one.reset()
        const { open, slots } = current
        // node:net and select see the reset of a client that had ended its side at the next write only.
        if ((!isNative(kind) || kind === 'select') && stage === 'after its own end') {
          await turns(10)
          send(current, slots[0] ?? -1, 'too late')
        }
        await eventually(`closed, reset ${stage}`, () => slots.length <= 1 && open.size === 0)
        await turns(20)
        // By TLS it may be told open only now, as the client is through with the handshake first, and node:tls may take a reset right after that
        // for an end, and not even a write finds out: whoever is told of the end cuts it off.
        const now = host()
        await eventually(`each is told closed, reset ${stage}`, () => {
          if (kind === 'tls') for (const slot of open) if (now.told.includes(`ended ${slot}`)) now.transport.destroy(slot)
          return now.count('closed') === slots.length
        })
      }
    })

    it('opens and closes a thousand connections and leaks nothing', async (context) => {
      const host = await listening(context, kind, ECHO)
      const before = descriptors()
      for (let round = 0; round < 10; round++) {
        const clients = await Promise.all(Array.from({ length: 100 }, () => client(context, { port: host.port })))
        for (const one of clients) one.socket.write('x')
        await eventually('echoed', () => clients.every((one) => one.bytes === 1))
        for (const [index, one] of clients.entries()) {
          if (index % 3 === 0) one.socket.end()
          else if (index % 3 === 1) one.reset()
          else one.socket.destroy()
        }
        await eventually('closed', () => host.open.size === 0 && clients.every((one) => one.closed))
      }
      assert.equal(host.count('opened'), 1000)
      assert.equal(host.count('closed'), 1000)
      assert.equal(host.transport.connections, 0)
      await eventually('descriptors are given back', () => descriptors() <= before)
    })

    it('is closed once and twice, with connections open', async (context) => {
      const host = await listening(context, kind, ECHO)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      host.transport.close()
      host.transport.close()
      host.transport.stopListening()
      await eventually('the client sees it', () => one.closed || one.ended)
      assert.equal(host.count('closed'), 0)
      assert.equal(send(host, host.slots[0] ?? -1, 'nothing'), true)
      host.transport.destroy(host.slots[0] ?? -1)
      const late = await client(context, { port: host.port })
      assert.equal(late.closed, true)
    })

    it('goes on with the open ones when it listens no more', async (context) => {
      const host = await listening(context, kind, ECHO)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      host.transport.stopListening()
      one.socket.write('still')
      await one.says('still')
      assert.equal((await client(context, { port: host.port })).closed, true)
    })
  })

  describe(`${kind} transport: listening`, () => {
    it('refuses connections above its limit with the words it was given, and takes new ones later', async (context) => {
      const host = await listening(context, kind, ECHO, { maxConnections: 2 })
      const [one] = [await client(context, { port: host.port }), await client(context, { port: host.port })]
      await eventually('opened', () => host.slots.length === 2)
      const refused = await client(context, { port: host.port })
      refused.socket.write('GET / HTTP/1.1\r\n\r\n')
      await eventually('refused', () => refused.ended || refused.closed)
      assert.equal(refused.text, REFUSED)
      assert.equal(host.count('opened'), 2)
      one.socket.destroy()
      await eventually('closed', () => host.open.size === 1)
      const next = await client(context, { port: host.port })
      next.socket.write('room')
      await next.says('room')
    })

    it('says that the port is in use', async (context) => {
      const host = await listening(context, kind)
      const before = descriptors()
      const other = makeTransport(kind, host)
      context.after(() => other.close())
      const own = descriptors() - before
      await assert.rejects(other.listen({ host: '127.0.0.1', port: host.port }), {
        code: 'NPP_PORT_IN_USE',
        message: `port ${host.port} is in use on 127.0.0.1: stop the other process, or set NPP_HTTP_PORT to another port`,
      })
      await eventually('no socket stays open', () => descriptors() === before + own)
      other.close()
      await eventually('nothing stays open', () => descriptors() === before)
    })

    it('says that an address is not one of this machine', async (context) => {
      const transport = makeTransport(kind, new TransportHost(kind, {}))
      context.after(() => transport.close())
      await assert.rejects(transport.listen({ host: '192.0.2.1', port: 0 }), {
        code: 'NPP_LISTEN_FAILED',
        message: /^cannot listen on 192\.0\.2\.1:0: /,
      })
    })

    it('listens on several addresses, IPv6 with IPv4 among them', async (context) => {
      const host = await listening(context, kind, ECHO)
      const second = await host.transport.listen({ host: '127.0.0.1', port: 0 })
      const all = await host.transport.listen({ host: '::', port: 0 })
      assert.equal(all.host, '::')
      assert.notEqual(second.port, host.port)
      for (const [index, where] of [
        { port: host.port },
        { port: second.port },
        { port: all.port, host: '127.0.0.1' },
        { port: all.port, host: '::1' },
      ].entries()) {
        const one = await client(context, where)
        one.socket.write(`to ${index}`)
        await one.says(`to ${index}`)
      }
      assert.deepEqual(
        host.slots.map((slot) => host.transport.peerAddress(slot)),
        ['127.0.0.1', '127.0.0.1', '::ffff:127.0.0.1', '::1'],
      )
      host.transport.stopListening()
      for (const { port } of [host, second, all]) assert.equal((await client(context, { port, host: '127.0.0.1' })).closed, true)
    })

    it('listens on a Unix socket with its mode, in place of a stale one, and removes it', async (context) => {
      const path = join(folder(context), 'npp.sock')
      const first = new TransportHost(kind, ECHO)
      context.after(() => first.transport.close())
      assert.deepEqual(await first.transport.listenUnix(path, 0o660), { host: path, port: 0 })
      assert.equal(statSync(path).mode & 0o777, 0o660)
      const one = await client(context, { path })
      one.socket.write('by file')
      await one.says('by file')
      assert.equal(first.transport.peerAddress(first.slots[0] ?? -1), UNIX_PEER)

      const { transport: second } = new TransportHost(kind, ECHO)
      context.after(() => second.close())
      await assert.rejects(second.listenUnix(path, 0o600), { code: 'NPP_PORT_IN_USE' })
      first.transport.stopListening()
      await eventually('the file is removed', () => !existsSync(path))

      // A socket file whose process has ended stays behind.
      leaveStaleSocket(path)
      assert.ok(statSync(path).isSocket())
      await second.listenUnix(path, 0o600)
      assert.equal(statSync(path).mode & 0o777, 0o600)
      assert.equal((await client(context, { path })).connected, true)

      const file = `${path}.txt`
      writeFileSync(file, 'kept')
      await assert.rejects(second.listenUnix(file, 0o600), { code: 'NPP_PORT_IN_USE' })
      assert.ok(statSync(file).isFile())
    })

    it('listens on a descriptor that it has inherited', async (context) => {
      const server: Server = createServer()
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve)
      })
      context.after(() => server.close())
      const handle: unknown = Reflect.get(server, '_handle')
      const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
      assert.ok(typeof descriptor === 'number')
      const child = startTransportChild(context, descriptor, kind, 'adopt')
      const port = Number(await child.report())
      const bound = server.address()
      assert.equal(port, typeof bound === 'object' ? bound?.port : undefined)
      server.close()
      const one = await client(context, { port })
      one.socket.end('inherited')
      await eventually('echoed', () => one.ended)
      assert.equal(one.text, 'inherited')
      assert.equal(await child.report(), 'NPP_LISTEN_FAILED')
      assert.equal(await child.ended(), 0)
    })
  })

  describe(`${kind} transport: the process around it`, () => {
    it('lets timers and promises have their turn while traffic runs', async (context) => {
      const host = await listening(context, kind, ECHO)
      const clients = await Promise.all(Array.from({ length: 4 }, () => client(context, { port: host.port })))
      let running = true
      for (const one of clients) one.socket.on('data', () => running && one.socket.write('again'))
      for (const one of clients) one.socket.write('start')
      let ticks = 0
      const timer = setInterval(() => ticks++, 5)
      await eventually('timers run beside traffic', () => ticks >= 20 && clients.every((one) => one.bytes > 1000))
      running = false
      clearInterval(timer)
    })

    it('uses no CPU while nothing happens', async (context) => {
      const used = Number(await startTransportChild(context, undefined, kind, 'idle').report())
      assert.ok(used < 20, `${used} ms of CPU in a second of idleness`)
    })

    it('lets exceptions of a listener out at the top, and tells the others', async (context) => {
      const child = startTransportChild(context, undefined, kind, 'throw')
      assert.equal(await child.report(), 'closed closed closed closed closed closed closed closed received received received received')
      assert.equal(await child.ended(), 0)
    })

    it('goes on when every event throws, each time', async (context) => {
      const child = startTransportChild(context, undefined, kind, 'throw-always', 200)
      const port = Number(await child.report())
      const clients = [await client(context, { port }), await client(context, { port }), await client(context, { port })]
      for (let round = 0; round < 3; round++) {
        for (const one of clients) one.socket.write(`round ${round} `)
        for (const one of clients) await one.says(Array.from({ length: round + 1 }, (_, index) => `round ${index} `).join(''))
      }
      const slow = await client(context, { port })
      slow.socket.pause()
      slow.socket.write('big')
      await turns(100)
      slow.socket.resume()
      await eventually('all has come', () => slow.bytes === 3 + 1200 * 10_000)
      slow.socket.end()
      await eventually('it is ended', () => slow.ended)
      for (const one of clients) one.reset()
      await eventually('all are closed', async () => (await child.ask('open')) === '0')
      // Streams tell no turns, and of a stall by what `write` answers; node:net has a spare descriptor of its own.
      const events = ['closed', 'drained', 'ended', 'opened', 'received']
      if (isNative(kind)) {
        events.push('acceptFailed', 'stalled', 'turnBegan', 'turnEnded')
        child.limit(8)
        const waiting = await client(context, { port })
        waiting.socket.write('waited')
        await eventually('it is told', async () => (await child.ask('thrown')).includes('acceptFailed'))
        child.limit(200)
        await waiting.says('waited')
      }
      assert.deepEqual(
        (await child.ask('thrown')).split(' '),
        events.toSorted((one, other) => one.localeCompare(other)),
      )
      child.process.send('end')
      assert.equal(await child.ended(), 0)
    })

    it('ends a process with an exception that nobody hears', async (context) => {
      assert.equal(await startTransportChild(context, undefined, kind, 'unheard').ended(), 1)
    })

    it('lets the process end when it listens no more', async (context) => {
      assert.equal(await startTransportChild(context, undefined, kind, 'ends').ended(), 0)
    })
  })
}

/** A socket file on which nobody listens: what a process that was killed leaves behind. */
function leaveStaleSocket(path: string): void {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', program])
}
