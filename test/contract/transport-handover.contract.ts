import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { eventually } from '../support/eventually.ts'
import { client, listening, pattern, send, turns, type TransportHost, type TransportKind } from '../support/transport-host.ts'

/** An open file without a name; whoever wants it closed earlier takes it out of the list. */
function file(context: TestContext, bytes: Buffer, open: Set<number> = new Set()): number {
  const path = mkdtempSync(join(tmpdir(), 'npp-'))
  const descriptor = openSync(join(path, 'file'), 'w+')
  rmSync(path, { recursive: true })
  writeSync(descriptor, bytes)
  open.add(descriptor)
  context.after(() => {
    for (const each of open) closeSync(each)
  })
  return descriptor
}

/** Takes a detached socket over: an echo that ends when its peer does. */
function echo(context: TestContext, socket: Socket): void {
  context.after(() => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => socket.write(chunk))
  socket.on('end', () => socket.end())
  socket.resume()
}

function assertNothingHeld({ transport }: TransportHost): void {
  assert.equal(transport.connections, 0)
  if (!(transport instanceof NativeTransport)) return
  const { connections, keptBytes, heldBuffers } = transport.counters
  assert.deepEqual({ connections, keptBytes, heldBuffers }, { connections: 0, keptBytes: 0, heldBuffers: 0 })
}

/** What every Transport does with what it hands over, and with files that it is handed. */
export function handoverContract(kind: TransportKind): void {
  describe(`${kind} transport: connections that are detached`, () => {
    it('go on as sockets in both directions, and are none of its own any more', async (context) => {
      let isTaken = false
      const host = await listening(context, kind, {
        received: (transport, slot, bytes) => {
          if (isTaken) return
          const found = transport.detach(slot)
          assert.ok(found !== undefined)
          isTaken = true
          assert.equal(transport.detach(slot), undefined)
          assert.equal(transport.write(slot, bytes, 0, bytes.byteLength), true)
          transport.destroy(slot)
          found.socket.write(`${bytes.toString()}|${found.unread.toString()}|`)
          echo(context, found.socket)
        },
      })
      const one = await client(context, { port: host.port })
      one.socket.write('upgrade')
      await one.says('upgrade||')
      await eventually('closed is told', () => host.open.size === 0)
      assertNothingHeld(host)
      one.socket.write('beyond')
      await one.says('upgrade||beyond')
      assert.equal(host.receivedBytes, 7)
      const big = pattern(4 * 1024 * 1024)
      one.chunks = []
      one.socket.end(big)
      await eventually('all has come back', () => one.ended)
      assert.ok(Buffer.concat(one.chunks).equals(big))
      await turns(5)
      assert.equal(host.count('closed'), 1)
      assert.equal(host.count('ended'), 0)
    })

    it('leave their slot to another', async (context) => {
      const detached: Socket[] = []
      const host = await listening(context, kind, {
        received: (transport, slot, bytes) => {
          if (bytes.toString() !== 'upgrade') transport.write(slot, bytes, 0, bytes.byteLength)
          else {
            const found = transport.detach(slot)
            if (found === undefined) return
            detached.push(found.socket)
            echo(context, found.socket)
          }
        },
      })
      const clients = []
      for (let round = 0; round < 3; round++) {
        const one = await client(context, { port: host.port })
        one.socket.write('upgrade')
        await eventually('detached', () => detached.length === round + 1 && host.open.size === 0)
        clients.push(one)
      }
      const next = await client(context, { port: host.port })
      next.socket.write('served')
      await next.says('served')
      assert.deepEqual(new Set(host.slots).size, 1, 'all had the same slot')
      for (const [index, one] of clients.entries()) {
        one.socket.write(`still ${index}`)
        await one.says(`still ${index}`)
      }
      host.transport.close()
      for (const [index, one] of clients.entries()) {
        one.socket.write(' and after')
        await one.says(`still ${index} and after`)
        one.socket.end()
        await eventually('the other end follows', () => one.ended)
      }
    })

    it('take along what was read and not told, or leave it in the socket', async (context) => {
      let text = ''
      const host = await listening(context, kind, {
        opened: (transport, slot) => transport.pause(slot),
        received: () => assert.fail('it is paused'),
      })
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      one.socket.write('ahead of the upgrade')
      await turns(20)
      const found = host.transport.detach(host.slots[0] ?? -1)
      assert.ok(found !== undefined)
      text += found.unread.toString()
      found.socket.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      context.after(() => found.socket.destroy())
      found.socket.resume()
      one.socket.write(', and behind it')
      await eventually('all is there, once', () => text === 'ahead of the upgrade, and behind it')
    })

    it('lose nothing that came in one piece with what another’s event has paused', async (context) => {
      let text = ''
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          const other = host.slots.find((each) => each !== slot) ?? -1
          transport.pause(other)
          setImmediate(() => {
            const found = transport.detach(other)
            if (found === undefined) return
            text += found.unread.toString()
            found.socket.on('data', (chunk: Buffer) => {
              text += chunk.toString()
            })
            context.after(() => found.socket.destroy())
            found.socket.resume()
          })
        },
      })
      const clients = [await client(context, { port: host.port }), await client(context, { port: host.port })]
      await eventually('opened', () => host.open.size === 2)
      for (const one of clients) one.socket.write('both')
      await eventually('the other’s bytes are there', () => text === 'both')
    })

    it('are not handed over while output waits, nor when they have ended', async (context) => {
      const host = await listening(context, kind)
      const one = await client(context, { port: host.port })
      await eventually('opened', () => host.slots.length === 1)
      const slot = host.slots[0] ?? -1
      const big = pattern(16 * 1024 * 1024)
      one.socket.pause()
      assert.equal(host.transport.write(slot, big, 0, big.byteLength), false)
      assert.equal(host.transport.detach(slot), undefined)
      one.socket.resume()
      await eventually('drained', () => host.count('drained') === 1)
      host.transport.end(slot)
      assert.equal(host.transport.detach(slot), undefined)
      await eventually('all has come', () => one.ended && one.bytes === big.byteLength)
      assert.equal(host.transport.detach(1000), undefined)
    })
  })

  describe(`${kind} transport: files`, () => {
    it('arrive whole at a slow reader, between other bytes', async (context) => {
      const bytes = pattern(20 * 1024 * 1024)
      const open = new Set<number>()
      const descriptor = file(context, bytes, open)
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          send(host, slot, 'head ')
          assert.equal(transport.sendFile(slot, descriptor, 1000, bytes.byteLength - 1000), false)
          send(host, slot, ' middle ')
          assert.equal(transport.sendFile(slot, descriptor, 0, 1000), false)
          send(host, slot, ' tail')
          assert.ok(transport.unsent(slot) > bytes.byteLength - 8 * 1024 * 1024)
        },
        drained: () => {
          // It is ours again: nothing of the transport may need it. What is sent afterwards may have to wait, and be told of, too.
          if (open.delete(descriptor)) closeSync(descriptor)
        },
      })
      const one = await client(context, { port: host.port })
      one.socket.on('data', () => {
        one.socket.pause()
        setImmediate(() => one.socket.resume())
      })
      one.socket.write('go')
      await eventually('all of it', () => one.bytes >= bytes.byteLength + 18 && open.size === 0, 30_000)
      const all = Buffer.concat(one.chunks)
      const expected = [Buffer.from('head '), bytes.subarray(1000), Buffer.from(' middle '), bytes.subarray(0, 1000), Buffer.from(' tail')]
      assert.ok(all.equals(Buffer.concat(expected)))
      one.chunks = []
      send(host, host.slots[0] ?? -1, 'afterwards')
      await one.says('afterwards')
      one.reset()
      await eventually('closed', () => host.open.size === 0)
      assertNothingHeld(host)
    })

    it('go before the end of our side, while the peer’s bytes are paused', async (context) => {
      const bytes = pattern(3 * 1024 * 1024)
      const descriptor = file(context, bytes)
      const host = await listening(context, kind, {
        received: (transport, slot) => {
          if (host.count('received') > 1) return
          transport.pause(slot)
          transport.sendFile(slot, descriptor, 0, bytes.byteLength)
          transport.end(slot)
          send(host, slot, 'after the end')
        },
      })
      const one = await client(context, { port: host.port })
      one.socket.write('go')
      await eventually('received', () => host.count('received') === 1)
      one.socket.write('more')
      await eventually('all and the end', () => one.ended)
      assert.ok(Buffer.concat(one.chunks).equals(bytes))
      assert.equal(host.receivedBytes, 2)
      host.transport.resume(host.slots[0] ?? -1)
      await eventually('the rest', () => host.receivedBytes === 6)
    })

    it('close the connection where they are shorter than was said, or cannot be read', async (context) => {
      const bytes = pattern(1000)
      const shrinking = file(context, bytes)
      const directory = openSync('/', 'r')
      context.after(() => closeSync(directory))
      for (const [descriptor, offset] of [
        [file(context, bytes), 500],
        [shrinking, 0],
        [directory, 0],
      ] as const) {
        const host = await listening(context, kind, {
          received: (transport, slot) => {
            transport.sendFile(slot, descriptor, offset, 1000)
            send(host, slot, 'not this')
          },
        })
        if (descriptor === shrinking) ftruncateSync(shrinking, 10)
        const one = await client(context, { port: host.port })
        one.socket.write('go')
        await eventually('closed', () => host.count('closed') === 1 && (one.closed || one.ended))
        assert.ok(!one.text.includes('not this'))
      }
    })

    it('are let go of when the client is gone', async (context) => {
      const bytes = pattern(8 * 1024 * 1024)
      const descriptor = file(context, bytes)
      const host = await listening(context, kind, {
        received: (transport, slot) => assert.equal(transport.sendFile(slot, descriptor, 0, bytes.byteLength), false),
      })
      const one = await client(context, { port: host.port })
      one.socket.pause()
      one.socket.write('go')
      await eventually('received', () => host.count('received') === 1)
      await turns(10)
      one.reset()
      await eventually('closed', () => host.open.size === 0)
      assertNothingHeld(host)
      assert.equal(host.transport.sendFile(host.slots[0] ?? -1, descriptor, 0, 1), true)
      assert.equal(host.count('drained'), 0)
    })
  })
}
