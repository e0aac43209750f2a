import assert from 'node:assert/strict'
import { BatchWriter } from '../../ipc/batch-writer.ts'
import { BodyForm, FrameKind } from '../../ipc/frame.ts'
import { ProcessKind, Scoreboard, scoreboardBytes, type ClaimedSlot } from '../../ipc/scoreboard.ts'

/** A scoreboard in memory of this process alone, all of whose processes live. */
export function memoryBoard(inboxBytes: number, epoch = 77): Scoreboard {
  const memory = { memory: new ArrayBuffer(scoreboardBytes(inboxBytes)), reserve: () => undefined }
  return Scoreboard.format(memory, () => true, { epoch, inboxBytes })
}

export function claimFor(board: Scoreboard, pid: number, kind: ProcessKind = ProcessKind.Service): ClaimedSlot {
  return board.claim({ kind, pid, start: pid * 10, engine: 0, epoch: 0, concurrency: 4 })
}

export interface TakenCall {
  readonly call: number
  readonly generation: number
  readonly deadline: number
}

/** Puts a message of these calls into an inbox, as the kernel does. */
export function putMessage(inbox: Buffer, calls: readonly TakenCall[], engine: number, epoch: number): void {
  const writer = new BatchWriter(inbox.byteLength, process.pid)
  writer.begin(engine, epoch)
  for (const call of calls) {
    const frame = {
      ...call,
      kind: FrameKind.Call,
      priority: 0,
      calledAt: 1,
      wantsReply: true,
      form: BodyForm.Bytes,
      body: Buffer.from('body'),
    }
    assert.ok(writer.call(frame, Buffer.from('name')))
  }
  inbox.set(writer.bytes.subarray(0, writer.length))
}
