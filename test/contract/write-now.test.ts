import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, constants } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { addon } from '../../native/addon.ts'
import { writeNow } from '../../native/index.ts'

const BYTES = Buffer.from('0123456789')

/** A pipe with a name, both ends open and reading without waiting. */
function pipe(context: TestContext): { readonly from: number; readonly to: number } {
  const folder = mkdtempSync(join(tmpdir(), 'npp-write-now-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'pipe')
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
  const from = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const to = openSync(path, constants.O_WRONLY)
  context.after(() => closeSync(to))
  return { from, to }
}

describe('writeNow', () => {
  it('writes that part of the bytes to a pipe, and says how much it took', (context) => {
    const { from, to } = pipe(context)
    context.after(() => closeSync(from))
    assert.equal(writeNow(to, BYTES, 2, 6), 4)
    const into = Buffer.alloc(100)
    assert.equal(readSync(from, into), 4)
    assert.equal(into.toString('latin1', 0, 4), '2345')
    assert.equal(writeNow(to, BYTES, 3, 3), 0)
    assert.equal(writeNow(to, new Uint8Array(0), 0, 0), 0)
  })

  it('does not wait for a reader that does not read, though the pipe is one that waits', (context) => {
    const { from, to } = pipe(context)
    context.after(() => closeSync(from))
    const much = Buffer.alloc(64 * 1024)
    let taken = 0
    for (let now = writeNow(to, much, 0, much.length); now > 0; now = writeNow(to, much, 0, much.length)) taken += now
    assert.ok(taken >= 4096)
    assert.equal(writeNow(to, BYTES, 0, 1), -11 /* EAGAIN */)
  })

  it('tells of a reader that is gone, and of a descriptor that is none', (context) => {
    const { from, to } = pipe(context)
    closeSync(from)
    assert.equal(writeNow(to, BYTES, 0, 1), -32 /* EPIPE */)
    assert.equal(writeNow(2 ** 31 - 1, BYTES, 0, 1), -9 /* EBADF */)
  })

  it('does not wait for the other end of a socket either', async (context) => {
    const server = createServer().listen(0, '127.0.0.1')
    context.after(() => server.close())
    await once(server, 'listening')
    const address = server.address()
    assert.ok(typeof address === 'object' && address !== null)
    const client = connect(address.port, '127.0.0.1')
    context.after(() => client.destroy())
    const [[peer]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
    assert.ok(isSocket(peer))
    context.after(() => peer.destroy())
    peer.pause()
    const handle: unknown = Reflect.get(client, '_handle')
    const descriptor: unknown = typeof handle === 'object' && handle !== null && 'fd' in handle ? handle.fd : undefined
    assert.ok(typeof descriptor === 'number')
    const much = Buffer.alloc(1024 * 1024)
    let now = 1
    for (let writes = 0; now > 0 && writes < 1000; writes++) now = writeNow(descriptor, much, 0, much.length)
    assert.equal(now, -11 /* EAGAIN */)
  })

  it('refuses arguments that are none', () => {
    const native: unknown = Reflect.get(addon(), 'writeNow')
    assert.ok(typeof native === 'function')
    const refused: readonly (readonly unknown[])[] = [
      [],
      [1, BYTES, 0],
      [-1, BYTES, 0, 1],
      [0.5, BYTES, 0, 1],
      [2 ** 31, BYTES, 0, 1],
      ['1', BYTES, 0, 1],
      [1, 'text', 0, 1],
      [1, new Uint16Array(4), 0, 1],
      [1, new DataView(new ArrayBuffer(4)), 0, 1],
      [1, BYTES, 0, 11],
      [1, BYTES, 2, 1],
      [1, BYTES, -1, 1],
      [1, BYTES, 0, Number.NaN],
      [1, BYTES, Number.NaN, 1],
    ]
    for (const given of refused) assert.throws(() => Reflect.apply(native, undefined, given), { code: 'NPP_WRITE_ARGUMENT' }, String(given))
  })
})

function isSocket(value: unknown): value is Socket {
  return typeof value === 'object' && value !== null && 'pause' in value && 'destroy' in value
}
