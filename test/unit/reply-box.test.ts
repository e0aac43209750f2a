import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BatchReader } from '../../ipc/batch-reader.ts'
import { FrameKind } from '../../ipc/frame.ts'
import { createMemoryQueue } from '../../ipc/memory-queue.ts'
import { NameCache } from '../../ipc/name-cache.ts'
import { createSystemClock } from '../../shared/clock.ts'
import { ReplyBox } from '../../svc/reply-box.ts'
import { RunningCall } from '../../svc/running-call.ts'
import { BASE, messageOf, mustFrames, valueOf } from '../support/frames.ts'
import { RecordedLog } from '../support/recorded-log.ts'

function runningCall(): RunningCall {
  const bytes = messageOf([BASE])
  const reader = new BatchReader(bytes, new NameCache())
  assert.equal(reader.read(bytes.byteLength), undefined)
  assert.ok(reader.next())
  return new RunningCall('sum', reader, createSystemClock(), 0)
}

describe('a failure', () => {
  for (const [name, text] of [
    ['of plain letters', 'x'],
    ['of letters that take three bytes each', '€'],
  ] as const)
    for (const messageSize of [512, 1024, 8192])
      it(`${name} is replied with in a message of ${messageSize} bytes, with as much of its text as that has room for`, () => {
        const queue = createMemoryQueue({ name: 'replies', maxMessages: 10, messageSize })
        const [end, other] = [queue.open(), queue.open()]
        const box = new ReplyBox(end, new RecordedLog(), () => undefined)
        box.failure(runningCall(), 'E_SITE', text.repeat(5000), 0)
        box.flush()
        const into = Buffer.alloc(messageSize)
        const length = other.shift(into)
        assert.notEqual(length, -1, 'no reply came')
        const [frame] = mustFrames(Buffer.from(into.subarray(0, length)))
        assert.ok(frame !== undefined)
        assert.deepEqual([frame.kind, frame.call, frame.generation], [FrameKind.Failure, BASE.call, BASE.generation])
        const value = valueOf(frame)
        assert.ok(typeof value === 'object' && value !== null && 'code' in value && 'message' in value && typeof value.message === 'string')
        assert.equal(value.code, 'E_SITE')
        assert.equal(value.message, text.repeat(value.message.length))
        assert.ok(value.message.length > 50)
        end.close()
        other.close()
      })
})
