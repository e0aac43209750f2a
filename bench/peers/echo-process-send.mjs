// An echo of 200 bytes in a forked process, by process.send: node echo-process-send.mjs <json|advanced> <seconds> <calls in flight>
import { fork } from 'node:child_process'
import { isTextOf, textOf } from '../echo-text.mjs'
import { measureWindow } from '../echo-window.mjs'

const [serialization, seconds, inFlight] = process.argv.slice(2)

if (process.send === undefined) measure()
else process.on('message', (message) => process.send(message))

function measure() {
  const child = fork(import.meta.filename, { serialization })
  let sent = 0
  let received = 0
  let wrong = 0
  const send = () => {
    while (sent - received < Number(inFlight)) child.send(textOf(sent++))
  }
  // Replies come in the order of the calls.
  child.on('message', (message) => {
    if (!isTextOf(message, received)) wrong++
    received++
    send()
  })
  child.once('spawn', send)
  // The child ends with its channel.
  measureWindow(
    Number(seconds),
    [process.pid],
    () => ({ received, wrong }),
    () => process.exit(0),
  )
}
