import { queueBytes, readQueueLimits } from '../native/index.ts'
import type { QueueLimits } from '../native/index.ts'

export { queueBytes, readQueueLimits } from '../native/index.ts'
export type { QueueLimits } from '../native/index.ts'

/** Messages and bytes a message of a queue that is to be created. */
export interface QueueSize {
  readonly maxMessages: number
  readonly messageSize: number
}

// What a default Linux grants, mq_overview(7): taken where /proc cannot be read.
const USUAL_MAX_MESSAGES = 10
const USUAL_MESSAGE_SIZE = 8192
const USUAL_USER_BYTES = 819_200

// RLIMIT_MSGQUEUE is shared by everything the user runs. With an eighth for a queue, three instances of npp (two queues each) fit beside
// something else; on a default Linux that still is the largest queue there is.
const SHARE_OF_USER_BYTES = 8
// A message is kernel memory that cannot be swapped, and each reader has a buffer of messageSize: more than this helps nobody.
const MOST_QUEUE_BYTES = 16 * 1024 * 1024
// Fewer messages than this make the senders wait for each other; a larger messageSize gives way to it.
const GOOD_DEPTH = 10
const LEAST_MESSAGE_SIZE = 1024
const LEAST_MESSAGES = 1

/**
 * The size of a queue when none is asked for: as large as msg_max and msgsize_max allow, but no more than a sensible share of
 * RLIMIT_MSGQUEUE. On a default Linux 10 messages of 8,192 bytes.
 */
export function defaultQueueSize(limits: QueueLimits = readQueueLimits()): QueueSize {
  const share = Math.min((limits.userBytes ?? USUAL_USER_BYTES) / SHARE_OF_USER_BYTES, MOST_QUEUE_BYTES)
  const overhead = queueBytes(1, 0)
  const sizeForDepth = Math.floor(share / GOOD_DEPTH) - overhead
  const messageSize = Math.min(limits.messageSize ?? USUAL_MESSAGE_SIZE, Math.max(sizeForDepth, LEAST_MESSAGE_SIZE))
  const depthForShare = Math.floor(share / queueBytes(1, messageSize))
  return { messageSize, maxMessages: Math.min(limits.maxMessages ?? USUAL_MAX_MESSAGES, Math.max(depthForShare, LEAST_MESSAGES)) }
}

/** What npp doctor says about queues. */
export interface QueueReport {
  readonly limits: QueueLimits
  /** The queue npp makes when the configuration says nothing. */
  readonly size: QueueSize
  /** Bytes of RLIMIT_MSGQUEUE that it costs. */
  readonly bytes: number
  /** How many such queues fit into RLIMIT_MSGQUEUE and queues_max, those of other programs not counted; Infinity without limits. */
  readonly fits: number
}

/** The limits of this process and how many queues of npp fit into them. Never throws. */
export function queueReport(limits: QueueLimits = readQueueLimits()): QueueReport {
  const size = defaultQueueSize(limits)
  const bytes = queueBytes(size.maxMessages, size.messageSize)
  const fits = Math.min(Math.floor((limits.userBytes ?? USUAL_USER_BYTES) / bytes), limits.queuesMax ?? Infinity)
  return { limits, size, bytes, fits }
}
