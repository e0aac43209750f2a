import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { eventually } from '../support/eventually.ts'
import { ROOT, environment, freshInstanceId, isAlive, queuesOf } from '../support/instance.ts'

const run = promisify(execFile)
const PM2 = `${ROOT}node_modules/pm2/bin/pm2`

/** A port that is free now. pm2's processes cannot tell which one they picked, so the test picks. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

function titleOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0] ?? ''
}

test('the real pm2 starts, scales and deletes npp', { timeout: 180_000 }, async (context) => {
  const home = mkdtempSync(join(tmpdir(), 'npp-pm2-'))
  const id = freshInstanceId()
  const port = await freePort()
  const env = environment({ PM2_HOME: home, NPP_ASYNC_ID: id, NPP_HTTP_PORT: String(port) })
  const pm2 = async (...args: readonly string[]): Promise<string> =>
    (await run(process.execPath, [PM2, ...args], { cwd: ROOT, env })).stdout
  context.after(async () => {
    await pm2('kill').catch(() => undefined) // Without a daemon there is nothing to kill.
    rmSync(home, { recursive: true, force: true })
  })

  const url = `http://127.0.0.1:${port}`
  const answeringPid = async (): Promise<number> => {
    const answer = await fetch(`${url}/async/hello`)
    if (answer.status !== 200) return 0
    const body: unknown = await answer.json()
    return typeof body === 'object' && body !== null && 'pid' in body && typeof body.pid === 'number' ? body.pid : 0
  }
  const pids = async (name: string): Promise<number[]> => {
    const list: unknown = JSON.parse(await pm2('jlist'))
    assert.ok(Array.isArray(list))
    return list.flatMap((entry: unknown) =>
      typeof entry === 'object' &&
      entry !== null &&
      'name' in entry &&
      entry.name === name &&
      'pid' in entry &&
      typeof entry.pid === 'number'
        ? [entry.pid]
        : [],
    )
  }

  await pm2('start', 'ecosystem.config.js')
  await eventually('a service answers', async () => (await answeringPid()) > 0)
  const [app = 0, ...moreApps] = await pids('npp_app')
  const [first = 0, ...moreServices] = await pids('npp_svc')
  assert.deepEqual([moreApps, moreServices], [[], []])
  assert.equal(titleOf(app), 'npp_app')
  assert.equal(titleOf(first), 'npp_svc')
  assert.equal(await answeringPid(), first, 'npp_app forked no service of its own')

  await pm2('scale', 'npp_svc', '3')
  const services = await pids('npp_svc')
  assert.equal(services.length, 3)
  const seen = new Set<number>()
  await eventually('all three take work', async () => {
    for (const pid of await Promise.all(Array.from({ length: 30 }, answeringPid))) seen.add(pid)
    return seen.size === 3
  })
  assert.deepEqual(seen, new Set(services))

  await pm2('restart', 'npp_app')
  await eventually('the services serve the next npp_app', async () => (await answeringPid().catch(() => 0)) > 0)

  const all = [...(await pids('npp_app')), ...services]
  await pm2('delete', 'ecosystem.config.js')
  assert.deepEqual(
    all.filter((pid) => isAlive(pid)),
    [],
  )
  assert.deepEqual(queuesOf(id), [])
  assert.deepEqual(
    readdirSync('/dev/shm').filter((name) => name.includes(id)),
    [],
  )
})
