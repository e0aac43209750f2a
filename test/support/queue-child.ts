// The other process of the queue tests: node queue-child.js <role> <arguments>. It reports lines through process.send, or on standard output.
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { errnoOf, messageOf } from '../../shared/errors.ts'
import { numbered, numberOf } from './queue-tools.ts'

function report(line: string): void {
  if (process.send === undefined) process.stdout.write(`${line}\n`)
  else process.send(line)
}

/** Ends the process in the normal way: nothing but the queue may hold it. */
function leave(): void {
  if (process.connected) process.disconnect()
}

const [role = '', name = '', ...rest] = process.argv.slice(2)
const numberAt = (index: number): number => Number(rest[index])

/** Sends back every message until it has sent `total`, and checks that they come in order. */
function echo(requests: MessageQueue, replies: MessageQueue, total: number): void {
  const buffer = new Uint8Array(requests.messageSize)
  let length = -1
  let done = 0
  const pump = (): void => {
    for (;;) {
      if (length < 0) {
        length = requests.shift(buffer)
        if (length < 0) return
        const number = numberOf(buffer.subarray(0, length))
        if (number !== done) throw new Error(`request ${number} came in place of ${done}`)
      }
      if (!replies.push(buffer, 0, length)) return
      length = -1
      done++
      if (done === total) {
        requests.close()
        replies.close()
        report(`echoed ${done}`)
        leave()
        return
      }
    }
  }
  requests.onMessages(pump)
  replies.onDrain(pump)
}

function fill(queue: MessageQueue, total: number): void {
  let sent = 0
  const send = (): void => {
    while (sent < total && queue.push(numbered(sent, queue.messageSize))) sent++
    if (sent === total) {
      queue.close()
      report(`sent ${sent}`)
      leave()
    }
  }
  queue.onDrain(send)
  send()
}

/** Takes messages until `total` have come, or until one without a number comes. */
function take(queue: MessageQueue, total: number): void {
  const into = new Uint8Array(queue.messageSize)
  const numbers: number[] = []
  queue.onMessages(() => {
    for (let length = queue.shift(into); length >= 0; length = queue.shift(into)) {
      if (length > 0) numbers.push(numberOf(into.subarray(0, length)))
      if (length === 0 || numbers.length === total) {
        queue.close()
        report(JSON.stringify(numbers))
        leave()
        return
      }
    }
  })
  report('ready')
}

function lockOne(queue: PosixQueue, offset: number): void {
  report(queue.lock(offset, true) ? 'locked' : 'refused')
  setInterval(() => queue.count(), 1000)
}

/** The listener throws twice; each time the exception must come out at the top, and the queue must go on. */
function throwing(queue: MessageQueue): void {
  const into = new Uint8Array(queue.messageSize)
  let told = 0
  process.on('uncaughtException', (error) => report(`caught ${error.message}`))
  queue.onMessages(() => {
    told++
    if (told <= 2) throw new Error(`listener ${told}`)
    report(`took ${queue.shift(into)}`)
    queue.close()
    leave()
  })
  queue.push(new Uint8Array(3))
}

function main(): void {
  switch (role) {
    case 'echo':
      echo(PosixQueue.open({ name }), PosixQueue.open({ name: rest[0] ?? '' }), numberAt(1))
      return
    case 'fill':
      fill(PosixQueue.open({ name }), numberAt(0))
      return
    case 'take':
      take(PosixQueue.open({ name }), numberAt(0))
      return
    case 'lock':
      lockOne(PosixQueue.open({ name }), numberAt(0))
      return
    case 'throw-posix':
      throwing(PosixQueue.open({ name }))
      return
    case 'throw-memory':
      throwing(createMemoryQueue({ name, maxMessages: 2, messageSize: 8 }).open())
      return
    case 'throw-unheard':
      PosixQueue.open({ name }).onMessages(() => {
        throw new Error('nobody listens')
      })
      leave()
      return
    case 'idle-posix': {
      const queue = PosixQueue.open({ name })
      queue.onMessages(() => report('told'))
      queue.onMessages(undefined)
      leave()
      return
    }
    case 'idle-memory': {
      const queue = createMemoryQueue({ name, maxMessages: 2, messageSize: 8 }).open()
      queue.push(new Uint8Array(1))
      queue.onMessages(() => report('told'))
      queue.onMessages(undefined)
      leave()
      return
    }
    case 'foreign':
      // Loads the addon while this is still root, who may read any file.
      PosixQueue.unlink(`${name}-none`)
      process.setuid?.(65534)
      PosixQueue.open({ name, create: true, mode: 0o666, maxMessages: 1, messageSize: 8 }).close()
      report('created')
      leave()
      return
    case 'limit':
      try {
        PosixQueue.open({ name, create: true, maxMessages: 8, messageSize: 1024 }).close()
        report('opened')
      } catch (error) {
        report(`${errnoOf(error)} ${messageOf(error)}`)
      }
      leave()
      return
    default:
      throw new Error(`no role ${role}`)
  }
}

main()
