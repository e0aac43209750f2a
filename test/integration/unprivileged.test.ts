import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { suite, test, type TestContext } from 'node:test'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { scoreboardName } from '../../ipc/scoreboard-file.ts'
import { NppError } from '../../shared/errors.ts'
import { eventually } from '../support/eventually.ts'
import { NPP, SITES, environment, freshInstanceId, isAlive, runToEnd, type Ended } from '../support/instance.ts'
import { filesOf, pathInMemory } from '../support/shm-tools.ts'

const NOBODY = 65534
const FAULTS = `${SITES}faults`
const isRoot = process.getuid?.() === 0
/** Who runs the instance: nobody, where this is root, and otherwise who runs this. */
const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
const settings = isRoot ? { TEST_USER: 'nobody' } : {}

/** Whether nobody may read this checkout; root's home, for one, is closed. */
function mayBeRead(): boolean {
  return !isRoot || spawnSync(process.execPath, ['-e', 'fs.readFileSync(process.argv[1])', NPP], user).status === 0
}

interface Running {
  readonly id: string
  readonly child: ChildProcess
  readonly url: string
}

/** Starts the site as the unprivileged user. */
async function start(context: TestContext): Promise<Running> {
  const id = freshInstanceId()
  const env = environment({ NPP_ASYNC_ID: id, NPP_ASYNC_SVC_PROCESSES: '2', NPP_LOG_LEVEL: 'warn', HOME: '/' })
  const child = spawn(process.execPath, [NPP, 'start', FAULTS], { ...user, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  context.after(() => {
    child.kill('SIGKILL')
    removeAll(id)
  })
  await eventually('it listens', () => said.includes('"url":') || child.exitCode !== null, 30_000)
  const url = /"url":"(http:[^"]+)"/.exec(said)?.[1]
  if (url === undefined) throw new Error(`it ended instead: ${said}`)
  return { id, child, url }
}

/** Removes what an instance of whatever user has left; root may. */
function removeAll(id: string): void {
  const { requests, replies } = queueNames(id)
  PosixQueue.unlink(requests)
  PosixQueue.unlink(replies)
  for (const file of filesOf(id)) rmSync(pathInMemory(file))
}

/** The code with which the queue cannot be opened; '' where it can. */
function refusalOf(name: string): string {
  try {
    PosixQueue.open({ name }).close()
    return ''
  } catch (error) {
    assert.ok(error instanceof NppError)
    return error.code
  }
}

async function ask(url: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(url)
  return { status: response.status, text: await response.text() }
}

function assertRefused(ended: Ended, code: string): void {
  assert.equal(ended.status, 77, ended.stderr)
  assert.match(ended.stderr, new RegExp(code))
}

suite('an unprivileged user', () => {
  test('runs an instance, with calls and services that are killed', async (context) => {
    if (!mayBeRead()) {
      context.diagnostic('this checkout may be read by root only')
      return
    }
    const { id, child, url } = await start(context)
    const uid = isRoot ? NOBODY : (process.getuid?.() ?? 0)
    assert.equal(Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]), uid)
    const scoreboard = statSync(pathInMemory(scoreboardName(id)))
    assert.deepEqual([scoreboard.uid, scoreboard.mode & 0o777], [uid, 0o600])
    const pids = new Set<number>()
    for (let round = 0; round < 3; round++) {
      const token = `round-${round}`
      const { status, text } = await ask(`${url}/identity/${token}`)
      assert.equal(status, 200)
      assert.match(text, new RegExp(`"token":"${token}"`))
      const pid = Number(/"pid":(\d+)/.exec(text)?.[1])
      pids.add(pid)
      process.kill(pid, 'SIGKILL')
      await eventually('it is dead', () => !isAlive(pid))
    }
    assert.equal(pids.size, 3)
    assert.equal((await ask(`${url}/identity/after`)).status, 200)
    child.kill('SIGTERM')
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    for (const name of Object.values(queueNames(id))) assert.equal(refusalOf(name), 'NPP_QUEUE_MISSING')
    assert.deepEqual(filesOf(id), [])
  })

  test('has an instance that no other user touches, not even root', async (context) => {
    if (!isRoot || !mayBeRead()) {
      context.diagnostic('only root can be two users')
      return
    }
    const { id, child, url } = await start(context)
    for (const name of Object.values(queueNames(id))) assert.equal(refusalOf(name), 'NPP_QUEUE_PERMISSION')
    for (const command of ['start', 'svc']) assertRefused(runToEnd([command, FAULTS], { NPP_ASYNC_ID: id }), 'NPP_QUEUE_PERMISSION')
    assert.equal((await ask(`${url}/identity/still`)).status, 200)
    child.kill('SIGTERM')
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
  })

  test('is refused where a queue of that name is of another, which stays', (context) => {
    if (!isRoot || !mayBeRead()) {
      context.diagnostic('only root can be two users')
      return
    }
    for (const which of ['requests', 'replies'] as const) {
      const id = freshInstanceId()
      context.after(() => removeAll(id))
      const queue = PosixQueue.open({ name: queueNames(id)[which], create: true, exclusive: true, maxMessages: 1, messageSize: 64 })
      try {
        assert.ok(queue.push(Buffer.from('mine')))
        assertRefused(runToEnd(['start', FAULTS], { ...settings, NPP_ASYNC_ID: id }), 'NPP_QUEUE_PERMISSION')
        if (which === 'requests') assertRefused(runToEnd(['svc', FAULTS], { ...settings, NPP_ASYNC_ID: id }), 'NPP_QUEUE_PERMISSION')
        assert.ok(queue.isCurrent())
        assert.equal(queue.count(), 1)
      } finally {
        queue.close()
      }
      const other = which === 'requests' ? 'replies' : 'requests'
      assert.equal(refusalOf(queueNames(id)[other]), 'NPP_QUEUE_MISSING', 'nothing is left')
    }
  })

  for (const [who, owner, starter] of [
    ['of another user', 0, settings],
    ['of nobody, by root', NOBODY, {}],
  ] as const)
    test(`is refused where a scoreboard of that name is ${who}; it stays`, (context) => {
      if (!isRoot || !mayBeRead()) {
        context.diagnostic('only root can be two users')
        return
      }
      const id = freshInstanceId()
      context.after(() => removeAll(id))
      const path = pathInMemory(scoreboardName(id))
      writeFileSync(path, 'theirs', { mode: 0o600 })
      chownSync(path, owner, owner)
      assertRefused(runToEnd(['start', FAULTS], { ...starter, NPP_ASYNC_ID: id }), 'NPP_SHM_PERMISSION')
      assert.ok(existsSync(path))
      assert.equal(readFileSync(path, 'utf8'), 'theirs')
      for (const name of Object.values(queueNames(id))) assert.equal(refusalOf(name), 'NPP_QUEUE_MISSING')
    })
})
