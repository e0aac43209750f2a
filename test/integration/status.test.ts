import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { copyScoreboard, scoreboardName } from '../../ipc/scoreboard-file.ts'
import { eventually } from '../support/eventually.ts'
import { NppProcess, SITES, environment, freshInstanceId, runToEnd, startInstance, type Instance } from '../support/instance.ts'
import { figuresOf, statusNow } from '../support/status.ts'

const FAULTS = `${SITES}faults`

let npp: Instance

async function ask(path: string, body?: Buffer): Promise<number> {
  const answer = await fetch(npp.url + path, body === undefined ? {} : { method: 'POST', body })
  await answer.arrayBuffer()
  return answer.status
}

function status(...flags: readonly string[]): ReturnType<typeof runToEnd> {
  return runToEnd(['status', FAULTS, ...flags], { NPP_ASYNC_ID: npp.id })
}

/** Blocks of memory that the scoreboard takes. */
function memory(): string {
  const maps = readFileSync(`/proc/${npp.pid}/smaps`, 'utf8')
  const at = maps.indexOf(scoreboardName(npp.id))
  return maps.slice(at, maps.indexOf('VmFlags', at))
}

suite('the status of an instance', () => {
  before(async () => {
    npp = await startInstance(FAULTS, { NPP_ASYNC_SVC_PROCESSES: '2' })
    await eventually('both are there', () => statusNow(npp).serviceProcesses.length === 2)
  })

  after(async () => {
    assert.equal(await npp.stop(), 0)
    assert.ok(!existsSync(`/dev/shm/${scoreboardName(npp.id)}`))
  })

  test('has its processes, each in its phase', async () => {
    const { engines, serviceProcesses } = statusNow(npp)
    assert.deepEqual(
      engines.map(({ pid, phase }) => [pid, phase]),
      [[npp.pid, 'running']],
    )
    await eventually('the log tells of both', () => npp.servicePids.length === 2)
    assert.deepEqual(new Set(serviceProcesses.map(({ pid }) => pid)), new Set(npp.servicePids))
    await eventually('they run', () => statusNow(npp).serviceProcesses.every(({ phase }) => phase === 'running'))
    for (const { startedAt, upSeconds } of [...engines, ...serviceProcesses]) {
      assert.ok(upSeconds >= 0 && upSeconds < 600, String(upSeconds))
      assert.ok(Math.abs(Date.parse(startedAt) - (Date.now() - upSeconds * 1000)) < 60_000, startedAt)
    }
  })

  test('counts what was called, to the last call and byte', async () => {
    const before = statusNow(npp)
    const busyBefore = before.serviceProcesses.reduce((sum, { calls }) => sum + calls, 0)
    const sizes = [0, 1, 100, 4000]
    for (const size of sizes) assert.equal(await ask('/bytes', Buffer.alloc(size, 7)), 200)
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    await Promise.all(Array.from({ length: 200 }, (_, index) => ask(`/identity/${index}`)))
    for (let count = 0; count < 3; count++) assert.equal(await ask('/throwing'), 500)
    assert.equal(await ask('/rejecting'), 500)
    assert.equal(await ask('/slow/a?ms=300&timeoutMs=100'), 504)
    await eventually(
      'all are counted',
      () => statusNow(npp).serviceProcesses.reduce((sum, { calls }) => sum + calls, 0) === busyBefore + 209,
    )
    const figures = figuresOf(npp, 'bytes')
    assert.deepEqual([figures?.calls, figures?.errors, figures?.bytesIn, figures?.bytesOut], [4, 0, bytes, bytes])
    assert.equal(figuresOf(npp, 'identity')?.calls, 200)
    for (const [name, calls] of [
      ['throwing', 3],
      ['rejecting', 1],
    ] as const) {
      const failing = figuresOf(npp, name)
      assert.deepEqual([failing?.calls, failing?.errors, failing?.timeouts], [calls, calls, 0])
    }
    await eventually('it is over', () => figuresOf(npp, 'slow')?.calls === 1)
    await eventually('the engine has told', () => figuresOf(npp, 'slow')?.timeouts === 1)
    const slow = figuresOf(npp, 'slow')
    assert.deepEqual([slow?.errors, slow?.retries, slow?.backlog], [0, 0, 0])
    // 300 ms lie in the bucket up to 2^19 microseconds, more where the machine was busy.
    assert.ok((slow?.run.p50Micros ?? 0) >= 2 ** 19, JSON.stringify(slow))
    assert.ok((figuresOf(npp, 'identity')?.wait.meanMicros ?? 0) > 0)
    // The reply that came too late is the last thing that the engine heard of all this.
    await eventually('the engine has told all', () => statusNow(npp).engines[0]?.staleReplies === 1)
    const { engines, serviceProcesses } = statusNow(npp)
    assert.equal(engines[0]?.requests, (before.engines[0]?.requests ?? 0) + 209)
    assert.ok((engines[0]?.accepted ?? 0) > 0)
    assert.ok(serviceProcesses.some(({ busy }) => busy > 0))
  })

  test('shows calls in hand and in the backlog', async () => {
    const busy = [1, 2].map(() => ask('/busy?ms=3000'))
    await eventually('both are busy', () =>
      statusNow(npp).serviceProcesses.every(({ callsInHand }) => callsInHand.length === 1 && callsInHand[0]?.service === 'busy'),
    )
    const [call] = statusNow(npp).serviceProcesses[0]?.callsInHand ?? []
    assert.ok(call && call.sinceMs >= 0 && call.leftMs > 50_000 && !call.waits)
    // The queue has ten messages, and a service that was never answered travels alone.
    const waiting = Array.from({ length: 14 }, (_, index) => ask(`/brief/${index}`))
    await eventually('it is told', () => figuresOf(npp, 'brief')?.backlog === 4)
    assert.equal(statusNow(npp).engines[0]?.pendingCalls, 16)
    assert.equal(statusNow(npp).engines[0]?.backlog, 4)
    assert.ok([...(await Promise.all(busy)), ...(await Promise.all(waiting))].every((code) => code === 200))
    await eventually('it is gone', () => figuresOf(npp, 'brief')?.backlog === 0)
  })

  test('is said by npp status, for people and for programs, without the instance noticing', () => {
    const [files, taken] = [readdirSync('/dev/shm').toSorted(), memory()]
    const said = status()
    assert.equal(said.status, 0, said.stderr)
    assert.match(said.stdout, new RegExp(`^instance ${npp.id}$`, 'm'))
    assert.match(said.stdout, new RegExp(`^npp_app +${npp.pid} +running `, 'm'))
    assert.equal(said.stdout.match(/^npp_svc +\d+ +running .* 0 of 1 +\d+ % +\d+/gm)?.length, 2)
    assert.match(said.stdout, /^service +calls +errors +timeouts +retries +backlog +wait p50 +p99 +run p50 +p99 +in +out$/m)
    assert.match(said.stdout, /^throwing +3 +3 +0 +0 +0 +< \S+ [µm]?s +< /m)
    const json = status('--json')
    assert.equal(json.status, 0, json.stderr)
    const value: unknown = JSON.parse(json.stdout)
    assert.ok(typeof value === 'object' && value !== null && 'engines' in value && 'services' in value && Array.isArray(value.services))
    assert.ok(value.services.length > 4)
    assert.deepEqual(
      readdirSync('/dev/shm')
        .toSorted()
        .filter((name) => name.includes(npp.id)),
      files.filter((name) => name.includes(npp.id)),
    )
    assert.equal(memory(), taken)
    assert.equal(statusNow(npp).serviceProcesses.length, 2)
  })

  test('knows services that were started by hand, and those that were killed no more', async () => {
    const svc = new NppProcess(['svc', FAULTS], environment({ NPP_ASYNC_ID: npp.id }))
    try {
      await eventually('it is there', () => statusNow(npp).serviceProcesses.some(({ pid }) => pid === svc.pid))
    } finally {
      await svc.stop('SIGKILL')
    }
    assert.ok(!statusNow(npp).serviceProcesses.some(({ pid }) => pid === svc.pid))
    // No call was made since: the engine was told that it came, and so sees that it went.
    await eventually('its slot is free', () => copyScoreboard(npp.id).occupants().length === 3)
  })

  test('of an instance that does not run: a clear message and exit code 75', () => {
    const { status: code, stdout, stderr } = runToEnd(['status', FAULTS], { NPP_ASYNC_ID: freshInstanceId() })
    assert.deepEqual([code, stdout], [75, ''])
    assert.match(stderr, /^npp: no npp_app of the instance \S+ runs: .*\(NPP_NO_INSTANCE\)$/m)
  })

  test('of an instance that was killed: the same', async () => {
    const other = await startInstance(FAULTS, { NPP_ASYNC_SVC_PROCESSES: '0' })
    try {
      assert.equal(statusNow(other).engines.length, 1)
      other.child.kill('SIGKILL')
      await other.exited
      assert.ok(existsSync(`/dev/shm/${scoreboardName(other.id)}`))
      assert.equal(runToEnd(['status', FAULTS], { NPP_ASYNC_ID: other.id }).status, 75)
    } finally {
      await other.stop('SIGKILL')
    }
  })
})
