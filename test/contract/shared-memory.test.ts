import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { createSharedMemory, openSharedMemory, unlinkSharedMemory } from '../../native/index.ts'
import { addon } from '../../native/addon.ts'
import { isCode } from '../support/codes.ts'
import { eventually } from '../support/eventually.ts'
import { uniqueName } from '../support/queue-tools.ts'
import {
  filesOf,
  mappingsOf,
  mayMount,
  modeOf,
  pathInMemory,
  startShmChild,
  uniqueInstance,
  withSmallMemory,
} from '../support/shm-tools.ts'

const BYTES = 64 * 1024
const isRoot = process.getuid?.() === 0

function freshName(context: TestContext): string {
  return `npp-${uniqueInstance(context)}.memory`
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    if (typeof collect === 'function') collect()
    await nextTurn()
  }
}

describe('shared memory: one file, several openings', () => {
  test('what is written by one opening is read by the other, and begins as zeros', (context) => {
    const name = freshName(context)
    const mine = createSharedMemory({ name, bytes: BYTES })
    const other = openSharedMemory({ name, bytes: BYTES })
    assert.equal(other.memory.byteLength, BYTES)
    assert.ok(Buffer.from(other.memory).every((byte) => byte === 0))
    Atomics.store(new Int32Array(mine.memory), 1000, 123_456)
    assert.equal(Atomics.load(new Int32Array(other.memory), 1000), 123_456)
    mine.close()
    assert.equal(Atomics.load(new Int32Array(other.memory), 1000), 123_456, 'it is its own mapping')
    other.close()
  })

  test('the files of two can be exchanged: views of the one show what was the other’s', (context) => {
    const [name, anew] = [freshName(context), freshName(context)]
    const mine = createSharedMemory({ name, bytes: BYTES })
    const other = openSharedMemory({ name, bytes: BYTES })
    const fresh = createSharedMemory({ name: anew, bytes: BYTES })
    const [view, freshView] = [new Int32Array(mine.memory), new Int32Array(fresh.memory)]
    Atomics.store(view, 7, 1)
    Atomics.store(freshView, 7, 2)
    mine.swap(fresh)
    assert.deepEqual([Atomics.load(view, 7), Atomics.load(freshView, 7)], [2, 1])
    assert.deepEqual([mine.name, fresh.name], [anew, name])
    assert.ok(mine.isCurrent() && fresh.isCurrent(), 'the descriptors go with the files')
    Atomics.store(new Int32Array(other.memory), 8, 3)
    assert.deepEqual([Atomics.load(view, 8), Atomics.load(freshView, 8)], [0, 3])
    fresh.close()
    assert.equal(Atomics.load(view, 7), 2)
    assert.throws(() => mine.swap(fresh), { code: 'NPP_SHM_CLOSED' })
    assert.throws(() => fresh.swap(mine), { code: 'NPP_SHM_CLOSED' })
    const longer = createSharedMemory({ name: freshName(context), bytes: BYTES * 2 })
    assert.throws(() => mine.swap(longer), { code: 'NPP_SHM_ARGUMENT' })
    // What is no shared memory is told from it where C looks at it.
    const { Queue, SharedMemory } = addon()
    const raw: { swap(other: unknown): void; close(): void } = new SharedMemory(pathInMemory(freshName(context)), BYTES, true, BYTES)
    const queue = new Queue(uniqueName(context), 1, 0o600, 1, 16)
    for (const wrong of [undefined, 1, {}, new ArrayBuffer(BYTES), queue])
      assert.throws(() => raw.swap(wrong), { code: 'NPP_SHM_ARGUMENT' })
    raw.swap(raw)
    raw.close()
    queue.close()
    for (const each of [mine, other, longer]) each.close()
  })

  test('the mode is 0600 whatever the umask, and the memory is taken at once', async (context) => {
    for (const umask of [0o000, 0o077, 0o777]) {
      const name = freshName(context)
      assert.equal(await startShmChild(context, ['create', name, String(BYTES), String(umask)]).report(), 'created')
      assert.equal(modeOf(name), 0o600)
      assert.equal(statSync(pathInMemory(name)).blocks * 512, BYTES)
    }
  })

  test('only what is asked for is reserved at once, the rest where it is asked for', (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES, reserved: 4096 })
    const taken = (): number => statSync(pathInMemory(name)).blocks * 512
    assert.equal(taken(), 4096)
    handle.reserve(8192, 4096)
    assert.equal(taken(), 8192)
    handle.reserve(BYTES, 0)
    for (const [offset, length] of [
      [0, BYTES + 1],
      [BYTES, 1],
      [-1, 1],
      [0.5, 1],
      [NaN, 1],
      [0, -1],
    ] as const) {
      assert.throws(() => handle.reserve(offset, length), isCode('NPP_SHM_ARGUMENT'))
    }
    handle.close()
    assert.throws(() => handle.reserve(0, 1), isCode('NPP_SHM_CLOSED'))
  })

  test('two processes that add a million each lose none', async (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES })
    const children = [1, 2].map(() => startShmChild(context, ['add', name, String(BYTES), '1000000']))
    for (const child of children) assert.equal(await child.report(), 'ready')
    for (const child of children) child.say('go')
    for (const child of children) assert.equal(await child.report(), 'added')
    assert.equal(Atomics.load(new Int32Array(handle.memory), 1), 2_000_000)
    assert.equal(Atomics.load(new BigInt64Array(handle.memory), 1), 2_000_000n)
    handle.close()
  })

  test('a name is unlinked once, given to another file, and known to be current', (context) => {
    const name = freshName(context)
    const first = createSharedMemory({ name, bytes: BYTES })
    assert.equal(first.isCurrent(), true)
    const second = createSharedMemory({ name: `${name}.2`, bytes: BYTES })
    second.publish(name)
    assert.equal(second.name, name)
    assert.equal(second.isCurrent(), true)
    assert.equal(first.isCurrent(), false)
    assert.equal(unlinkSharedMemory(name), true)
    assert.equal(unlinkSharedMemory(name), false)
    assert.equal(second.isCurrent(), false)
    first.close()
    second.close()
    assert.throws(() => second.isCurrent(), isCode('NPP_SHM_CLOSED'))
  })
})

describe('shared memory: what is refused', () => {
  test('a name that exists, one that does not, and an opening leaves no descriptor', (context) => {
    const name = freshName(context)
    const before = descriptors()
    assert.throws(() => openSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_MISSING'))
    createSharedMemory({ name, bytes: BYTES }).close()
    assert.throws(() => createSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_EXISTS'))
    const found = openSharedMemory({ name, bytes: BYTES })
    assert.equal(found.memory.byteLength, BYTES, 'the one that exists was left alone')
    found.close()
    assert.equal(filesOf(name).length, 1)
    for (const bytes of [BYTES - 1, BYTES + 1, 1, 2 ** 31 - 1])
      assert.throws(() => openSharedMemory({ name, bytes }), isCode('NPP_SHM_INVALID'))
    assert.equal(descriptors(), before)
  })

  const plant: Record<string, (path: string) => void> = {
    'a symbolic link': (path) => {
      writeFileSync(`${path}.target`, Buffer.alloc(BYTES), { mode: 0o600 })
      symlinkSync(`${path}.target`, path)
    },
    'a symbolic link to nothing': (path) => symlinkSync(`${path}.none`, path),
    'a file with a second name': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES), { mode: 0o600 })
      linkSync(path, `${path}.second`)
    },
    'a folder': (path) => mkdirSync(path, { mode: 0o600 }),
    'a FIFO': (path) => assert.equal(spawnSync('mkfifo', ['-m', '600', path]).status, 0),
    'a file that the group may read': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES))
      chmodSync(path, 0o640)
    },
    'a file that only its owner may read': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES))
      chmodSync(path, 0o400)
    },
    'a file with the set-user-ID bit': (path) => {
      writeFileSync(path, Buffer.alloc(BYTES))
      chmodSync(path, 0o4600)
    },
  }
  if (isRoot) {
    plant['a file of another user'] = (path) => {
      writeFileSync(path, Buffer.alloc(BYTES), { mode: 0o600 })
      chownSync(path, 65534, 65534)
    }
  }
  for (const [what, place] of Object.entries(plant)) {
    test(`${what} in its place is not opened, and nothing is created over it`, (context) => {
      const name = freshName(context)
      place(pathInMemory(name))
      const before = descriptors()
      assert.throws(() => openSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_PERMISSION'))
      assert.throws(() => createSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_EXISTS'))
      assert.equal(descriptors(), before)
      assert.equal(mappingsOf(name), 0)
    })
  }

  if (isRoot) {
    test('what another user has made is refused for root too', async (context) => {
      const name = freshName(context)
      assert.equal(await startShmChild(context, ['foreign', name, String(BYTES)]).report(), 'created')
      assert.throws(() => openSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_PERMISSION'))
    })
  }

  test('arguments that cannot be', (context) => {
    const name = freshName(context)
    for (const wrong of ['', '.', '..', '.hidden', 'a/b', '/etc/passwd', 'a\0b', 'x'.repeat(256)]) {
      assert.throws(() => createSharedMemory({ name: wrong, bytes: BYTES }), isCode('NPP_SHM_ARGUMENT'), wrong)
      assert.throws(() => openSharedMemory({ name: wrong, bytes: BYTES }), isCode('NPP_SHM_ARGUMENT'), wrong)
      assert.throws(() => unlinkSharedMemory(wrong), isCode('NPP_SHM_ARGUMENT'), wrong)
    }
    for (const bytes of [0, -1, 1.5, NaN, Infinity, 2 ** 31]) {
      assert.throws(() => createSharedMemory({ name, bytes }), isCode('NPP_SHM_ARGUMENT'), String(bytes))
      assert.throws(() => openSharedMemory({ name, bytes }), isCode('NPP_SHM_ARGUMENT'), String(bytes))
    }
    assert.throws(() => createSharedMemory({ name, bytes: 10, reserved: 11 }), isCode('NPP_SHM_ARGUMENT'))
    assert.deepEqual(filesOf(name), [])
  })
})

describe('shared memory: no room', () => {
  test('a file over ulimit -f is refused at once and leaves nothing', async (context) => {
    const name = freshName(context)
    const child = startShmChild(context, ['create-limited', name, '1000000'], ['prlimit', '--fsize=100000'])
    assert.match(await child.report(), /^NPP_SHM_FULL .*EFBIG.*ulimit -f/)
    assert.deepEqual(filesOf(name), [])
  })

  test('a /dev/shm that is too small is refused at once', async (context) => {
    if (!mayMount()) {
      context.diagnostic('this user may not mount a file system')
      return
    }
    const name = freshName(context)
    const child = startShmChild(context, ['create-limited', name, '1000000'], withSmallMemory(500_000))
    assert.match(await child.report(), /^NPP_SHM_FULL .*ENOSPC.*df \/dev\/shm/)
    assert.equal(await startShmChild(context, ['create-limited', name, '400000'], withSmallMemory(500_000)).report(), 'created')
  })
})

describe('shared memory: its end', () => {
  test('whoever still holds the memory after close finds it empty, and cannot crash', (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES })
    const { memory } = handle
    const words = new Int32Array(memory)
    const bytes = Buffer.from(memory)
    const view = new DataView(memory)
    words[5] = 9
    assert.equal(mappingsOf(name), 1)
    handle.close()
    handle.close()
    assert.equal(mappingsOf(name), 0)
    assert.equal(memory.byteLength, 0)
    assert.equal(handle.memory.byteLength, 0)
    assert.deepEqual([words.length, words[5], bytes.length, bytes[0]], [0, undefined, 0, undefined])
    words[5] = 10
    assert.throws(() => Atomics.load(words, 5), TypeError)
    assert.throws(() => view.getInt32(20), TypeError)
  })

  test('memory that was moved into another ArrayBuffer stays until that is collected', async (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES })
    const { memory } = handle
    if (!('transfer' in memory) || typeof memory.transfer !== 'function') {
      handle.close()
      context.diagnostic('this version of Node cannot move an ArrayBuffer')
      return
    }
    let moved: unknown = memory.transfer()
    handle.close()
    assert.ok(moved instanceof ArrayBuffer)
    assert.equal(moved.byteLength, BYTES)
    new Int32Array(moved)[5] = 9
    moved = undefined
    await eventually('it is collected', async () => {
      await collectGarbage()
      return mappingsOf(name) === 0
    })
  })

  test('what nobody holds any more is unmapped and closed', async (context) => {
    const name = freshName(context)
    createSharedMemory({ name, bytes: BYTES }).close()
    const before = descriptors()
    for (let count = 0; count < 100; count++) assert.equal(openSharedMemory({ name, bytes: BYTES }).memory.byteLength, BYTES)
    // Only the memory of this one is held: it outlives the handle.
    const words = new Int32Array(openSharedMemory({ name, bytes: BYTES }).memory)
    await eventually('all but one are unmapped', async () => {
      await collectGarbage()
      return mappingsOf(name) === 1 && descriptors() <= before
    })
    words[3] = 4
    assert.equal(words[3], 4)
  })

  test('opened and closed ten thousand times, nothing is left', (context) => {
    const name = freshName(context)
    createSharedMemory({ name, bytes: BYTES }).close()
    const before = descriptors()
    for (let count = 0; count < 10_000; count++) {
      const handle = openSharedMemory({ name, bytes: BYTES })
      new Int32Array(handle.memory)[0]!++
      handle.close()
    }
    assert.equal(mappingsOf(name), 0)
    assert.ok(descriptors() <= before)
    assert.equal(new Int32Array(openSharedMemory({ name, bytes: BYTES }).memory)[0], 10_000)
  })

  test('a worker thread that ends leaves no mapping and no descriptor, closed or not', async (context) => {
    const name = freshName(context)
    createSharedMemory({ name, bytes: BYTES }).close()
    const before = descriptors()
    const native = fileURLToPath(new URL('../../native/index.js', import.meta.url))
    const program = `import(${JSON.stringify(native)}).then(({ openSharedMemory }) => {
      const { parentPort } = require('node:worker_threads')
      globalThis.kept = [1, 2, 3].map(() => openSharedMemory({ name: ${JSON.stringify(name)}, bytes: ${BYTES} }))
      globalThis.kept[0].close()
      new Int32Array(globalThis.kept[1].memory)[7] = 70
      parentPort.postMessage('ready')
      setInterval(() => {}, 1000)
    })`
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(program, { eval: true })
      let ready = false
      worker.on('message', () => {
        ready = true
      })
      await eventually('the worker has opened it', () => ready)
      assert.equal(mappingsOf(name), 2)
      await worker.terminate()
      await eventually('nothing is left of it', () => mappingsOf(name) === 0 && descriptors() <= before)
    }
  })

  test('the name may go at any time, and a file that was cut short is not opened', (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES })
    unlinkSharedMemory(name)
    const words = new Int32Array(handle.memory)
    for (let index = 0; index < words.length; index++) words[index] = index
    assert.equal(words.at(-1), words.length - 1)
    handle.close()
    createSharedMemory({ name, bytes: BYTES }).close()
    truncateSync(pathInMemory(name), 100)
    assert.throws(() => openSharedMemory({ name, bytes: BYTES }), isCode('NPP_SHM_INVALID'))
  })

  test('a child process inherits no descriptor of it', (context) => {
    const name = freshName(context)
    const handle = createSharedMemory({ name, bytes: BYTES })
    const list = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' }).stdout
    assert.ok(!list.includes(name), list)
    assert.ok(existsSync(pathInMemory(name)) && readFileSync('/proc/self/maps', 'utf8').includes(name))
    handle.close()
  })
})
