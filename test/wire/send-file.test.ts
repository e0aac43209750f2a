import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Limits } from '../../shared/limits.ts'
import { eventually } from '../support/eventually.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'
import { rawClient } from '../support/raw-client.ts'

const LARGE_BYTES = 20 * 1024 * 1024

/** Bytes that tell their place, so that one lost or doubled shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 17 + (at >> 16)) & 0xff
  return bytes
}

describe('res.sendFile', () => {
  let npp: Instance
  const folder = mkdtempSync(join(tmpdir(), 'npp-'))
  const files = new Map([
    ['empty', Buffer.alloc(0)],
    ['small', pattern(100)],
    ['read', pattern(Limits.fileReadBytes)],
    ['sent', pattern(Limits.fileReadBytes + 1)],
    ['large', pattern(LARGE_BYTES)],
  ])

  before(async () => {
    for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
    mkdirSync(join(folder, 'folder'))
    assert.equal(spawnSync('mkfifo', [join(folder, 'fifo')]).status, 0)
    writeFileSync(join(folder, 'secret'), 'x', { mode: 0 })
    npp = await startInstance(`${SITES}faults`, {})
  })

  after(async () => {
    rmSync(folder, { recursive: true, force: true })
    assert.equal(await npp.stop(), 0)
  })

  const get = (name: string, method = 'GET', lines = ''): string =>
    `${method} /file?path=${encodeURIComponent(join(folder, name))} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`

  /** Files of the folder that the engine has open. */
  function open(): string[] {
    return readdirSync(`/proc/${npp.pid}/fd`).filter((descriptor) => {
      try {
        return readlinkSync(`/proc/${npp.pid}/fd/${descriptor}`).startsWith(folder)
      } catch {
        return false // Closed between the listing and the look.
      }
    })
  }

  for (const [name, bytes] of files) {
    it(`sends a file of ${bytes.byteLength} bytes, and the next answer behind it`, async (context) => {
      const client = await rawClient(context, npp.port)
      client.send(get(name) + get('small') + get(name))
      for (const expected of [bytes, files.get('small'), bytes]) {
        const answer = await client.answer()
        assert.deepEqual([answer.status, answer.fields.get('content-type')], [200, 'application/octet-stream'])
        assert.ok(answer.body.equals(expected ?? Buffer.alloc(1)))
      }
      await eventually('no file is open', () => open().length === 0)
    })

    it(`answers HEAD with the length of ${bytes.byteLength} bytes`, async (context) => {
      const client = await rawClient(context, npp.port)
      const answer = await client.send(get(name, 'HEAD')).answer(true)
      assert.deepEqual([answer.status, answer.fields.get('content-length')], [200, String(bytes.byteLength)])
      assert.equal((await client.send(get('small')).answer()).body.byteLength, 100)
      await eventually('no file is open', () => open().length === 0)
    })
  }

  it('sends the whole file before it closes', async (context) => {
    const client = await rawClient(context, npp.port)
    client.send(get('large', 'GET', 'Connection: close\r\n'))
    const answer = await client.answer()
    assert.equal(answer.fields.get('connection'), 'close')
    assert.ok(answer.body.equals(files.get('large') ?? Buffer.alloc(0)))
    assert.equal(await client.rest(), '')
    await eventually('no file is open', () => open().length === 0)
  })

  it('waits for a client that reads slowly, and serves others meanwhile', async (context) => {
    const client = await rawClient(context, npp.port)
    client.socket.pause()
    client.send(get('large'))
    await eventually('it is being sent', () => open().length === 1)
    const other = await rawClient(context, npp.port)
    assert.equal((await other.send(get('small')).answer()).body.byteLength, 100)
    client.socket.resume()
    assert.ok((await client.answer()).body.equals(files.get('large') ?? Buffer.alloc(0)))
    await eventually('no file is open', () => open().length === 0)
  })

  it('closes the file of a client that leaves', async (context) => {
    const client = await rawClient(context, npp.port)
    client.socket.pause()
    client.send(get('large'))
    await eventually('it is being sent', () => open().length === 1)
    client.socket.resetAndDestroy()
    await eventually('no file is open', () => open().length === 0)
  })

  const failures: readonly (readonly [string, string, number])[] = [
    ['of no file', join(folder, 'nothing'), 404],
    ['below a file', join(folder, 'small/x'), 404],
    ['of a folder', join(folder, 'folder'), 404],
    ['of a FIFO, without waiting for its writer', join(folder, 'fifo'), 404],
    ['that is relative', 'small', 500],
    ['with a NUL', `${folder}/small\0`, 500],
    ...(process.getuid?.() === 0 ? [] : ([['of a file that may not be read', join(folder, 'secret'), 500]] as const)),
  ]
  for (const [rule, path, status] of failures) {
    it(`answers ${status} to a path ${rule}`, async (context) => {
      const client = await rawClient(context, npp.port)
      // Encoded twice: a NUL in a target is refused before any handler sees it.
      const encoded = encodeURIComponent(encodeURIComponent(path))
      const answer = await client.send(`GET /file?twice=${encoded} HTTP/1.1\r\nHost: a\r\n\r\n`).answer()
      assert.equal(answer.status, status)
      assert.equal((await client.send(get('small')).answer()).status, 200)
      await eventually('no file is open', () => open().length === 0)
    })
  }
})
