import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DecodeError, messageLengthOf } from '../../ipc/frame.ts'
import { attachedServices, processorMs, stateOf, withScoreboard } from '../support/attached.ts'
import { CallLoad, percentile, type Answered } from '../support/call-load.ts'
import { eventually } from '../support/eventually.ts'
import { framesOf, valueOf } from '../support/frames.ts'
import { isAlive, SITES, startInstance, type Instance } from '../support/instance.ts'
import { filesOf } from '../support/shm-tools.ts'

const LOAD_MS = Number(process.env['TEST_KILL_SECONDS'] ?? 30) * 1000
const KILL_EVERY_MS = 200
const CLIENTS = 64
const PROCESSES = 3

interface Chaos {
  readonly npp: Instance
  /** Pids that have begun the calls, by their tokens. */
  readonly begun: () => Map<string, number[]>
}

async function start(context: TestContext): Promise<Chaos> {
  const folder = mkdtempSync(join(tmpdir(), 'npp-chaos-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'begun')
  const npp = await startInstance(`${SITES}chaos`, {
    NPP_ASYNC_SVC_PROCESSES: String(PROCESSES),
    NPP_ASYNC_SVC_CONCURRENCY: '8',
    NPP_LOG_LEVEL: 'warn',
    TEST_BEGUN: file,
  })
  context.after(() => npp.stop('SIGKILL'))
  await eventually('all are attached', () => attachedServices(npp.id).length === PROCESSES)
  const begun = (): Map<string, number[]> => {
    const pids = new Map<string, number[]>()
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [token = '', pid] = line.split(' ')
      if (pid !== undefined) pids.set(token, [...(pids.get(token) ?? []), Number(pid)])
    }
    return pids
  }
  return { npp, begun }
}

/** Three of four calls are short; the others compute or wait for 20 to 50 ms. Half of them may be made again. */
function pathOf(token: string): string {
  let number = 7
  for (let at = 0; at < token.length; at++) number = (Math.imul(number, 31) + token.charCodeAt(at)) >>> 0
  const ms = number % 4 === 0 ? 20 + (number % 31) : 0
  const kind = (number >>> 8) % 2 === 0 ? 'compute' : 'wait'
  return `/${kind}${isIdempotent(number) ? 'Again' : ''}/${token}?ms=${ms}`
}

function isIdempotent(number: number): boolean {
  return (number >>> 12) % 2 === 0
}

/** Nothing of the instance is left when it has ended. */
async function assertNothingLeft(npp: Instance, pids: readonly number[]): Promise<void> {
  assert.equal(await npp.stop(), 0)
  assert.deepEqual(npp.queues, [])
  assert.deepEqual(filesOf(npp.id), [])
  await eventually('all processes have ended', () => !pids.some((pid) => isAlive(pid)))
}

interface Judged {
  /** Milliseconds from the kill of whoever had begun a call to its answer, where that was 502. */
  readonly failed: number[]
  /** Of those of idempotent services: two services that had begun them were killed. */
  readonly failedAgain: number[]
  /** The same for those that another service has answered. */
  readonly again: number[]
  /** Of 502 for a call of an idempotent service of which that is not known. */
  readonly unexplained: number[]
}

/** Checks every answer against its own request, and finds those whose service was killed. */
function judge(answered: readonly Answered[], othersOf: (one: Answered) => readonly number[], kills: ReadonlyMap<number, number>): Judged {
  const judged: Judged = { failed: [], failedAgain: [], again: [], unexplained: [] }
  for (const one of answered) {
    // 503 is not among them: while somebody starts services anew, calls wait for one.
    assert.ok(one.status === 200 || one.status === 502, `${one.path}: ${one.status}`)
    if (one.status === 200) assert.equal(one.answeredToken, one.token)
    const deaths = othersOf(one).flatMap((pid) => kills.get(pid) ?? [])
    const since = one.end - Math.max(...deaths, one.start)
    if (one.status === 200) {
      if (deaths.length > 0) judged.again.push(since)
    } else if (!one.path.includes('Again')) {
      if (deaths.length > 0) judged.failed.push(since)
    } else (deaths.length > 1 ? judged.failedAgain : judged.unexplained).push(since)
  }
  return judged
}

suite('services that are killed under load', () => {
  test('each call is answered soon, with its own answer; nothing is left', async (context) => {
    const { npp, begun } = await start(context)
    const kills = new Map<number, number>()
    const end = performance.now() + LOAD_MS
    const load = new CallLoad({ url: npp.url, clients: CLIENTS, next: (token) => (performance.now() < end ? pathOf(token) : undefined) })
    let spared = 0
    while (performance.now() < end - KILL_EVERY_MS) {
      await sleep(KILL_EVERY_MS)
      const pids = attachedServices(npp.id)
      const pid = pids[Math.floor(Math.random() * pids.length)]
      if (pid === undefined) {
        spared++
        continue
      }
      kills.set(pid, performance.now())
      process.kill(pid, 'SIGKILL')
    }
    await load.ended

    const begunBy = begun()
    const judged = judge(load.answered, (one) => (begunBy.get(one.token) ?? []).filter((pid) => pid !== one.pid), kills)
    const said = [`${kills.size} kills, ${spared} times nobody was there; ${load.answered.length} answers, ${load.count(502)} of 502`]
    for (const [what, values] of Object.entries(judged))
      said.push(
        `${what} ${values.length}, p50 ${percentile(values, 0.5).toFixed()} ms, p95 ${percentile(values, 0.95).toFixed()} ms, max ${Math.max(...values, 0).toFixed()} ms`,
      )
    for (const line of said) context.diagnostic(line)
    const { failed, again, failedAgain, unexplained } = judged
    // A call of an idempotent service is made again once. One that loses two services in a row is answered 502: it takes a second kill within
    // the tens of milliseconds that it takes to run again, so that there is none in most runs, and a few where others want the cores.
    // One or two may have been killed when they were about to say that they had begun.
    assert.ok(unexplained.length <= 2, `calls of idempotent services were not made again: ${said.join('; ')}`)
    assert.ok(failedAgain.length * 20 <= again.length, said.join('; '))
    assert.ok(failed.length > 0 && again.length > failedAgain.length, said.join('; '))
    // 200 ms after the kill is what is wanted. It takes 20 to 60 on a machine whose two cores the engine has to share with this client, with
    // three services that compute or start, and with nobody else. Where others want the cores four times over, one of twenty took 150 to 200:
    // so nine of ten have to be in time, and only a hang takes a second.
    assert.ok(percentile([...failed, ...failedAgain], 0.9) <= 200, said.join('; '))
    assert.ok(Math.max(...failed, ...failedAgain) <= 1000, said.join('; '))
    assert.ok(kills.size > 10, `${kills.size} kills`)
    await assertNothingLeft(npp, [npp.pid, ...kills.keys()])
  })
})

/** The tokens of the calls in the last message that a service has taken. */
function takenBy(id: string, pid: number): Set<string> {
  return withScoreboard(id, (board) => {
    const occupant = board.occupants().find((one) => one.pid === pid)
    const inbox = occupant === undefined ? undefined : board.inboxOf(occupant)
    assert.ok(inbox !== undefined, 'the service has no slot')
    const frames = framesOf(inbox, messageLengthOf(inbox))
    if (frames instanceof DecodeError) return new Set()
    return new Set(frames.map((frame) => String(Object.values(Object(valueOf(frame)))[0])))
  })
}

const STOP_MS = 2000
const PATIENCE_MS = 1000

suite('a service that is stopped for a while', () => {
  test('has the calls of one message late, and no other', async (context) => {
    const { npp } = await start(context)
    let ending = false
    // Every second client has less patience than the stop is long. Each call computes alone: so a process has one message in hand.
    const next = (token: string, client: number): string | undefined =>
      ending ? undefined : `/compute/${token}?ms=3${client % 2 === 0 ? `&timeoutMs=${PATIENCE_MS}` : ''}`
    const load = new CallLoad({ url: npp.url, clients: 16, next })
    const held = new Set<string>()
    const stops: number[] = []
    for (let round = 0; round < 10 && held.size === 0; round++) {
      await sleep(500)
      const [pid = 0] = attachedServices(npp.id)
      process.kill(pid, 'SIGSTOP')
      const stoppedAt = performance.now()
      stops.push(stoppedAt)
      // SIGSTOP has its effect at once where the process does not run, and at the next tick of the kernel's clock where it does.
      await eventually('it is stopped', () => stateOf(pid) === 'T')
      const before = load.answered.length
      const taken = takenBy(npp.id, pid)
      await sleep(STOP_MS)
      const others = load.answered.slice(before)
      process.kill(pid, 'SIGCONT')
      assert.ok(others.filter((one) => one.status === 200 && one.pid !== pid).length > 50, `${others.length} were answered meanwhile`)
      await sleep(100)
      for (const one of load.answered.slice(before))
        if (one.end - one.start > PATIENCE_MS * 0.9 && one.start <= stoppedAt + 50) held.add(one.token)
      for (const token of held) assert.ok(taken.has(token), `${token} was late, and in nobody's hand`)
      assert.ok(held.size <= taken.size)
    }
    ending = true
    await load.ended
    assert.ok(held.size > 0, `nothing was in hand in ${stops.length} stops`)
    for (const one of load.answered) {
      if (one.status === 200) assert.equal(one.answeredToken, one.token)
      else assert.ok(one.status === 504 && one.path.includes('timeoutMs') && held.has(one.token), `${one.path}: ${one.status}`)
    }
    await assertNothingLeft(npp, [npp.pid])
  })
})

suite('an engine that is stopped for a while', () => {
  test('has every call answered when it goes on, and services that wait for room in the reply queue do nothing', async (context) => {
    const { npp } = await start(context)
    let ending = false
    const load = new CallLoad({ url: npp.url, clients: CLIENTS, next: (token) => (ending ? undefined : pathOf(token)) })
    await eventually('calls are answered', () => load.answered.length > CLIENTS)
    const services = attachedServices(npp.id)
    process.kill(npp.pid, 'SIGSTOP')
    await eventually('it is stopped', () => stateOf(npp.pid) === 'T')
    // What is in the queue they still do.
    await sleep(STOP_MS / 2)
    const before = services.map(processorMs)
    await sleep(STOP_MS / 2)
    const used = services.map((pid, index) => processorMs(pid) - (before[index] ?? 0))
    process.kill(npp.pid, 'SIGCONT')
    await sleep(500)
    ending = true
    await load.ended
    for (const one of load.answered) assert.deepEqual([one.path, one.status, one.answeredToken], [one.path, 200, one.token])
    for (const milliseconds of used) assert.ok(milliseconds < STOP_MS / 8, `${used.join(', ')} ms of the processor`)
    assert.deepEqual(attachedServices(npp.id), services)
    await assertNothingLeft(npp, [npp.pid])
  })
})
