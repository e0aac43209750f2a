import { readFileSync } from 'node:fs'

/**
 * What the system grants in queues. Bytes and counts; Infinity where there is no limit, undefined where it could not be read.
 * Source: mq_overview(7), /proc/sys/fs/mqueue; getrlimit(2), RLIMIT_MSGQUEUE, the soft limit of this process.
 */
export interface QueueLimits {
  /** fs.mqueue.queues_max: queues in the whole system (for processes without CAP_SYS_RESOURCE). */
  readonly queuesMax: number | undefined
  /** fs.mqueue.msg_max: messages in a queue. */
  readonly maxMessages: number | undefined
  /** fs.mqueue.msgsize_max: bytes in a message. */
  readonly messageSize: number | undefined
  /** RLIMIT_MSGQUEUE: bytes in all queues of this user together, counted as queueBytes does. */
  readonly userBytes: number | undefined
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function toNumber(text: string | undefined): number | undefined {
  if (text === 'unlimited') return Infinity
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}

/** Reads the limits now. Never throws. */
export function readQueueLimits(): QueueLimits {
  const sysctl = (name: string): number | undefined => toNumber(readText(`/proc/sys/fs/mqueue/${name}`).trim())
  const soft = /^Max msgqueue size\s+(\S+)/m.exec(readText('/proc/self/limits'))
  return {
    queuesMax: sysctl('queues_max'),
    maxMessages: sysctl('msg_max'),
    messageSize: sysctl('msgsize_max'),
    userBytes: toNumber(soft?.[1]),
  }
}

// getrlimit(2), RLIMIT_MSGQUEUE, since Linux 3.5: struct msg_msg for each message and struct posix_msg_tree_node for each message or
// priority, whichever are fewer, 48 bytes each on 64-bit systems (24 on 32-bit ones, where this counts too much).
const MESSAGE_OVERHEAD = 48
const NODE_OVERHEAD = 48
const PRIORITIES = 32768

/** Bytes of RLIMIT_MSGQUEUE that a queue takes from its creation to its end, however many messages it holds. Source: getrlimit(2). */
export function queueBytes(maxMessages: number, messageSize: number): number {
  return maxMessages * (MESSAGE_OVERHEAD + messageSize) + Math.min(maxMessages, PRIORITIES) * NODE_OVERHEAD
}
