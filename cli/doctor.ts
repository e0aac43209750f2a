import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { queueReport } from '../ipc/queue-limits.ts'
import { addonPath, loadAddon } from '../native/index.ts'
import { messageOf } from '../shared/errors.ts'

/** Queues that an instance needs: requests and replies. */
const QUEUES_AN_INSTANCE = 2
const OLDEST_NODE = [20, 19] as const

/** Says what this machine has of what npp needs. Returns the exit code: 0 when npp can run here. */
export function doctor(print: (line: string) => void): number {
  const checks = [checkNode(), checkAddon(), checkToolchain(), checkQueues()]
  for (const { good, lines } of checks)
    for (const [index, line] of lines.entries()) print(`${index > 0 ? '     ' : good ? 'ok   ' : 'FAIL '}${line}`)
  return checks.every(({ good, needed }) => good || !needed) ? 0 : 1
}

interface Check {
  readonly good: boolean
  /** False for what is only needed to build npp. */
  readonly needed: boolean
  readonly lines: readonly string[]
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const good = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
  return { good, needed: true, lines: [`Node ${process.versions.node}${good ? '' : `: npp needs ${OLDEST_NODE.join('.')} or newer`}`] }
}

function checkAddon(): Check {
  try {
    loadAddon()
    return { good: true, needed: true, lines: ['the native addon loads'] }
  } catch (error) {
    return { good: false, needed: true, lines: [messageOf(error), addonPath] }
  }
}

function checkToolchain(): Check {
  const script = fileURLToPath(new URL('../../native/build.mjs', import.meta.url))
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  return { good: status === 0, needed: false, lines: `${stdout}${stderr}`.trim().split('\n') }
}

function checkQueues(): Check {
  const { limits, size, bytes, fits } = queueReport()
  const instances = Math.floor(fits / QUEUES_AN_INSTANCE)
  return {
    good: instances >= 1,
    needed: true,
    lines: [
      `message queues: ${Number.isFinite(instances) ? instances : 'any number of'} instances of npp fit, with queues of ${size.maxMessages} messages of ${size.messageSize} bytes (${bytes} bytes each)`,
      `fs.mqueue.msg_max ${shown(limits.maxMessages)}, fs.mqueue.msgsize_max ${shown(limits.messageSize)}, fs.mqueue.queues_max ${shown(limits.queuesMax)}, ulimit -q ${shown(limits.userBytes)} bytes`,
      'docs/DEPLOY.md says how to raise them',
    ],
  }
}

function shown(value: number | undefined): string {
  return value === undefined ? 'unknown' : String(value)
}
