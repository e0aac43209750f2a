import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { describe, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { isProcessAlive, pollProcess, startOfProcess, watchProcess } from '../../native/index.ts'
import { isCode } from '../support/codes.ts'
import { eventually } from '../support/eventually.ts'
import { startShmChild } from '../support/shm-tools.ts'

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Descriptors of this process that stand for processes. */
function pidfds(): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).includes('pidfd')
    } catch {
      return false // The one by which the folder was read.
    }
  }).length
}

interface Sleeper {
  readonly child: ChildProcess
  readonly pid: number
  readonly start: number
}

/** A process that does nothing until it is killed. Its name is one that a careless reader of /proc takes for something else. */
async function sleeper(context: TestContext): Promise<Sleeper> {
  const program = "process.title = 'x) R 1 (y'; console.log(); setInterval(() => {}, 100000)"
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] })
  context.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const pid = child.pid ?? 0
  const start = startOfProcess(pid)
  assert.ok(start !== undefined && start > 0)
  return { child, pid, start }
}

/** A process that has ended and that its parent, another process of ours, does not ask about: a zombie. */
async function zombie(context: TestContext): Promise<Sleeper> {
  const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] })
  context.after(() => parent.kill('SIGKILL'))
  const [line]: unknown[] = await once(parent.stdout, 'data')
  const pid = Number(String(line))
  const start = startOfProcess(pid)
  assert.ok(start !== undefined)
  await eventually('it is a zombie', () => /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
  return { child: parent, pid, start }
}

describe('when a process was started', () => {
  test('is a number that stays, and is read behind any name', async (context) => {
    const { child, pid, start } = await sleeper(context)
    assert.equal(startOfProcess(pid), start)
    assert.equal(isProcessAlive(pid, start), true)
    assert.equal(isProcessAlive(pid), true)
    assert.equal(isProcessAlive(pid, start + 1), false)
    // In ticks of a hundredth of a second since boot, as in /proc/uptime.
    const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0])
    assert.ok(start / 100 <= uptime && start / 100 > uptime - 3600, `${start} at ${uptime} s`)
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.equal(startOfProcess(pid), undefined)
    assert.equal(isProcessAlive(pid, start), false)
  })

  test('a zombie has ended', async (context) => {
    const { pid, start } = await zombie(context)
    assert.equal(startOfProcess(pid), undefined)
    assert.equal(isProcessAlive(pid, start), false)
    assert.equal(isProcessAlive(pid), false)
  })
})

for (const [how, watch] of [
  ['pidfd', watchProcess],
  ['/proc', pollProcess],
] as const) {
  describe(`the end of a process, by ${how}`, () => {
    test('of one that is killed is told once', async (context) => {
      const before = descriptors()
      const { child, pid, start } = await sleeper(context)
      let told = 0
      const watching = watch({ pid, start }, () => told++)
      assert.equal(pidfds(), how === 'pidfd' ? 1 : 0)
      await sleep(300)
      assert.equal(told, 0)
      child.kill('SIGKILL')
      await eventually('it is told', () => told > 0)
      await sleep(300)
      assert.equal(told, 1)
      watching.close()
      watching.close()
      await eventually('nothing is left open', () => descriptors() <= before)
    })

    test('of one that has ended, also a zombie, or whose pid is another’s, is told, and not before the call returns', async (context) => {
      const { pid, start } = await sleeper(context)
      const gone = await sleeper(context)
      gone.child.kill('SIGKILL')
      await once(gone.child, 'exit')
      const dead = await zombie(context)
      const before = descriptors()
      for (const options of [{ pid, start: start - 1 }, { pid: gone.pid, start: gone.start }, dead]) {
        let told = 0
        watch(options, () => told++)
        assert.equal(told, 0)
        await eventually('it is told', () => told === 1)
      }
      await eventually('nothing is left open', () => descriptors() <= before)
    })

    test('is brought about by kill, of that process and of no other that has its pid', async (context) => {
      const { child, pid, start } = await sleeper(context)
      const stranger = watch({ pid, start: start + 1 }, () => undefined)
      let told = 0
      const watching = watch({ pid, start }, () => told++)
      const closed = watch({ pid, start }, () => undefined)
      closed.close()
      assert.deepEqual([stranger.kill(), closed.kill()], [false, false])
      await sleep(100)
      assert.equal(isProcessAlive(pid, start), true)
      assert.equal(watching.kill(), true)
      const [, signal]: unknown[] = await once(child, 'exit')
      assert.equal(signal, 'SIGKILL')
      await eventually('it is told', () => told === 1)
      assert.equal(watching.kill(), false)
      stranger.close()
    })

    test('that is stopped is brought about by kill too', async (context) => {
      const { child, pid, start } = await sleeper(context)
      let told = 0
      const watching = watch({ pid, start }, () => told++)
      child.kill('SIGSTOP')
      assert.equal(watching.kill(), true)
      await eventually('it is told', () => told === 1)
    })

    test('of another user is not brought about', (context) => {
      if (process.getuid?.() === 0) {
        context.diagnostic('root may end any process')
        return
      }
      const start = startOfProcess(1)
      assert.ok(start !== undefined)
      const watching = watch({ pid: 1, start }, () => undefined)
      assert.equal(watching.kill(), false)
      watching.close()
    })

    test('is not told after close', async (context) => {
      const { child, pid, start } = await sleeper(context)
      let told = 0
      watch({ pid, start }, () => told++).close()
      watch({ pid, start: start + 1 }, () => told++).close()
      const watching = watch({ pid, start }, () => told++)
      child.kill('SIGKILL')
      watching.close()
      await once(child, 'exit')
      await sleep(300)
      assert.equal(told, 0)
    })

    test('what the listener throws goes to uncaughtException, and it is told once even so', async (context) => {
      const { child, pid, start } = await sleeper(context)
      const thrown: string[] = []
      const listeners = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      process.on('uncaughtException', (error) => thrown.push(error.message))
      context.after(() => {
        process.removeAllListeners('uncaughtException')
        for (const listener of listeners) process.on('uncaughtException', listener)
      })
      watch({ pid, start }, () => {
        throw new Error('the listener')
      })
      child.kill('SIGKILL')
      await eventually('it is thrown', () => thrown.length > 0)
      await sleep(300)
      assert.deepEqual(thrown, ['the listener'])
    })
  })
}

describe('watching processes', () => {
  test('a hundred at once, each told of its own end', async (context) => {
    const before = descriptors()
    const parent = spawn('sh', ['-c', 'for i in $(seq 100); do sleep 1000 & echo $!; done; echo done; wait'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let text = ''
    parent.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    await eventually('all run', () => text.includes('done'))
    const pids = text.trim().split('\n').slice(0, -1).map(Number)
    context.after(() => {
      parent.kill('SIGKILL')
      for (const pid of pids) if (isProcessAlive(pid)) process.kill(pid, 'SIGKILL')
    })
    const told: number[] = []
    const watches = pids.map((pid) => watchProcess({ pid, start: startOfProcess(pid) ?? 0 }, () => told.push(pid)))
    for (const pid of pids.slice(0, 50)) process.kill(pid, 'SIGKILL')
    await eventually('half of them are told', () => told.length >= 50)
    await nextTurn()
    assert.deepEqual(new Set(told), new Set(pids.slice(0, 50)))
    assert.equal(told.length, 50)
    for (const watching of watches) watching.close()
    await eventually('nothing is left open', () => descriptors() <= before + 1)
  })

  test('a watch that is not held lets the process end, one that is held keeps it until the end', async (context) => {
    const { child, pid, start } = await sleeper(context)
    const loose = startShmChild(context, ['watch', String(pid), String(start)])
    assert.equal(await loose.report(), 'watching')
    assert.equal(await loose.ended(), 0)
    const held = startShmChild(context, ['watch', String(pid), String(start), 'hold'])
    assert.equal(await held.report(), 'watching')
    child.kill('SIGKILL')
    assert.equal(await held.report(), 'ended')
    assert.equal(await held.ended(), 0)
  })

  test('a worker thread that ends leaves nothing, whatever it watches', async (context) => {
    const { pid, start } = await sleeper(context)
    const before = descriptors()
    const native = fileURLToPath(new URL('../../native/index.js', import.meta.url))
    const program = `import(${JSON.stringify(native)}).then(({ watchProcess }) => {
      globalThis.kept = [true, false].map((hold) => watchProcess({ pid: ${pid}, start: ${start}, hold }, () => {}))
      require('node:worker_threads').parentPort.postMessage('ready')
    })`
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(program, { eval: true })
      let ready = false
      worker.on('message', () => {
        ready = true
      })
      await eventually('the worker watches', () => ready)
      await worker.terminate()
      await eventually('nothing is left of it', () => descriptors() <= before)
    }
  })

  test('without a descriptor left the end is told even so', async (context) => {
    const { child, pid, start } = await sleeper(context)
    const native = fileURLToPath(new URL('../../native/index.js', import.meta.url))
    const program = `const { openSync, closeSync } = require('node:fs')
      import(${JSON.stringify(native)}).then(({ watchProcess, startOfProcess, isProcessAlive }) => {
        startOfProcess(process.pid)
        watchProcess({ pid: process.pid, start: 0 }, () => {})
        const taken = []
        try { for (;;) taken.push(openSync('/dev/null')) } catch {}
        const alive = isProcessAlive(${pid}, ${start})
        watchProcess({ pid: ${pid}, start: ${start}, hold: true }, () => process.stdout.write('ended\\n'))
        for (const descriptor of taken) closeSync(descriptor)
        process.stdout.write(alive + '\\n')
      })`
    const other = spawn('prlimit', ['--nofile=64:64', process.execPath, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    context.after(() => other.kill('SIGKILL'))
    let text = ''
    other.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    await eventually('it watches', () => text.includes('\n') || other.exitCode !== null)
    assert.equal(text, 'true\n')
    child.kill('SIGKILL')
    await eventually('it is told', () => text === 'true\nended\n' || other.exitCode !== null)
    assert.equal(text, 'true\nended\n')
  })

  test('a pid that cannot be one is refused', () => {
    for (const pid of [0, -1, 1.5, NaN, 2 ** 22 + 1, Infinity]) {
      assert.throws(() => watchProcess({ pid, start: 1 }, () => undefined), isCode('NPP_PROCESS_ARGUMENT'), String(pid))
    }
  })
})
