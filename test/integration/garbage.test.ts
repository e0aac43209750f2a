import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import { encodeBody } from '../../ipc/body.ts'
import { BodyForm, EncodeError, FrameKind } from '../../ipc/frame.ts'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { attachedServices, withScoreboard } from '../support/attached.ts'
import { CallLoad, percentile } from '../support/call-load.ts'
import { eventually } from '../support/eventually.ts'
import { BASE, messageOf } from '../support/frames.ts'
import { isAlive, SITES, startInstance, type Instance } from '../support/instance.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import { filesOf } from '../support/shm-tools.ts'

const CLIENTS = 16
const NOBODY = 2 ** 32 - 1
const FLOOD_MS = 4000

let npp: Instance
let requests: PosixQueue
let replies: PosixQueue
let load: CallLoad
let epoch = 0
let services: number[] = []
let ending = false
/** Messages put into the queues that no process can make anything of. */
let nonsense = 0
const random = new SeededRandom(2026)

/** Puts a message into a queue, waiting for room. */
async function put(queue: PosixQueue, bytes: Uint8Array, priority = 0): Promise<void> {
  while (!queue.push(bytes, 0, bytes.byteLength, priority)) await nextTurn()
}

async function putNonsense(bytes: Uint8Array, priority = 0): Promise<void> {
  for (const queue of [requests, replies]) {
    await put(queue, bytes, priority)
    nonsense++
  }
}

/** Some of the messages that the processes of `pids` would have taken: they are stopped for a moment. */
async function taken(queue: PosixQueue, pids: readonly number[]): Promise<Buffer[]> {
  const messages: Buffer[] = []
  const into = Buffer.alloc(queue.messageSize)
  await eventually('a message is in the queue', async () => {
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    try {
      await sleep(20)
      for (let length = queue.shift(into); length !== -1; length = queue.shift(into)) messages.push(Buffer.from(into.subarray(0, length)))
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT')
    }
    return messages.length > 0
  })
  return messages
}

/** The queues, and who reads them. */
function readers(): [PosixQueue, number[]][] {
  return [
    [requests, services],
    [replies, [npp.pid]],
  ]
}

/** As many requests as there are clients, and as many again, are answered from now on. */
async function goesOn(): Promise<void> {
  const { length } = load.answered
  await eventually('calls are answered', () => load.answered.length > length + CLIENTS * 2)
}

function reply(changes: Partial<typeof BASE>): Buffer {
  return messageOf([{ ...BASE, kind: FrameKind.Reply, name: '', priority: 0, engine: 0, epoch, body: Buffer.from([0xc0]), ...changes }])
}

function announcements(values: readonly unknown[]): Buffer[] {
  const writer = new BatchWriter(replies.messageSize, process.pid)
  const messages: Buffer[] = []
  const complete = (): void => {
    if (writer.frames > 0) messages.push(Buffer.from(writer.bytes.subarray(0, writer.length)))
    writer.begin(0, 0)
  }
  complete()
  for (const value of values) {
    const body = encodeBody(value)
    if (body instanceof EncodeError) assert.fail(body.reason)
    if (writer.reply(FrameKind.Announcement, 0, 0, 0, BodyForm.Packed, body)) continue
    complete()
    assert.ok(writer.reply(FrameKind.Announcement, 0, 0, 0, BodyForm.Packed, body))
  }
  complete()
  return messages
}

async function hello(): Promise<void> {
  // Read to its end, or its connection would not be used again.
  assert.equal(await (await fetch(`${npp.url}/hello`)).text(), 'Hello World!')
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

/** Warnings of one message, and those that were left out. */
function warnings(): { readonly lines: number; readonly leftOut: number } {
  const all = npp.log.filter((line) => line['level'] === 40)
  const leftOut = all.reduce((sum, line) => sum + (typeof line['leftOut'] === 'number' ? line['leftOut'] : 0), 0)
  return { lines: all.filter((line) => line['leftOut'] === undefined).length, leftOut }
}

suite('messages of garbage on both queues, under load', () => {
  before(async () => {
    npp = await startInstance(`${SITES}chaos`, { NPP_ASYNC_SVC_PROCESSES: '2', NPP_ASYNC_SVC_CONCURRENCY: '4', NPP_ACCESS_LOG: '0' })
    await eventually('both are attached', () => attachedServices(npp.id).length === 2)
    services = attachedServices(npp.id)
    const names = queueNames(npp.id)
    requests = PosixQueue.open({ name: names.requests })
    replies = PosixQueue.open({ name: names.replies })
    epoch = withScoreboard(npp.id, (board) => board.epoch)
    const kinds = ['compute', 'wait', 'computeAgain', 'waitAgain']
    const next = (token: string, client: number): string | undefined =>
      ending ? undefined : `/${kinds[client % 4]}/${token}?ms=${client % 3}`
    load = new CallLoad({ url: npp.url, clients: CLIENTS, next })
    await goesOn()
  })

  after(async () => {
    ending = true
    requests.close()
    replies.close()
    await npp.stop('SIGKILL')
  })

  test('random bytes', async () => {
    await putNonsense(Buffer.alloc(0))
    await putNonsense(Buffer.alloc(requests.messageSize))
    for (let round = 0; round < 300; round++) await putNonsense(random.bytes(random.below(round % 10 === 0 ? requests.messageSize : 100)))
    await goesOn()
  })

  test('real messages that are cut off', async () => {
    const real: Buffer[] = []
    for (const [queue, pids] of readers()) {
      const messages = await taken(queue, pids)
      for (const message of messages) await put(queue, message)
      real.push(...messages.slice(0, 1))
    }
    for (const message of real) for (let length = 1; length < message.byteLength; length++) await putNonsense(message.subarray(0, length))
    await goesOn()
  })

  test('real messages that come twice', async () => {
    for (const [queue, pids] of readers()) {
      for (let round = 0; round < 5; round++) {
        const messages = await taken(queue, pids)
        for (const message of messages) await put(queue, message)
        for (const message of messages) await put(queue, message)
      }
    }
    await goesOn()
  })

  test('replies to another engine, to a call of before, and to none', async () => {
    const none = [
      reply({ epoch: epoch ^ 1, call: 1, generation: 1 }),
      reply({ engine: 1, call: 1, generation: 1 }),
      reply({ call: 1, generation: 0 }),
      reply({ call: 1, generation: NOBODY }),
      reply({ call: NOBODY, generation: 1 }),
      reply({ call: NOBODY, generation: NOBODY, kind: FrameKind.Failure }),
      reply({ call: NOBODY, kind: FrameKind.PageReply }),
      messageOf([{ ...BASE, engine: 0, epoch }]),
    ]
    for (let round = 0; round < 20; round++) for (const message of none) await put(replies, message)
    const otherVersion = reply({})
    otherVersion[4] = 1
    await putNonsense(otherVersion)
    await goesOn()
  })

  test('calls of nobody, of another engine, and of services that are none', async () => {
    const deadline = performance.now() + 1e9
    const none = [
      reply({ call: NOBODY }),
      messageOf([{ ...BASE, engine: 0, epoch, call: NOBODY, deadline, name: 'none' }]),
      messageOf([{ ...BASE, engine: 9, epoch: epoch ^ 1, call: 0, deadline, name: 'compute', body: Buffer.from([0xc0]) }]),
      messageOf([{ ...BASE, engine: 0, epoch, call: NOBODY, deadline, name: 'compute', body: Buffer.from([0xc1]) }]),
      messageOf([{ ...BASE, engine: 0, epoch, call: NOBODY, deadline: 0, name: 'compute', wantsReply: false }]),
      messageOf([{ ...BASE, engine: 0, epoch, call: NOBODY, deadline, name: '\0', kind: FrameKind.PageCall, priority: 31 }]),
      messageOf([{ ...BASE, engine: 0, epoch, call: NOBODY, deadline, name: 'compute', returns: 255 }]),
    ]
    for (let round = 0; round < 20; round++) for (const message of none) await put(requests, message)
    await goesOn()
  })

  test('announcements of nothing, and of very many services', async () => {
    const malformed = [undefined, null, 1, 'compute', [], {}, { name: 1 }, { name: null }, { name: 'x'.repeat(300) }, { nome: 'compute' }]
    const many = Array.from({ length: 10_000 }, (_, index) => ({
      name: `made-up-${index}`,
      idempotent: true,
      timeoutMs: -1,
      priority: 1e9,
    }))
    for (const message of announcements([...malformed, ...many])) await put(replies, message)
    await goesOn()
  })

  test('a flood that comes before everything else holds up no page, and nothing of it stays', async (context) => {
    const pids = [npp.pid, ...services]
    // The connection of this client is there from now on.
    await hello()
    const descriptors = pids.map(descriptorsOf)
    const resident = pids.map(residentBytes)
    const before = nonsense
    const message = random.bytes(200)
    const took: number[] = []
    const end = performance.now() + FLOOD_MS
    const flooding = (async () => {
      while (performance.now() < end) {
        for (const queue of [requests, replies])
          while (performance.now() < end && queue.push(message, 0, message.byteLength, 31)) nonsense++
        await nextTurn()
      }
    })()
    while (performance.now() < end) {
      const start = performance.now()
      await hello()
      took.push(performance.now() - start)
      await sleep(20)
    }
    await flooding
    await goesOn()
    const grown = pids.map((pid, index) => residentBytes(pid) - (resident[index] ?? 0))
    const said = `${nonsense - before} messages; pages p50 ${percentile(took, 0.5).toFixed()} ms, max ${Math.max(...took).toFixed()} ms; grown by ${grown.map((bytes) => Math.round(bytes / 2 ** 20)).join(', ')} MiB`
    context.diagnostic(said)
    assert.ok(nonsense - before > 1000, said)
    // A turn of the engine takes 256 messages at the most, a millisecond; what a page takes beyond that is the machine's.
    assert.ok(percentile(took, 0.5) < 250, said)
    assert.deepEqual(pids.map(descriptorsOf), descriptors)
    for (const bytes of grown) assert.ok(bytes < 64 * 2 ** 20, said)
  })

  test('every call was answered with its own answer, by the same processes; what was dropped was told of', async () => {
    ending = true
    await load.ended
    for (const one of load.answered) {
      assert.equal(one.status, 200, one.path)
      assert.equal(one.answeredToken, one.token)
    }
    assert.deepEqual(attachedServices(npp.id), services)
    await eventually('each message is accounted for', () => {
      const { lines, leftOut } = warnings()
      return lines + leftOut >= nonsense
    })
    // Five a second for each process, and one that says how many were left out.
    const { lines } = warnings()
    const seconds = performance.now() / 1000 + 1
    assert.ok(lines <= 3 * 5 * seconds, `${lines} lines in ${seconds} s`)
    assert.equal(await npp.stop(), 0)
    assert.deepEqual(npp.queues, [])
    assert.deepEqual(filesOf(npp.id), [])
    assert.ok(services.every((pid) => !isAlive(pid)))
  })
})
