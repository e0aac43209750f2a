// One side of the echo that reproduce.mjs measures:
//   node echo.mjs server npp|posix-mq <module> <queue name>
//   node echo.mjs client npp|posix-mq <module> <queue name> <seconds> <messages in flight> <process id of the server>
// Messages of 200 bytes through two queues of depth 10. The client prints one line of JSON: round trips a second, and microseconds of CPU
// (user and system, both processes) for a round trip.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [role, kind, module, name, seconds, inFlight, server] = process.argv.slice(2)
const DEPTH = 10
const BYTES = 200
const IN_FLIGHT = Number(inFlight)
// proc(5): clock ticks, 100 a second on every Linux that Node runs on.
const TICK_US = 10_000
const STALL_MS = 3000

async function opener() {
  if (kind === 'npp') {
    const { PosixQueue } = await import(pathToFileURL(module).href)
    return (queue, create) => {
      const it = PosixQueue.open({ name: queue, create, maxMessages: DEPTH, messageSize: BYTES })
      return {
        push: (bytes) => it.push(bytes),
        shift: (into) => it.shift(into),
        onMessages: (listener) => it.onMessages(listener),
        onDrain: (listener) => it.onDrain(listener),
        close: () => it.close(),
        unlink: () => PosixQueue.unlink(queue),
      }
    }
  }
  const PosixMQ = createRequire(import.meta.url)(module)
  return (queue, create) => {
    const it = new PosixMQ()
    it.open({ name: queue, create, maxmsgs: DEPTH, msgsize: BYTES, mode: '0600' })
    return {
      push: (bytes) => it.push(bytes),
      shift: (into) => {
        const length = it.shift(into)
        return length === false ? -1 : length
      },
      onMessages: (listener) => it.on('messages', listener),
      onDrain: (listener) => it.on('drain', listener),
      close: () => it.close(),
      unlink: () => it.unlink(),
    }
  }
}

function serve(requests, replies) {
  const buffer = Buffer.alloc(BYTES)
  let held = false
  // A queue that nobody takes from is not listened to: its readiness is level-triggered, and the loop would turn without rest.
  const hold = (on) => {
    if (kind === 'npp' && on !== held) requests.onMessages(on ? undefined : pump)
    held = on
  }
  const pump = () => {
    for (;;) {
      if (!held && requests.shift(buffer) < 0) return
      hold(!replies.push(buffer))
      if (held) return
    }
  }
  requests.onMessages(pump)
  replies.onDrain(pump)
}

/** Microseconds of CPU that both processes have had. */
function cpuOf() {
  const fields = readFileSync(`/proc/${server}/stat`, 'utf8').split(') ')[1].split(' ')
  const { user, system } = process.cpuUsage()
  return user + system + (Number(fields[11]) + Number(fields[12])) * TICK_US
}

function measure(requests, replies) {
  const out = Buffer.alloc(BYTES)
  const into = Buffer.alloc(BYTES)
  let sent = 0
  let received = 0
  let wrong = 0
  const send = () => {
    while (sent - received < IN_FLIGHT) {
      out.writeUInt32LE(sent, 0)
      if (!requests.push(out)) return
      sent++
    }
  }
  const receive = () => {
    while (replies.shift(into) >= 0) {
      if (into.readUInt32LE(0) !== received) wrong++
      received++
    }
    send()
  }
  replies.onMessages(receive)
  requests.onDrain(send)
  // posix-mq takes a queue that was empty when it was opened for one that has been told of, until the event loop has turned once.
  setTimeout(() => begin(send), 200)

  const begin = (start) => {
    const began = performance.now()
    let last = -1
    let lastAt = Date.now()
    let stalled = false
    const cpuBefore = cpuOf()
    const end = () => {
      const elapsed = (performance.now() - began) / 1000
      const perSecond = stalled ? 0 : Math.round(received / elapsed)
      const cpu = stalled ? 0 : Math.round((10 * (cpuOf() - cpuBefore)) / received) / 10
      process.stdout.write(`${JSON.stringify({ received, wrong, stalled, perSecond, cpu })}\n`)
      process.exit(0)
    }
    setInterval(() => {
      if (received !== last) {
        last = received
        lastAt = Date.now()
      } else if (Date.now() - lastAt > STALL_MS) {
        stalled = true
        end()
      }
    }, 100)
    setTimeout(end, Number(seconds) * 1000 + STALL_MS).unref()
    setTimeout(
      () => {
        if (Date.now() - lastAt < 500) end()
      },
      Number(seconds) * 1000,
    )
    start()
  }
}

const open = await opener()
const requests = open(`${name}-q`, role === 'server')
const replies = open(`${name}-r`, role === 'server')
if (role === 'server') {
  process.once('SIGTERM', () => {
    for (const queue of [requests, replies]) {
      queue.unlink()
      queue.close()
    }
    process.exit(0)
  })
  serve(requests, replies)
  process.stdout.write('ready\n')
} else {
  measure(requests, replies)
}
