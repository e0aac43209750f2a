// The other process of the tests of shared memory: node shm-child.js <role> <arguments>. It reports lines on standard output, goes on when it
// is told a line, and ends when nobody can tell it any more.
import { createInterface } from 'node:readline'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createScoreboard, openScoreboard } from '../../ipc/scoreboard-file.ts'
import { ProcessKind, ServiceFigures, type ClaimedSlot } from '../../ipc/scoreboard.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { writeSpill } from '../../ipc/spill.ts'
import { createSharedMemory, openSharedMemory, startOfProcess, watchProcess } from '../../native/index.ts'
import { errnoOf, messageOf } from '../../shared/errors.ts'

const [role = '', name = '', ...rest] = process.argv.slice(2)
const numberAt = (index: number): number => Number(rest[index])
const INBOX = 8192

function report(line: string): void {
  process.stdout.write(`${line}\n`)
}

const lines = createInterface({ input: process.stdin })
const words: string[] = []
const waiting: ((word: string) => void)[] = []
lines.on('line', (line) => {
  const next = waiting.shift()
  if (next === undefined) words.push(line)
  else next(line)
})

async function told(): Promise<string> {
  const word = words.shift()
  return word ?? new Promise((resolve) => waiting.push(resolve))
}

function claimIn(id: string): { readonly slot: ClaimedSlot; readonly figures: ServiceFigures; readonly end: () => void } {
  const file = openScoreboard(id, { inboxBytes: INBOX })
  const start = startOfProcess(process.pid) ?? 0
  const slot = file.board.claim({ kind: ProcessKind.Service, pid: process.pid, start, engine: 0, epoch: 0, concurrency: 1 })
  const figures = new ServiceFigures(file.board.services, process.pid)
  const end = (): void => {
    slot.release()
    file.close()
  }
  return { slot, figures, end }
}

/** Adds to one word and to one long word, as often as it is told. */
async function add(): Promise<void> {
  const handle = openSharedMemory({ name, bytes: numberAt(0) })
  const words = new Int32Array(handle.memory)
  const longs = new BigInt64Array(handle.memory)
  report('ready')
  await told()
  for (let count = numberAt(1); count > 0; count--) {
    Atomics.add(words, 1, 1)
    Atomics.add(longs, 1, 1n)
  }
  report('added')
  handle.close()
}

/** Has calls in hand that anybody can check: what is in one follows from its number. Without an end. */
async function turnOver(): Promise<void> {
  const { slot } = claimIn(name)
  report('ready')
  for (let number = 1; ; number++) {
    const entry = slot.put(number & 0xf, number * 7, number, number * 3, number & 0x7f, number * 5, number * 11)
    // Some stay in hand a while, so that a reader finds them.
    if (number % 4 === 0) for (let spin = 0; spin < 200; spin++) Atomics.load(new Int32Array(1), 0)
    slot.clear(entry)
    if (number % 50_000 === 0) await nextTurn()
  }
}

/** Takes each message right into the inbox and sends it back, and says nothing of it on the scoreboard. Without an end. */
function echo(): void {
  const { slot } = claimIn(name)
  const requests = PosixQueue.open({ name: rest[0] ?? '' })
  const replies = PosixQueue.open({ name: rest[1] ?? '' })
  let held = -1
  const pump = (): void => {
    for (;;) {
      if (held < 0) held = requests.shift(slot.inbox)
      if (held < 0 || !replies.push(slot.inbox, 0, held)) return
      held = -1
    }
  }
  requests.onMessages(pump)
  replies.onDrain(pump)
  report('ready')
}

async function main(): Promise<void> {
  switch (role) {
    case 'add':
      await add()
      return
    case 'create': {
      process.umask(numberAt(1))
      createSharedMemory({ name, bytes: numberAt(0) }).close()
      report('created')
      return
    }
    case 'create-limited':
      try {
        createSharedMemory({ name, bytes: numberAt(0) }).close()
        report('created')
      } catch (error) {
        report(`${errnoOf(error)} ${messageOf(error)}`)
      }
      return
    case 'scoreboard-limited':
      try {
        const file = createScoreboard(name, { epoch: 1, inboxBytes: numberAt(0) })
        file.board.claim({ kind: ProcessKind.Service, pid: process.pid, start: 1, engine: 0, epoch: 0, concurrency: 1 })
        report('claimed')
      } catch (error) {
        report(`${errnoOf(error)} ${messageOf(error)}`)
      }
      return
    case 'spill-limited':
      for (let count = 0; ; count++) {
        try {
          writeSpill(name, [Buffer.alloc(numberAt(0)), Buffer.alloc(numberAt(0))])
        } catch (error) {
          report(`${count} ${errnoOf(error)} ${messageOf(error)}`)
          return
        }
      }
    case 'foreign': {
      // Loads the addon while this is still root, who may read any file.
      startOfProcess(process.pid)
      createSharedMemory({ name: `${name}.loaded`, bytes: 1 }).close()
      process.setuid?.(65534)
      createSharedMemory({ name, bytes: numberAt(0) }).close()
      report('created')
      return
    }
    case 'claim': {
      const { slot, end } = claimIn(name)
      report(String(slot.slot))
      await told()
      end()
      return
    }
    case 'hold': {
      const { slot, figures } = claimIn(name)
      const row = figures.rowOf('slow')
      slot.inbox.write('the message')
      slot.put(0, 77, 5, 6, row, 1000.7, 2000.2)
      slot.clear(slot.put(0, 77, 7, 8, row, 1001, 2001))
      slot.put(3, 78, 9, 10, row, 1002, 2002)
      report(String(slot.slot))
      await told()
      return
    }
    case 'echo':
      echo()
      await told()
      return
    case 'turn-over':
      await turnOver()
      return
    case 'count': {
      const { figures, end } = claimIn(name)
      report('ready')
      await told()
      for (let count = 0; count < numberAt(0); count++) {
        figures.finished(figures.rowOf(`service ${count % 3}`), 3, 100, 10, 20, count % 10 === 0)
        if (count % 7 === 0) figures.flush()
      }
      figures.flush()
      end()
      report('counted')
      return
    }
    case 'watch': {
      // Holds the event loop only where it is told to: the process must end by itself otherwise.
      lines.close()
      process.stdin.destroy()
      watchProcess({ pid: Number(name), start: numberAt(0), hold: rest[1] === 'hold' }, () => report('ended'))
      report('watching')
      return
    }
    default:
      throw new Error(`no role ${role}`)
  }
}

await main()
lines.close()
process.stdin.destroy()
