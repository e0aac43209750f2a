import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import type { MessageQueue } from '../../ipc/message-queue.ts'
import { numbered, startQueueChild, turns, until } from '../support/queue-tools.ts'

const MAX = 10
const SIZE = 64

/** Makes a queue and returns what opens an end of it; each end is closed when the test ends. */
export type MakeQueue = (context: TestContext, maxMessages: number, messageSize: number) => () => MessageQueue

function text(queue: MessageQueue): string | undefined {
  const into = new Uint8Array(queue.messageSize)
  const length = queue.shift(into)
  return length < 0 ? undefined : Buffer.from(into.subarray(0, length)).toString()
}

function fillUp(queue: MessageQueue): number {
  let pushed = 0
  while (queue.push(numbered(pushed, 8))) pushed++
  return pushed
}

/** As plain JavaScript calls it, with arguments that the compiler would refuse. */
function callUntyped(queue: MessageQueue, method: 'push' | 'shift', ...args: readonly unknown[]): unknown {
  const found: unknown = Reflect.get(queue, method)
  return typeof found === 'function' ? Reflect.apply(found, queue, args) : undefined
}

/** What every MessageQueue does. `kind` is posix or memory. */
export function messageQueueContract(kind: 'posix' | 'memory', make: MakeQueue): void {
  const pair = (context: TestContext): [MessageQueue, MessageQueue] => {
    const open = make(context, MAX, SIZE)
    return [open(), open()]
  }

  describe(`${kind} queue: messages`, () => {
    it('tells its sizes', (context) => {
      const [one, other] = pair(context)
      for (const end of [one, other]) {
        assert.equal(end.maxMessages, MAX)
        assert.equal(end.messageSize, SIZE)
        assert.equal(end.name, one.name)
        assert.equal(end.count(), 0)
      }
    })

    it('keeps the order within a priority', (context) => {
      const [one, other] = pair(context)
      for (const word of ['a', 'bb', 'ccc']) assert.equal(one.push(Buffer.from(word)), true)
      assert.equal(other.count(), 3)
      assert.deepEqual([text(other), text(other), text(other), text(other)], ['a', 'bb', 'ccc', undefined])
    })

    it('hands out the higher priority first', (context) => {
      const [one, other] = pair(context)
      const send = (word: string, priority: number): void => {
        assert.equal(one.push(Buffer.from(word), 0, word.length, priority), true)
      }
      send('low', 0)
      send('mid1', 7)
      send('top', 31)
      send('mid2', 7)
      send('low2', 0)
      assert.deepEqual([text(other), text(other), text(other), text(other), text(other)], ['top', 'mid1', 'mid2', 'low', 'low2'])
    })

    it('sends the part from start to end, and takes a copy', (context) => {
      const [one, other] = pair(context)
      const bytes = Buffer.from('0123456789')
      one.push(bytes, 3, 6)
      one.push(bytes, 8)
      one.push(bytes, 10)
      one.push(bytes.subarray(2, 4))
      bytes.fill(0)
      assert.deepEqual([text(other), text(other), text(other), text(other)], ['345', '89', '', '23'])
    })

    it('leaves the rest of the caller’s buffer alone', (context) => {
      const [one, other] = pair(context)
      one.push(Buffer.from('abc'))
      const into = new Uint8Array(SIZE + 5).fill(9)
      assert.equal(other.shift(into), 3)
      assert.deepEqual([...into.subarray(0, 4)], [97, 98, 99, 9])
    })

    it('refuses when full and takes again after a shift', (context) => {
      const [one, other] = pair(context)
      assert.equal(fillUp(one), MAX)
      assert.equal(other.count(), MAX)
      assert.equal(one.push(new Uint8Array(1)), false)
      assert.ok(text(other) !== undefined)
      assert.equal(one.push(new Uint8Array(1)), true)
      assert.equal(one.push(new Uint8Array(1)), false)
    })

    it('returns -1 when empty, and takes a message of full size', (context) => {
      const [one, other] = pair(context)
      const into = new Uint8Array(SIZE)
      assert.equal(other.shift(into), -1)
      assert.equal(one.push(new Uint8Array(SIZE).fill(5)), true)
      assert.equal(other.shift(into), SIZE)
      assert.deepEqual(into, new Uint8Array(SIZE).fill(5))
      assert.equal(other.shift(into), -1)
    })
  })

  describe(`${kind} queue: readiness`, () => {
    it('tells of messages, again and again until they are taken', async (context) => {
      const [one, other] = pair(context)
      const taken: (string | undefined)[] = []
      other.onMessages(() => taken.push(text(other)))
      for (const word of ['1', '2', '3', '4', '5']) one.push(Buffer.from(word))
      await until(() => taken.length === 5, 'a listener that takes one message a turn')
      await turns(5)
      assert.deepEqual(taken, ['1', '2', '3', '4', '5'])
    })

    it('tells a listener that takes nothing', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      other.onMessages(() => told++)
      one.push(new Uint8Array(1))
      await until(() => told >= 5, 'a listener that takes nothing')
    })

    it('tells of messages that came before the listener', async (context) => {
      const [one, other] = pair(context)
      one.push(new Uint8Array(1))
      await turns(3)
      let told = 0
      other.onMessages(() => told++)
      await until(() => told > 0, 'a message that was there')
    })

    it('tells nobody after the listener was taken away', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      other.onMessages(() => {
        told++
        other.onMessages(undefined)
      })
      one.push(new Uint8Array(1))
      await until(() => told > 0, 'the first telling')
      await turns(10)
      assert.equal(told, 1)
      other.onMessages(() => told++)
      await until(() => told > 2, 'the listener that was put back')
    })

    it('tells of room after a refusal, on every turn until a push is made', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      one.onDrain(() => told++)
      fillUp(one)
      await turns(5)
      assert.equal(told, 0)
      text(other)
      await until(() => told >= 4, 'drain while nothing is pushed')
      assert.equal(one.push(new Uint8Array(1)), true)
      const before = told
      await turns(10)
      assert.equal(told, before)
    })

    it('tells of room where the listener came after the refusal', async (context) => {
      const [one, other] = pair(context)
      fillUp(one)
      text(other)
      let told = 0
      one.onDrain(() => told++)
      await until(() => told > 0, 'drain for a late listener')
    })

    it('tells nothing of room where no push was refused', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      one.onDrain(() => told++)
      one.push(new Uint8Array(1))
      text(other)
      await turns(10)
      assert.equal(told, 0)
    })

    it('forgets the refusal on cancelDrain', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      one.onDrain(() => told++)
      fillUp(one)
      one.cancelDrain()
      text(other)
      await turns(10)
      assert.equal(told, 0)
      fillUp(one)
      text(other)
      await until(() => told > 0, 'drain after a new refusal')
      one.cancelDrain()
      const before = told
      await turns(10)
      assert.equal(told, before)
    })

    it('carries ten thousand numbered messages through a full queue, refused and drained', async (context) => {
      const [one, other] = pair(context)
      const into = new Uint8Array(SIZE)
      const total = 10_000
      let sent = 0
      let received = 0
      const send = (): void => {
        while (sent < total && one.push(numbered(sent, 8))) sent++
      }
      one.onDrain(send)
      other.onMessages(() => {
        while (other.shift(into) >= 0) assert.equal(new DataView(into.buffer).getUint32(0), received++)
      })
      send()
      await until(() => received === total, 'numbered messages')
      assert.equal(sent, total)
    })

    it('may be closed by its own listener', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      other.onMessages(() => {
        told++
        other.close()
      })
      one.push(new Uint8Array(1))
      await until(() => told > 0, 'the telling')
      await turns(10)
      assert.equal(told, 1)
    })

    it('may be closed by its drain listener', async (context) => {
      const [one, other] = pair(context)
      let told = 0
      one.onDrain(() => {
        told++
        one.close()
      })
      fillUp(one)
      text(other)
      await until(() => told > 0, 'the drain')
      await turns(10)
      assert.equal(told, 1)
    })

    it('lets exceptions of a listener out at the top and goes on', async (context) => {
      const child = startQueueChild(context, `throw-${kind}`, make(context, 2, 8)().name)
      assert.deepEqual(
        [await child.report(), await child.report(), await child.report()],
        ['caught listener 1', 'caught listener 2', 'took 3'],
      )
      assert.equal(await child.ended(), 0)
    })

    it('lets the process end when nobody listens', async (context) => {
      const child = startQueueChild(context, `idle-${kind}`, make(context, 2, 8)().name)
      assert.equal(await child.ended(), 0)
    })
  })

  describe(`${kind} queue: faults`, () => {
    it('refuses a message over messageSize and takes the next', (context) => {
      const [one, other] = pair(context)
      assert.throws(() => one.push(new Uint8Array(SIZE + 1)), { code: 'NPP_QUEUE_ARGUMENT' })
      assert.equal(one.push(new Uint8Array(SIZE + 1), 1), true)
      assert.equal(other.count(), 1)
    })

    it('refuses arguments that make no sense', (context) => {
      const [one] = pair(context)
      const bytes = new Uint8Array(10)
      const wrong: readonly (readonly [number, number, number])[] = [
        [-1, 5, 0],
        [0, 11, 0],
        [6, 5, 0],
        [0.5, 5, 0],
        [0, 5.5, 0],
        [Number.NaN, 5, 0],
        [0, Number.POSITIVE_INFINITY, 0],
        [0, 5, -1],
        [0, 5, 32],
        [0, 5, 1.5],
        [2 ** 32, 2 ** 32 + 1, 0],
      ]
      for (const [start, end, priority] of wrong) {
        assert.throws(() => one.push(bytes, start, end, priority), { code: 'NPP_QUEUE_ARGUMENT' }, `${start} ${end} ${priority}`)
      }
      // What a site in plain JavaScript could pass.
      for (const value of [undefined, null, 'text', {}, new ArrayBuffer(8), new Uint16Array(4), new DataView(new ArrayBuffer(8))]) {
        assert.throws(() => callUntyped(one, 'push', value, 0, 1), { code: 'NPP_QUEUE_ARGUMENT' })
        assert.throws(() => callUntyped(one, 'shift', value), { code: 'NPP_QUEUE_ARGUMENT' })
      }
      assert.throws(() => one.shift(new Uint8Array(SIZE - 1)), { code: 'NPP_QUEUE_ARGUMENT' })
      assert.equal(one.count(), 0)
    })

    it('closes once, and then refuses every use', (context) => {
      const [one, other] = pair(context)
      one.push(new Uint8Array(1))
      one.onMessages(() => assert.fail('told after close'))
      one.close()
      one.close()
      const closed = { code: 'NPP_QUEUE_CLOSED' }
      assert.throws(() => one.push(new Uint8Array(1)), closed)
      assert.throws(() => one.shift(new Uint8Array(SIZE)), closed)
      assert.throws(() => one.count(), closed)
      assert.throws(() => one.onMessages(() => undefined), closed)
      assert.throws(() => one.onDrain(() => undefined), closed)
      one.cancelDrain()
      one.close()
      assert.equal(other.count(), 1, 'the other end goes on')
    })
  })
}
