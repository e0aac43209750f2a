// The other process of the tests of shared memory: node shm-child.js <role> <arguments>. It reports lines on standard output, goes on when it
// is told a line, and ends when nobody can tell it any more.
import { createInterface } from 'node:readline'
import { createSharedMemory, openSharedMemory, startOfProcess, watchProcess } from '../../native/index.ts'
import { errnoOf, messageOf } from '../../shared/errors.ts'

const [role = '', name = '', ...rest] = process.argv.slice(2)
const numberAt = (index: number): number => Number(rest[index])

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
    case 'foreign': {
      // Loads the addon while this is still root, who may read any file.
      startOfProcess(process.pid)
      createSharedMemory({ name: `${name}.loaded`, bytes: 1 }).close()
      process.setuid?.(65534)
      createSharedMemory({ name, bytes: numberAt(0) }).close()
      report('created')
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
