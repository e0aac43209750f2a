// One side of the echo of call-echo.mjs without frames: what the binding alone carries, 200 bytes a message.
//   node call-echo-raw.mjs server raw <queue>
//   node call-echo-raw.mjs client raw <queue> <seconds> <calls in flight> <session of the server>
import { PosixQueue } from '../dist/ipc/posix-queue.js'
import { measureWindow } from './echo-window.mjs'

const [role, , name, seconds, calls, serverSession] = process.argv.slice(2)
const bodyBytes = 200
const create = role === 'server'
const requests = PosixQueue.open({ name: `${name}-q`, create })
const replies = PosixQueue.open({ name: `${name}-r`, create })
const bytes = Buffer.alloc(requests.messageSize)

if (role === 'server') serve()
else measure(Number(calls))

function serve() {
  let length = -1
  let isBlocked = false
  const listen = (blocked) => {
    if (blocked === isBlocked) return
    isBlocked = blocked
    requests.onMessages(blocked ? undefined : pump)
  }
  const pump = () => {
    for (;;) {
      if (length !== -1 && !replies.push(bytes, 0, length)) return listen(true)
      length = requests.shift(bytes)
      if (length === -1) return listen(false)
    }
  }
  requests.onMessages(pump)
  replies.onDrain(pump)
  process.once('SIGTERM', () => {
    for (const queue of [requests, replies]) {
      PosixQueue.unlink(queue.name)
      queue.close()
    }
    process.exit(0)
  })
  process.stdout.write('ready\n')
}

function measure(inFlight) {
  const body = Buffer.alloc(bodyBytes)
  let sent = 0
  let received = 0
  let wrong = 0
  const send = () => {
    while (sent - received < inFlight) {
      body.writeUInt32LE(sent, 0)
      if (!requests.push(body, 0, bodyBytes)) return
      sent++
    }
  }
  replies.onMessages(() => {
    for (let length = replies.shift(bytes); length !== -1; length = replies.shift(bytes)) {
      if (length !== bodyBytes || bytes.readUInt32LE(0) !== received) wrong++
      received++
    }
    send()
  })
  requests.onDrain(send)
  send()
  measureWindow(
    Number(seconds),
    [process.pid, Number(serverSession)],
    () => ({ received, wrong }),
    () => process.exit(0),
  )
}
