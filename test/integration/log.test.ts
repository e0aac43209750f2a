import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { eventually } from '../support/eventually.ts'
import { NppProcess, SITES, environment, isAlive, startInstance, type Instance } from '../support/instance.ts'

const CHILD = fileURLToPath(new URL('../support/log-child.js', import.meta.url))
const FAULTS = `${SITES}faults`
/** Only a process that hangs takes as long. */
const HANG_MS = 20_000

async function start(context: TestContext, settings: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const instance = await startInstance(FAULTS, settings)
  context.after(() => instance.stop('SIGKILL'))
  return instance
}

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url, { signal: AbortSignal.timeout(HANG_MS) })
  await response.arrayBuffer()
  return response.status
}

function residentBytes(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

/** Shell commands whose output is a socket, as Node makes it, and a pipe, as a shell does. */
const OUTPUTS = { socket: '"$0" "$1" "$2"', pipe: '"$0" "$1" "$2" | cat' } as const

describe('a log whose reader is gone', () => {
  test('leaves npp start serving, calling, watching over its services, and ending as ever', async (context) => {
    const instance = await start(context)
    await eventually('a service is there', () => instance.servicePids.length === 1)
    const [service] = instance.servicePids
    assert.ok(service !== undefined)
    instance.child.stdout?.destroy()
    for (let round = 0; round < 3; round++) {
      assert.equal(await statusOf(`${instance.url}/throws`), 500, 'an error in the log of npp_app')
      assert.equal(await statusOf(`${instance.url}/throwing`), 500, 'an error in the log of npp_svc')
      assert.equal(await statusOf(`${instance.url}/hello`), 200)
      assert.equal(await statusOf(`${instance.url}/identity/x`), 200)
    }
    process.kill(service, 'SIGKILL')
    await eventually('it is dead', () => !isAlive(service))
    assert.equal(await statusOf(`${instance.url}/identity/x`), 200)
    assert.equal(await instance.stop(), 0)
    assert.deepEqual(instance.queues, [])
  })

  test('leaves npp svc running, and ending as ever', async (context) => {
    const instance = await start(context, { NPP_ASYNC_SVC_PROCESSES: '0' })
    const service = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: instance.id }))
    context.after(() => service.stop('SIGKILL'))
    await eventually('it is attached', () => service.stdout.includes('npp_svc attached'))
    service.child.stdout?.destroy()
    assert.equal(await statusOf(`${instance.url}/throwing`), 500)
    assert.equal(await statusOf(`${instance.url}/identity/x`), 200)
    assert.equal(await service.stop(), 0)
    assert.equal(await instance.stop(), 0)
  })
})

test('a log on a full device leaves the process running, and ending by itself', async (context) => {
  const full = openSync('/dev/full', 'w')
  context.after(() => closeSync(full))
  const child = spawn(process.execPath, [CHILD, 'flood'], { stdio: ['pipe', full, 'inherit'] })
  context.after(() => child.kill('SIGKILL'))
  child.stdin?.end()
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(HANG_MS) })
  assert.equal(code, 0)
})

describe('a log that is not read', () => {
  test('holds no request up, takes bounded memory, and says what was lost when it is read again', async (context) => {
    const instance = await start(context)
    const { stdout } = instance.child
    assert.ok(stdout !== null)
    stdout.pause()
    // A longer line is more than a pipe takes at once, so that another process may come in between.
    const target = `/hello?${'x'.repeat(3500)}`
    let asked = 0
    let longest = 0
    const flood = async (count: number): Promise<void> => {
      const client = async (): Promise<void> => {
        while (asked < count) {
          asked++
          const began = performance.now()
          assert.equal(await statusOf(instance.url + target), 200)
          longest = Math.max(longest, performance.now() - began)
        }
      }
      await Promise.all(Array.from({ length: 20 }, client))
    }
    // 16 MiB wait at the most; 40 MB are logged before the memory is measured, and as many again.
    await flood(10_000)
    const before = residentBytes(instance.pid)
    await flood(20_000)
    assert.ok(residentBytes(instance.pid) < before + 20e6, `${before} became ${residentBytes(instance.pid)}`)
    assert.equal(await statusOf(`${instance.url}/throws`), 500)
    assert.equal(await statusOf(`${instance.url}/identity/x`), 200)
    // A request takes some milliseconds, the one wait for the reader 100: ten times that is a loaded machine.
    assert.ok(longest < 1000, `a request took ${longest} ms`)
    stdout.resume()
    await eventually('what was lost is told', () => instance.stdout.includes('"lost":'))
    assert.equal(await statusOf(`${instance.url}/hello?last`), 200)
    await eventually('the last line is there', () => instance.stdout.includes('/hello?last'))
    // Throws where a line is not whole.
    const { log } = instance
    const lost = log.reduce((sum, line) => sum + (typeof line['lost'] === 'number' ? line['lost'] : 0), 0)
    const logged = log.filter((line) => line['target'] === target).length
    // Beside the requests of the flood, the other two and the error may be among the lost.
    assert.ok(logged + lost >= 20_000 && logged + lost <= 20_003, `${logged} lines and ${lost} lost`)
    assert.ok(lost > 1000)
    assert.equal(await instance.stop(), 0)
    assert.deepEqual(instance.queues, [])
  })

  test('does not keep npp start from ending', async (context) => {
    const instance = await start(context)
    instance.child.stdout?.pause()
    for (let count = 0; count < 300; count++) await statusOf(`${instance.url}/hello?${'x'.repeat(4000)}`)
    instance.child.kill('SIGTERM')
    await once(instance.child, 'exit', { signal: AbortSignal.timeout(HANG_MS) })
    assert.equal(instance.child.exitCode, 0)
    assert.deepEqual(instance.queues, [])
    instance.child.stdout?.resume()
  })

  for (const [kind, command] of Object.entries(OUTPUTS)) {
    test(`does not keep a process from ending that writes to a ${kind}`, async (context) => {
      const child = spawn('sh', ['-c', `${command}; echo done >&2`, process.execPath, CHILD, 'stuck'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      context.after(() => child.kill('SIGKILL'))
      // `cat` ends only when it is read; the process before it must have ended by then, which the shell does not tell: /proc does.
      if (kind === 'socket') await once(child.stderr, 'data', { signal: AbortSignal.timeout(HANG_MS) })
      else await eventually('it has ended', () => !childrenOf(child.pid ?? 0).some((line) => line.includes('log-child')), HANG_MS)
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      await once(child, 'close')
      assert.ok(text.split('\n').slice(0, -1).every(isObject), 'whole lines')
    })
  }
})

/** Command lines of the children of a process. */
function childrenOf(pid: number): string[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  // One that runs no program yet has the command line of the shell, which names the program too.
  return pids.filter((child) => isAlive(Number(child))).map((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8'))
}

function isObject(line: string): boolean {
  const value: unknown = JSON.parse(line)
  return typeof value === 'object' && value !== null
}

/** Reads a piece now and then, until the line is there. */
async function readSlowly(stream: Readable, last: string): Promise<string> {
  const chunks: Buffer[] = []
  const began = performance.now()
  for (let end = ''; !end.includes(last);) {
    const chunk: unknown = stream.read()
    if (Buffer.isBuffer(chunk)) {
      chunks.push(chunk)
      end = Buffer.concat(chunks.slice(-2)).toString('latin1')
    }
    if (performance.now() - began > 3 * HANG_MS) throw new Error(`the last line did not come: ${end.slice(-200)}`)
    await sleep(1)
  }
  return Buffer.concat(chunks).toString()
}

describe('a log that is read slowly', () => {
  for (const [kind, command] of Object.entries(OUTPUTS)) {
    test(`comes whole and in order through a ${kind}`, async (context) => {
      const child = spawn('sh', ['-c', command, process.execPath, CHILD, 'flood'], { stdio: ['pipe', 'pipe', 'inherit'] })
      context.after(() => child.kill('SIGKILL'))
      const text = await readSlowly(child.stdout, '"number":99999,')
      child.stdin.end()
      child.stdout.resume()
      await once(child, 'close', { signal: AbortSignal.timeout(HANG_MS) })
      const numbers = [...text.matchAll(/^\{.*"number":(\d+),"msg":"(?:€*|ä€😀)"\}$/gm)].map((match) => Number(match[1]))
      assert.deepEqual(
        numbers,
        Array.from({ length: 100_000 }, (_, number) => number),
      )
    })
  }
})
