// An echo of 200 bytes in a forked process, by npm posix-mq: node echo-posix-mq.mjs <queue> <seconds> <calls in flight>
import { fork } from 'node:child_process'
import PosixMQ from 'posix-mq'
import { measureWindow } from '../echo-window.mjs'

const [name, seconds, inFlight] = process.argv.slice(2)
const bodyBytes = 200
const depth = 10
// It takes a queue that was empty when it was opened for one that has been told of, until the event loop has turned once.
const settleMs = 200

if (process.send === undefined) measure()
else serve()

function open(queue, create) {
  const opened = new PosixMQ()
  opened.open({ name: queue, create, maxmsgs: depth, msgsize: bodyBytes, mode: '0600' })
  return opened
}

function serve() {
  const requests = open(`${name}-q`, false)
  const replies = open(`${name}-r`, false)
  const buffer = Buffer.alloc(bodyBytes)
  let held = false
  const pump = () => {
    for (;;) {
      if (!held && requests.shift(buffer) === false) return
      held = !replies.push(buffer)
      if (held) return
    }
  }
  requests.on('messages', pump)
  replies.on('drain', pump)
  process.once('disconnect', () => process.exit(0))
  setTimeout(() => process.send('ready'), settleMs)
}

function measure() {
  const requests = open(`${name}-q`, true)
  const replies = open(`${name}-r`, true)
  const remove = () => {
    for (const queue of [requests, replies]) queue.unlink()
  }
  process.once('SIGTERM', () => process.exit(1))
  process.once('exit', remove)
  const child = fork(import.meta.filename, [name])
  const body = Buffer.alloc(bodyBytes)
  const into = Buffer.alloc(bodyBytes)
  let sent = 0
  let received = 0
  let wrong = 0
  const send = () => {
    while (sent - received < Number(inFlight)) {
      body.writeUInt32LE(sent, 0)
      if (!requests.push(body)) return
      sent++
    }
  }
  replies.on('messages', () => {
    while (replies.shift(into) !== false) {
      if (into.readUInt32LE(0) !== received) wrong++
      received++
    }
    send()
  })
  requests.on('drain', send)
  child.once('message', () => {
    send()
    measureWindow(
      Number(seconds),
      [process.pid],
      () => ({ received, wrong }),
      () => process.exit(0),
    )
  })
}
