import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, fstatSync, readdirSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import type { PosixQueueOptions } from '../../ipc/posix-queue.ts'
import { defaultQueueSize, queueBytes, queueReport, readQueueLimits } from '../../ipc/queue-limits.ts'
import { blockUntil, numbered, numberOf, startQueueChild, turns, uniqueName, until } from '../support/queue-tools.ts'
import { messageQueueContract } from './message-queue.contract.ts'

function openFor(context: TestContext, options: PosixQueueOptions): PosixQueue {
  const queue = PosixQueue.open(options)
  context.after(() => queue.close())
  return queue
}

function createFor(context: TestContext, maxMessages = 10, messageSize = 64): PosixQueue {
  return openFor(context, { name: uniqueName(context), create: true, exclusive: true, maxMessages, messageSize })
}

function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}

/** How many descriptors this process has on the queue; the kernel shows a queue's name as the target of the link. */
function descriptorsOn(name: string): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => targetOf(descriptor) === name).length
}

messageQueueContract('memory', (context, maxMessages, messageSize) => {
  const queue = createMemoryQueue({ name: '/npp-test-memory', maxMessages, messageSize })
  return () => {
    const end = queue.open()
    context.after(() => end.close())
    return end
  }
})

messageQueueContract('posix', (context, maxMessages, messageSize) => {
  const { name } = createFor(context, maxMessages, messageSize)
  return () => openFor(context, { name })
})

describe('posix queue: two processes', () => {
  it('echoes 100,000 messages, 200,000 in all, in order and without a stall, at depth 10', async (context) => {
    const total = 100_000
    const inFlight = 64
    const requests = createFor(context, 10, 200)
    const replies = createFor(context, 10, 200)
    const child = startQueueChild(context, 'echo', requests.name, replies.name, String(total))
    const into = new Uint8Array(200)
    let sent = 0
    let received = 0
    const send = (): void => {
      while (sent < total && sent - received < inFlight && requests.push(numbered(sent, 200))) sent++
    }
    requests.onDrain(send)
    replies.onMessages(() => {
      for (let length = replies.shift(into); length >= 0; length = replies.shift(into)) {
        assert.equal(length, 200)
        assert.equal(numberOf(into), received++)
      }
      send()
    })
    send()
    // The clock starts anew with each thousand: only a stall fails, not a slow machine.
    for (let goal = 1000; goal <= total; goal += 1000) await until(() => received >= goal, `echo after ${received} messages`)
    assert.equal(await child.report(), `echoed ${total}`)
    assert.equal(received, total)
  })

  // npm posix-mq 1.1.3 loses the reader here: it re-arms only the direction that was not ready (docs/adr/0001).
  it('tells a reader whose queue was refilled to the brim between its last shift and its return', async (context) => {
    const queue = createFor(context, 10, 16)
    const rounds = 300
    const child = startQueueChild(context, 'fill', queue.name, String(rounds * 10))
    const into = new Uint8Array(16)
    let received = 0
    queue.onMessages(() => {
      while (queue.shift(into) >= 0) assert.equal(numberOf(into), received++)
      if (received < (rounds - 1) * 10) blockUntil(() => queue.count() === 10, 'refill to the brim')
    })
    await until(() => received === rounds * 10, 'a reader after a refill to the brim')
    assert.equal(await child.report(), `sent ${rounds * 10}`)
  })

  it('tells a writer whose queue was emptied between its refused push and its return', async (context) => {
    const queue = createFor(context, 10, 16)
    const total = 3000
    const child = startQueueChild(context, 'take', queue.name, String(total))
    assert.equal(await child.report(), 'ready')
    let sent = 0
    const send = (): void => {
      while (sent < total && queue.push(numbered(sent, 16))) sent++
      if (sent < total) blockUntil(() => queue.count() === 0, 'a reader that empties the queue')
    }
    queue.onDrain(send)
    send()
    await until(() => sent === total, 'a writer after the queue was emptied')
    assert.deepEqual(
      JSON.parse(await child.report()),
      Array.from({ length: total }, (_, number) => number),
    )
  })

  it('delivers each message to exactly one of several readers', async (context) => {
    const queue = createFor(context, 10, 16)
    const readers = Array.from({ length: 3 }, () => startQueueChild(context, 'take', queue.name, 'NaN'))
    for (const reader of readers) assert.equal(await reader.report(), 'ready')
    const total = 20_000
    let sent = 0
    // An empty message tells one reader to end.
    const send = (): void => {
      while (sent < total + readers.length) {
        const message = sent < total ? numbered(sent, 16) : new Uint8Array(0)
        if (!queue.push(message)) return
        sent++
      }
    }
    queue.onDrain(send)
    send()
    const seen: number[] = []
    for (const reader of readers) {
      const numbers: number[] = JSON.parse(await reader.report())
      // Each reader by itself sees an order too.
      assert.ok(numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? -1)))
      for (const number of numbers) seen.push(number)
    }
    assert.equal(seen.length, total)
    assert.equal(new Set(seen).size, total)
  })
})

describe('posix queue: locks', () => {
  it('shows locks to other processes, and drops them with kill -9', async (context) => {
    const queue = createFor(context)
    const child = startQueueChild(context, 'lock', queue.name, '7')
    assert.equal(await child.report(), 'locked')
    assert.equal(queue.lockedIn(0, 0), 7)
    assert.equal(queue.lockedIn(7, 7), 7)
    assert.equal(queue.lockedIn(0, 6), -1)
    assert.equal(queue.lockedIn(8, 0), -1)
    assert.equal(queue.lock(7, true), false)
    assert.equal(queue.lock(7, false), false)
    assert.equal(queue.lock(8, true), true)
    child.process.kill('SIGKILL')
    assert.equal(await child.ended(), 'SIGKILL')
    assert.equal(queue.lockedIn(0, 0), -1, 'our own lock is not told')
    assert.equal(queue.lock(7, true), true)
  })

  it('shares shared locks, also between openings in one process, and gives them back', (context) => {
    const one = createFor(context)
    const other = openFor(context, { name: one.name })
    assert.equal(one.lock(3, false), true)
    assert.equal(other.lock(3, false), true)
    assert.equal(other.lock(3, true), false)
    assert.equal(other.lockedIn(0, 100), 3)
    one.unlock(3)
    one.unlock(4)
    assert.equal(other.lock(3, true), true)
    assert.equal(one.lockedIn(0, 0), 3)
    other.close()
    assert.equal(one.lockedIn(0, 0), -1)
  })

  it('refuses offsets that are none', (context) => {
    const queue = createFor(context)
    for (const offset of [-1, 1.5, Number.NaN, 2 ** 53]) {
      assert.throws(() => queue.lock(offset, true), { code: 'NPP_QUEUE_ARGUMENT' })
      assert.throws(() => queue.unlock(offset), { code: 'NPP_QUEUE_ARGUMENT' })
      assert.throws(() => queue.lockedIn(offset, 0), { code: 'NPP_QUEUE_ARGUMENT' })
    }
    assert.throws(() => queue.lockedIn(5, 4), { code: 'NPP_QUEUE_ARGUMENT' })
    queue.close()
    for (const use of [() => queue.lock(0, true), () => queue.unlock(0), () => queue.lockedIn(0, 0), () => queue.isCurrent()]) {
      assert.throws(use, { code: 'NPP_QUEUE_CLOSED' })
    }
  })
})

describe('posix queue: names and owners', () => {
  it('knows whether the name still leads to it', (context) => {
    const queue = createFor(context)
    assert.equal(queue.isCurrent(), true)
    assert.equal(openFor(context, { name: queue.name }).isCurrent(), true)
    assert.equal(PosixQueue.unlink(queue.name), true)
    assert.equal(PosixQueue.unlink(queue.name), false)
    assert.equal(queue.isCurrent(), false)
    const next = openFor(context, { name: queue.name, create: true, maxMessages: 1, messageSize: 8 })
    assert.equal(queue.isCurrent(), false)
    assert.equal(next.isCurrent(), true)
    assert.equal(queue.push(new Uint8Array(1)), true, 'who has it open keeps it')
    assert.equal(next.count(), 0)
  })

  it('tells who created it, and takes the sizes of a queue that exists', (context) => {
    const first = createFor(context, 3, 32)
    const second = openFor(context, { name: first.name, create: true, maxMessages: 1, messageSize: 8 })
    assert.deepEqual([first.created, second.created, second.maxMessages, second.messageSize], [true, false, 3, 32])
    assert.equal(first.ownerUid, process.geteuid?.())
    assert.throws(() => PosixQueue.open({ name: first.name, create: true, exclusive: true, maxMessages: 1, messageSize: 8 }), {
      code: 'NPP_QUEUE_EXISTS',
    })
    assert.throws(() => PosixQueue.open({ name: `${first.name}-none` }), { code: 'NPP_QUEUE_MISSING' })
  })

  it('gives a new queue exactly the mode asked for, and 0600 unasked', (context) => {
    const umask = process.umask(0o077)
    context.after(() => process.umask(umask))
    const modeOf = (mode?: number): number => {
      const options = { name: uniqueName(context), create: true, maxMessages: 1, messageSize: 8 }
      return fstatSync(openFor(context, mode === undefined ? options : { ...options, mode }).descriptor).mode & 0o777
    }
    assert.equal(modeOf(0o666), 0o666)
    assert.equal(modeOf(0o640), 0o640)
    process.umask(0)
    assert.equal(modeOf(), 0o600)
  })

  it('refuses names and sizes that are none', () => {
    const names = ['', '/', 'noslash', '/two/parts', '/zero\0byte', `/${'x'.repeat(255)}`]
    for (const name of names) {
      assert.throws(() => PosixQueue.open({ name, create: true }), { code: 'NPP_QUEUE_ARGUMENT' }, name)
      assert.throws(() => PosixQueue.unlink(name), { code: 'NPP_QUEUE_ARGUMENT' }, name)
    }
    for (const size of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => PosixQueue.open({ name: '/npp-test-none', create: true, maxMessages: size }), { code: 'NPP_QUEUE_ARGUMENT' })
      assert.throws(() => PosixQueue.open({ name: '/npp-test-none', create: true, messageSize: size }), { code: 'NPP_QUEUE_ARGUMENT' })
    }
    assert.throws(() => PosixQueue.open({ name: '/npp-test-none', create: true, mode: 0o1777 }), { code: 'NPP_QUEUE_ARGUMENT' })
  })

  // Only root can make a queue that belongs to somebody else; for anybody else there is nothing to test.
  if (process.geteuid?.() === 0) {
    it('refuses a queue of another user, though root could open it', async (context) => {
      const name = uniqueName(context)
      const child = startQueueChild(context, 'foreign', name)
      assert.equal(await child.report(), 'created')
      assert.throws(() => PosixQueue.open({ name }), { code: 'NPP_QUEUE_PERMISSION', message: /belongs to user 65534/ })
      assert.throws(() => PosixQueue.open({ name, create: true }), { code: 'NPP_QUEUE_PERMISSION' })
      assert.equal(descriptorsOn(name), 0, 'the refused queue was closed')
    })
  }
})

describe('posix queue: limits', () => {
  it('names the sysctls, ulimit -q and the bytes when the sizes are over what the kernel takes', (context) => {
    // 65,536 messages is the most for anybody: mq_overview(7), HARD_MSGMAX.
    const opening = { name: uniqueName(context), create: true, maxMessages: 65_537, messageSize: 8 }
    assert.throws(
      () => PosixQueue.open(opening),
      (error) => {
        assert.ok(error instanceof Error && 'code' in error)
        assert.equal(error.code, 'NPP_QUEUE_LIMIT')
        for (const part of [
          'fs.mqueue.msg_max',
          'fs.mqueue.msgsize_max',
          'fs.mqueue.queues_max',
          'ulimit -q',
          String(queueBytes(65_537, 8)),
        ]) {
          assert.ok(error.message.includes(part), `${part} in ${error.message}`)
        }
        return true
      },
    )
  })

  it('names them too when RLIMIT_MSGQUEUE is used up', (context) => {
    const child = fileURLToPath(new URL('../support/queue-child.js', import.meta.url))
    const result = spawnSync('bash', ['-c', 'ulimit -S -q 1000 && exec "$0" "$@"', process.execPath, child, 'limit', uniqueName(context)], {
      encoding: 'utf8',
    })
    assert.match(
      result.stdout,
      /^NPP_QUEUE_LIMIT .*\(EMFILE\).*needs 8960 bytes.*ulimit -q .* 1000;.*fs\.mqueue\.msg_max.*RLIMIT_MSGQUEUE is the one that is too small/,
    )
  })

  it('counts bytes as the kernel does', () => {
    // getrlimit(2): each message and its node of the priority tree take 48 bytes on a 64-bit system.
    assert.equal(queueBytes(10, 8192), 82_880)
    assert.equal(queueBytes(40_000, 8), 40_000 * 56 + 32_768 * 48)
    const limits = readQueueLimits()
    for (const limit of Object.values(limits)) assert.ok(typeof limit === 'number' && limit > 0)
  })

  it('chooses sizes that fit', () => {
    const usual = { queuesMax: 256, maxMessages: 10, messageSize: 8192, userBytes: 819_200 }
    assert.deepEqual(defaultQueueSize(usual), { maxMessages: 10, messageSize: 8192 })
    assert.equal(queueReport(usual).fits, 9)
    assert.equal(queueReport({ ...usual, queuesMax: 4 }).fits, 4)
    const many = { ...usual, maxMessages: 1000, messageSize: 1_048_576 }
    for (const limits of [many, { ...many, userBytes: Infinity }, { ...many, userBytes: 50_000 }, { ...usual, userBytes: 100_000 }]) {
      const { maxMessages, messageSize } = defaultQueueSize(limits)
      assert.ok(maxMessages >= 1 && maxMessages <= limits.maxMessages && messageSize <= limits.messageSize)
      assert.ok(queueReport(limits).fits >= 8, JSON.stringify(limits))
    }
    assert.deepEqual(defaultQueueSize({ queuesMax: undefined, maxMessages: undefined, messageSize: undefined, userBytes: undefined }), {
      maxMessages: 10,
      messageSize: 8192,
    })
  })
})

describe('posix queue: what it holds', () => {
  it('leaks no descriptor in 1,000 openings, watched ones among them', async (context) => {
    const { name } = createFor(context, 1, 8)
    assert.equal(descriptorsOn(name), 1)
    for (let round = 0; round < 1000; round++) {
      const queue = PosixQueue.open({ name })
      if (round % 2 === 0) queue.onMessages(() => undefined)
      if (round % 4 === 0) await turns(1)
      queue.close()
    }
    await turns(2)
    assert.equal(descriptorsOn(name), 1)
  })

  it('gives the descriptor of a forgotten queue back', (context) => {
    const { name } = createFor(context, 1, 8)
    const program = `
      import { readdirSync } from 'node:fs'
      import { setImmediate } from 'node:timers/promises'
      const { PosixQueue } = await import(process.argv[1])
      const count = () => readdirSync('/proc/self/fd').length
      PosixQueue.open({ name: process.argv[2] }).close()
      const before = count()
      for (let i = 0; i < 50; i++) { const q = PosixQueue.open({ name: process.argv[2] }); q.onMessages(() => undefined); q.onMessages(undefined) }
      if (count() !== before + 50) throw new Error('not opened')
      for (let i = 0; i < 50 && count() > before + 1; i++) { gc(); await setImmediate() }
      if (count() > before + 1) throw new Error('still open: ' + (count() - before))`
    const module = new URL('../../ipc/posix-queue.js', import.meta.url).href
    const result = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', program, module, name], { encoding: 'utf8' })
    assert.equal(result.status, 0, result.stderr)
  })

  it('stays with who has one of its methods', (context) => {
    const { name } = createFor(context, 2, 8)
    const program = `
      import { readdirSync } from 'node:fs'
      import { setImmediate } from 'node:timers/promises'
      const { addon } = await import(process.argv[1])
      const { Queue } = addon()
      const count = () => readdirSync('/proc/self/fd').length
      const before = count()
      let methods = Array.from({ length: 20 }, () => { const { push, shift } = new Queue(process.argv[2], 0, 0, 0, 0); return { push, shift } })
      for (let i = 0; i < 10; i++) { gc(); await setImmediate() }
      for (const { push, shift } of methods) {
        if (!push(new Uint8Array(3), 0, 3, 0) || shift(new Uint8Array(8)) !== 3) throw new Error('not of its queue')
      }
      methods = undefined
      for (let i = 0; i < 50 && count() > before + 1; i++) { gc(); await setImmediate() }
      if (count() > before + 1) throw new Error('still open: ' + (count() - before))`
    const module = new URL('../../native/addon.js', import.meta.url).href
    const result = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', program, module, name], { encoding: 'utf8' })
    assert.equal(result.status, 0, result.stderr)
  })

  it('stays with who listens, though nothing refers to it', async (context) => {
    const { name } = createFor(context, 1, 8)
    let told = 0
    const listen = (): void => {
      const queue = PosixQueue.open({ name })
      queue.onMessages(() => {
        told++
        queue.close()
      })
    }
    listen()
    globalThis.gc?.()
    await turns(3)
    const sender = openFor(context, { name })
    sender.push(new Uint8Array(1))
    await until(() => told === 1, 'a listener without a reference')
  })

  it('ends a process with an exception that nobody hears', async (context) => {
    const queue = createFor(context, 1, 8)
    queue.push(new Uint8Array(1))
    assert.equal(await startQueueChild(context, 'throw-unheard', queue.name).ended(), 1)
  })

  it('works in worker threads, and goes with them', async (context) => {
    const queue = createFor(context, 10, 8)
    const program = `
      const { workerData, parentPort } = require('node:worker_threads')
      import(workerData.module).then(({ PosixQueue }) => {
        const into = new Uint8Array(8)
        const queue = PosixQueue.open({ name: workerData.name })
        const idle = PosixQueue.open({ name: workerData.name })
        queue.onMessages(() => { parentPort.postMessage(queue.shift(into)) })
        idle.lock(5, true)
        parentPort.postMessage('ready')
      })`
    const workerData = { module: new URL('../../ipc/posix-queue.js', import.meta.url).href, name: queue.name }
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(program, { eval: true, workerData })
      const said: unknown[] = []
      worker.on('message', (message) => said.push(message))
      await until(() => said.includes('ready'), 'the worker')
      assert.equal(queue.lockedIn(0, 0), 5)
      queue.push(new Uint8Array(4))
      await until(() => said.includes(4), 'a message to the worker')
      await worker.terminate()
      assert.equal(queue.lockedIn(0, 0), -1)
    }
    assert.equal(descriptorsOn(queue.name), 1)
  })
})

describe('native: libuv by hand', () => {
  const include = join(dirname(process.execPath), '..', 'include', 'node')
  // Where Node's headers are installed beside it, as by its own packages, the compiler itself compares them with ours.
  if (existsSync(join(include, 'uv.h'))) {
    it('declares what uv.h declares', () => {
      const source =
        '#include <uv.h>\n#include "uv-abi.h"\n' +
        '_Static_assert(NPP_UV_ASYNC == UV_ASYNC && NPP_UV_POLL == UV_POLL && NPP_UV_READABLE == UV_READABLE && NPP_UV_WRITABLE == UV_WRITABLE, "numbers differ");\n'
      const ours = fileURLToPath(new URL('../../../native', import.meta.url))
      const args = ['-std=c11', '-D_GNU_SOURCE', '-Werror', '-fsyntax-only', '-I', include, '-I', ours, '-x', 'c', '-']
      const result = spawnSync(process.env['CC'] ?? 'cc', args, { input: source, encoding: 'utf8' })
      assert.equal(result.status, 0, result.stderr)
    })
  }
})
