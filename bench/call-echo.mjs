// One side of the echo that call.mjs measures, 200 bytes a call:
//   node call-echo.mjs server <way> <queue> [messages of a queue] [bytes of a message]
//   node call-echo.mjs client <way> <queue> <seconds> <calls in flight> <session of the server>
// The ways: single (a message a call), coalesced (as many as a message holds). The client prints one line of JSON, that of echo-window.mjs.
import { BatchReader } from '../dist/ipc/batch-reader.js'
import { BatchWriter } from '../dist/ipc/batch-writer.js'
import { BodyForm, FrameKind } from '../dist/ipc/frame.js'
import { NameCache } from '../dist/ipc/name-cache.js'
import { PosixQueue } from '../dist/ipc/posix-queue.js'
import { measureWindow } from './echo-window.mjs'

const [role, way, name, ...more] = process.argv.slice(2)
const bodyBytes = 200
const [seconds, inFlight, serverSession] = more.map(Number)
const framesAMessage = way === 'single' ? 1 : Infinity

const create = role === 'server'
const [maxMessages, messageSize] = more.map(Number)
const size = create && more.length > 0 ? { maxMessages, messageSize } : {}
const requests = PosixQueue.open({ name: `${name}-q`, create, ...size })
const replies = PosixQueue.open({ name: `${name}-r`, create, ...size })
const writer = new BatchWriter(requests.messageSize, process.pid)
const reader = new BatchReader(Buffer.alloc(requests.messageSize), new NameCache())
writer.begin(0, 1)

if (role === 'server') serve()
else measure()

function serve() {
  // As a worker does: while there is no room for a reply it takes no message, and wants to hear of none, or the loop would turn and turn.
  let isBlocked = false
  const listen = (blocked) => {
    if (blocked === isBlocked) return
    isBlocked = blocked
    requests.onMessages(blocked ? undefined : pump)
  }
  const reply = () => {
    if (writer.frames > 0 && !replies.push(writer.bytes, 0, writer.length)) return false
    writer.begin(0, 1)
    return true
  }
  const pump = () => {
    while (reply()) {
      const length = requests.shift(reader.bytes)
      if (length === -1) return listen(false)
      if (reader.read(length) !== undefined) throw new Error('a message is damaged')
      while (reader.next())
        writer.reply(
          FrameKind.Reply,
          reader.call,
          reader.generation,
          0,
          BodyForm.Bytes,
          reader.bytes.subarray(reader.bodyStart, reader.bodyEnd),
        )
    }
    listen(true)
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

function measure() {
  const body = Buffer.alloc(bodyBytes)
  const service = Buffer.from('echo')
  const call = {
    kind: FrameKind.Call,
    priority: 0,
    deadline: 1,
    calledAt: 0,
    wantsReply: true,
    form: BodyForm.Bytes,
    body,
    call: 0,
    generation: 1,
  }
  let sent = 0
  let received = 0
  let wrong = 0
  const send = () => {
    for (;;) {
      while (writer.frames < framesAMessage && sent - received < inFlight) {
        call.call = sent
        body.writeUInt32LE(sent, 0)
        if (!writer.call(call, service)) break
        sent++
      }
      if (writer.frames === 0 || !requests.push(writer.bytes, 0, writer.length)) return
      writer.begin(0, 1)
    }
  }
  replies.onMessages(() => {
    for (let length = replies.shift(reader.bytes); length !== -1; length = replies.shift(reader.bytes)) {
      if (reader.read(length) !== undefined) throw new Error('a message is damaged')
      while (reader.next()) {
        if (reader.call !== received || reader.bytes.readUInt32LE(reader.bodyStart) !== received) wrong++
        received++
      }
    }
    send()
  })
  requests.onDrain(send)
  send()
  measureWindow(
    seconds,
    [process.pid, serverSession],
    () => ({ received, wrong }),
    () => process.exit(0),
  )
}
