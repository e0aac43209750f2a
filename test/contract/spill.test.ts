import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { discardSpill, readSpill, sweepSpills, writeSpill } from '../../ipc/spill.ts'
import { isCode } from '../support/codes.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import { filesOf, mayMount, modeOf, pathInMemory, startShmChild, uniqueInstance, withSmallMemory } from '../support/shm-tools.ts'

const BYTES = 100_000
const KEY = 'ab'.repeat(16)
const isRoot = process.getuid?.() === 0

function fileOf(id: string, key: string): string {
  return `npp-${id}.spill.${key}`
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

describe('a large payload', () => {
  test('is there once: its file is gone when it has been read', (context) => {
    const id = uniqueInstance(context)
    const before = descriptors()
    for (const size of [0, 1, 65_537, 1024 * 1024, 5_000_001]) {
      const payload = new SeededRandom(size + 1).bytes(size)
      const key = writeSpill(id, [payload])
      assert.match(key, /^[0-9a-f]{32}$/)
      assert.deepEqual(filesOf(id), [fileOf(id, key)])
      assert.equal(modeOf(fileOf(id, key)), 0o600)
      assert.ok(readSpill(id, key, size).equals(payload))
      assert.deepEqual(filesOf(id), [])
      assert.throws(() => readSpill(id, key, size), isCode('NPP_SHM_MISSING'))
    }
    assert.equal(descriptors(), before)
  })

  test('may be written in parts, and read into memory that is used again', (context) => {
    const id = uniqueInstance(context)
    const parts = [1000, 0, 70_000, 1].map((size) => new SeededRandom(size + 1).bytes(size))
    const whole = Buffer.concat(parts)
    const into = Buffer.alloc(whole.byteLength + 10)
    const read = readSpill(id, writeSpill(id, parts), whole.byteLength, into)
    assert.ok(read.equals(whole))
    assert.equal(read.buffer, into.buffer)
    const small = Buffer.alloc(whole.byteLength - 1)
    assert.notEqual(readSpill(id, writeSpill(id, parts), whole.byteLength, small).buffer, small.buffer)
    assert.equal(readSpill(id, writeSpill(id, []), 0).byteLength, 0)
  })

  test('has mode 0600 whatever the umask', (context) => {
    const id = uniqueInstance(context)
    const before = process.umask(0o777)
    try {
      const key = writeSpill(id, [Buffer.alloc(10)])
      assert.equal(modeOf(fileOf(id, key)), 0o600)
      assert.equal(readSpill(id, key, 10).byteLength, 10)
    } finally {
      process.umask(before)
    }
  })

  test('belongs to its instance, and is discarded once', (context) => {
    const [id, other] = [uniqueInstance(context), uniqueInstance(context)]
    const key = writeSpill(id, [Buffer.alloc(BYTES)])
    assert.throws(() => readSpill(other, key, BYTES), isCode('NPP_SHM_MISSING'))
    assert.equal(discardSpill(other, key), false)
    assert.equal(discardSpill(id, key), true)
    assert.equal(discardSpill(id, key), false)
    assert.deepEqual(filesOf(id), [])
  })
})

describe('a large payload that is not taken', () => {
  const plant: Record<string, (path: string) => void> = {
    'a symbolic link': (path) => symlinkSync('/etc/hostname', path),
    'a symbolic link to a payload': (path) => {
      writeFileSync(`${path}.target`, Buffer.alloc(BYTES), { mode: 0o600 })
      symlinkSync(`${path}.target`, path)
    },
    'a file with a second name': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES), { mode: 0o600 })
      linkSync(path, `${path}.second`)
    },
    'a folder': (path) => mkdirSync(path, { mode: 0o600 }),
    'a FIFO, which holds nobody up': (path) => assert.equal(spawnSync('mkfifo', ['-m', '600', path]).status, 0),
    'a file that others may read': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES))
      chmodSync(path, 0o604)
    },
  }
  if (isRoot) {
    plant['a file of another user'] = (path) => {
      writeFileSync(path, Buffer.alloc(BYTES), { mode: 0o600 })
      chownSync(path, 65534, 65534)
    }
  }
  for (const [what, place] of Object.entries(plant)) {
    test(`${what} in its place`, (context) => {
      const id = uniqueInstance(context)
      const before = descriptors()
      place(pathInMemory(fileOf(id, KEY)))
      assert.throws(() => readSpill(id, KEY, BYTES), isCode('NPP_SHM_PERMISSION'))
      assert.ok(filesOf(id).includes(fileOf(id, KEY)), 'it stays')
      assert.equal(descriptors(), before)
    })
  }

  test('one of another size, which stays too', (context) => {
    const id = uniqueInstance(context)
    const key = writeSpill(id, [Buffer.alloc(BYTES)])
    for (const bytes of [0, BYTES - 1, BYTES + 1, 2 ** 40]) assert.throws(() => readSpill(id, key, bytes), isCode('NPP_SHM_INVALID'))
    assert.equal(readSpill(id, key, BYTES).byteLength, BYTES)
  })

  test('a key that would lead elsewhere', (context) => {
    const id = uniqueInstance(context)
    for (const key of ['', '../etc/passwd', `${KEY}/`, `${KEY}0`, KEY.toUpperCase(), KEY.slice(1), `${KEY.slice(1)}\0`, `${KEY}\n`]) {
      assert.throws(() => readSpill(id, key, 1), isCode('NPP_SHM_ARGUMENT'), key)
      assert.throws(() => discardSpill(id, key), isCode('NPP_SHM_ARGUMENT'), key)
    }
  })
})

describe('a large payload without room', () => {
  test('is refused, and no part of it is left', async (context) => {
    const id = uniqueInstance(context)
    const limited = startShmChild(context, ['spill-limited', id, '60000'], ['prlimit', '--fsize=100000'])
    assert.match(await limited.report(), /^0 NPP_SHM_FULL Writing a payload of 120000 bytes failed: EFBIG/)
    assert.deepEqual(filesOf(id), [])
    if (!mayMount()) {
      context.diagnostic('this user may not mount a file system')
      return
    }
    const small = startShmChild(context, ['spill-limited', id, '60000'], withSmallMemory(600_000))
    assert.match(await small.report(), /^4 NPP_SHM_FULL Writing a payload of 120000 bytes failed: ENOSPC.*df \/dev\/shm/)
  })
})

function age(id: string, key: string, seconds: number): void {
  const at = Date.now() / 1000 - seconds
  utimesSync(pathInMemory(fileOf(id, key)), at, at)
}

describe('payloads that nobody takes', () => {
  test('are swept when they are old, those of this instance alone', (context: TestContext) => {
    const [id, other] = [uniqueInstance(context), uniqueInstance(context)]
    const [old, young, theirs] = [
      writeSpill(id, [Buffer.alloc(9)]),
      writeSpill(id, [Buffer.alloc(9)]),
      writeSpill(other, [Buffer.alloc(9)]),
    ]
    age(id, old, 61)
    age(other, theirs, 61)
    // Of an instance whose id begins as this one does, and what is none of ours at all.
    const longer = `${id}.spill.x`
    const alike = writeSpill(longer, [Buffer.alloc(9)])
    age(longer, alike, 61)
    for (const name of [`npp-${id}.spill.`, `npp-${id}.spill.short`, `npp-${id}.other`]) {
      writeFileSync(pathInMemory(name), '')
      utimesSync(pathInMemory(name), 0, 0)
    }
    assert.equal(sweepSpills(id, 60_000), 1)
    assert.throws(() => readSpill(id, old, 9), isCode('NPP_SHM_MISSING'))
    assert.equal(readSpill(id, young, 9).byteLength, 9)
    assert.equal(readSpill(other, theirs, 9).byteLength, 9)
    assert.equal(readSpill(longer, alike, 9).byteLength, 9)
    assert.equal(filesOf(id).length, 3)
    const last = writeSpill(id, [Buffer.alloc(9)])
    assert.equal(sweepSpills(id, 60_000, Date.now() + 59_000), 0)
    assert.equal(sweepSpills(id, 60_000, Date.now() + 61_000), 1)
    assert.equal(discardSpill(id, last), false)
    writeSpill(id, [Buffer.alloc(9)])
    assert.equal(sweepSpills(id, 0, Date.now() - 1000), 1, 'at the start of an engine, all')
  })

  test('a link is swept as a link, and a file of another user stays', (context) => {
    const id = uniqueInstance(context)
    const target = pathInMemory(`npp-${id}.target`)
    writeFileSync(target, 'kept')
    symlinkSync(target, pathInMemory(fileOf(id, KEY)))
    assert.equal(sweepSpills(id, 0, Date.now() + 1000), 1)
    assert.ok(existsSync(target))
    if (!isRoot) return
    writeFileSync(pathInMemory(fileOf(id, KEY)), 'theirs')
    chownSync(pathInMemory(fileOf(id, KEY)), 65534, 65534)
    assert.equal(sweepSpills(id, 0, Date.now() + 1000), 0)
    assert.ok(existsSync(pathInMemory(fileOf(id, KEY))))
  })
})
