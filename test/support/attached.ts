import { readFileSync } from 'node:fs'
import { queueNames } from '../../ipc/instance.ts'
import { PosixQueue } from '../../ipc/posix-queue.ts'
import { openScoreboard } from '../../ipc/scoreboard-file.ts'
import { ProcessKind, type Scoreboard } from '../../ipc/scoreboard.ts'
import { isAlive } from './instance.ts'

/** Opens the scoreboard of an instance that runs, for as long as `look` looks at it. */
export function withScoreboard<T>(id: string, look: (board: Scoreboard) => T): T {
  const queue = PosixQueue.open({ name: queueNames(id).requests })
  const inboxBytes = queue.messageSize
  queue.close()
  const file = openScoreboard(id, { inboxBytes })
  try {
    return look(file.board)
  } finally {
    file.close()
  }
}

/** Pids of the service processes of an instance that are attached and alive, as its scoreboard has them. */
export function attachedServices(id: string): number[] {
  return withScoreboard(id, (board) =>
    board
      .occupants()
      .filter(({ kind, pid }) => kind === ProcessKind.Service && isAlive(pid))
      .map(({ pid }) => pid),
  )
}

/** The state letter of a process, as 'T' where it is stopped. Source: proc_pid_status(5). */
export function stateOf(pid: number): string {
  return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
}

/** Milliseconds of the processor that a process has used. Source: proc_pid_stat(5), fields 14 and 15, of 10 ms each. */
export function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [user = '', system = ''] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11)
  return (Number(user) + Number(system)) * 10
}
