import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { openScoreboard } from '../../ipc/scoreboard-file.ts'
import { ProcessKind, type ProcessReading } from '../../ipc/scoreboard.ts'
import { isAlive } from './instance.ts'

/** Pids of the services of an instance that have attached, as the scoreboard has them. */
export function attachedServices(id: string): number[] {
  return read(id)
    .filter(({ pid }) => isAlive(pid))
    .map(({ pid }) => pid)
}

/** Calls that its services have in hand. */
export function callsInHand(id: string): number {
  return read(id).reduce((sum, { callsInHand: calls }) => sum + calls.length, 0)
}

function read(id: string): ProcessReading[] {
  const queue = PosixQueue.open({ name: queueNames(id).requests })
  try {
    const file = openScoreboard(id, { inboxBytes: queue.messageSize })
    try {
      return file.board.read().processes.filter(({ kind }) => kind === ProcessKind.Service)
    } finally {
      file.close()
    }
  } finally {
    queue.close()
  }
}
