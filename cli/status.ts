import { readFileSync } from 'node:fs'
import { copyScoreboard } from '../ipc/scoreboard-file.ts'
import {
  Counter,
  counterOf,
  ProcessKind,
  ProcessPhase,
  type HistogramReading,
  type ProcessReading,
  type Scoreboard,
  type ServiceReading,
} from '../ipc/scoreboard.ts'
import { startOfProcess } from '../native/index.ts'
import { HISTOGRAM_BUCKETS } from '../ipc/scoreboard-layout.ts'
import { NppError } from '../shared/errors.ts'

/** USER_HZ: ticks of the kernel a second, as /proc counts them; 100 on all machines that Node runs on. Source: time(7). */
const TICKS_A_SECOND = 100
/** Where the last bucket of a histogram begins. */
const LAST_BOUND_MICROS = 2 ** (HISTOGRAM_BUCKETS - 2)

/** A process of an instance. */
export interface ProcessStatus {
  readonly kind: 'npp_app' | 'npp_svc'
  readonly pid: number
  readonly phase: 'starting' | 'running' | 'stopping'
  /** Since when it runs: ISO 8601. */
  readonly startedAt: string
  readonly upSeconds: number
}

export interface EngineStatus extends ProcessStatus {
  readonly kind: 'npp_app'
  readonly requests: number
  readonly connections: number
  readonly accepted: number
  readonly refused: number
  /** Calls without a reply yet, and how many of them wait for room in the queue. */
  readonly pendingCalls: number
  readonly backlog: number
  readonly staleReplies: number
}

export interface ServiceProcessStatus extends ProcessStatus {
  readonly kind: 'npp_svc'
  readonly concurrency: number
  readonly callsInHand: readonly { readonly service: string; readonly sinceMs: number; readonly leftMs: number; readonly waits: boolean }[]
  readonly calls: number
  readonly errors: number
  readonly dropped: number
  readonly messages: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Share of its life in which it had a call in hand. */
  readonly busy: number
}

/** Times of calls: upper bounds in microseconds that half of them, and 99 of 100, stay below; null where there is none. */
export interface TimeStatus {
  readonly p50Micros: number | null
  readonly p99Micros: number | null
  readonly meanMicros: number | null
}

export interface ServiceStatus {
  /** '' for those that have no row of their own. */
  readonly name: string
  readonly calls: number
  readonly errors: number
  readonly timeouts: number
  readonly retries: number
  readonly backlog: number
  readonly wait: TimeStatus
  readonly run: TimeStatus
  readonly bytesIn: number
  readonly bytesOut: number
}

/** What a running instance does. */
export interface InstanceStatus {
  readonly instance: string
  readonly engines: readonly EngineStatus[]
  readonly serviceProcesses: readonly ServiceProcessStatus[]
  readonly services: readonly ServiceStatus[]
}

/** The time now: milliseconds on CLOCK_MONOTONIC, and since 1970. */
export interface Now {
  readonly clock: number
  readonly wall: number
}

/** The status of an instance, read off its scoreboard without its noticing. Throws NPP_NO_INSTANCE where none runs. */
export function statusOf(id: string, now: Now): InstanceStatus {
  const board = boardOf(id)
  const { processes, services } = board.read()
  const living = processes.filter(({ pid, start }) => startOfProcess(pid) === start)
  const engines = living.filter(({ kind }) => kind === ProcessKind.Engine)
  if (engines.length === 0) throw noInstance(id)
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0])
  return {
    instance: id,
    engines: engines.map((reading) => ({
      kind: 'npp_app',
      ...processStatus(reading, now, uptime),
      requests: counterOf(reading, Counter.Requests),
      connections: counterOf(reading, Counter.Connections),
      accepted: counterOf(reading, Counter.Accepted),
      refused: counterOf(reading, Counter.Refused),
      pendingCalls: counterOf(reading, Counter.PendingCalls),
      backlog: counterOf(reading, Counter.Backlog),
      staleReplies: counterOf(reading, Counter.StaleReplies),
    })),
    serviceProcesses: living
      .filter(({ kind }) => kind === ProcessKind.Service)
      .map((reading) => serviceProcessStatus(reading, board, now, uptime)),
    services: services
      .filter(({ name, calls, timeouts }) => name !== '' || calls + timeouts > 0)
      .toSorted((one, other) => (one.name < other.name ? -1 : 1))
      .map(serviceStatus),
  }
}

function boardOf(id: string): Scoreboard {
  try {
    return copyScoreboard(id)
  } catch (error) {
    throw error instanceof NppError && error.code === 'NPP_SHM_MISSING' ? noInstance(id) : error
  }
}

function noInstance(id: string): NppError {
  return new NppError(
    'NPP_NO_INSTANCE',
    `no npp_app of the instance ${id} runs: start one with npx npp start, or name another with NPP_ASYNC_ID`,
  )
}

const PHASES = { [ProcessPhase.Starting]: 'starting', [ProcessPhase.Running]: 'running', [ProcessPhase.Stopping]: 'stopping' } as const

function processStatus({ pid, phase, start }: ProcessReading, now: Now, uptime: number): Omit<ProcessStatus, 'kind'> {
  const upSeconds = Math.max(uptime - start / TICKS_A_SECOND, 0)
  return { pid, phase: PHASES[phase], startedAt: new Date(now.wall - upSeconds * 1000).toISOString(), upSeconds }
}

function serviceProcessStatus(reading: ProcessReading, board: Scoreboard, now: Now, uptime: number): ServiceProcessStatus {
  const status = processStatus(reading, now, uptime)
  const busySeconds = counterOf(reading, Counter.BusyMicros) / 1e6
  return {
    kind: 'npp_svc',
    ...status,
    concurrency: reading.concurrency,
    callsInHand: reading.callsInHand.map(({ service, since, deadline, waits }) => ({
      service: board.services.nameOf(service),
      sinceMs: Math.round(now.clock - since),
      leftMs: Math.round(deadline - now.clock),
      waits,
    })),
    calls: counterOf(reading, Counter.Calls),
    errors: counterOf(reading, Counter.Errors),
    dropped: counterOf(reading, Counter.Dropped),
    messages: counterOf(reading, Counter.Messages),
    bytesIn: counterOf(reading, Counter.BytesIn),
    bytesOut: counterOf(reading, Counter.BytesOut),
    busy: status.upSeconds > 0 ? Math.min(busySeconds / status.upSeconds, 1) : 0,
  }
}

function serviceStatus({ wait, run, ...figures }: ServiceReading): ServiceStatus {
  return { ...figures, wait: timeStatus(wait), run: timeStatus(run) }
}

/** What a histogram says of most of its calls. */
export function timeStatus({ totalMicros, buckets }: HistogramReading): TimeStatus {
  const calls = buckets.reduce((sum, count) => sum + count, 0)
  return {
    p50Micros: boundOf(buckets, calls * 0.5),
    p99Micros: boundOf(buckets, calls * 0.99),
    meanMicros: calls === 0 ? null : totalMicros / calls,
  }
}

/** What so many calls stay below: the upper end of their bucket. The last bucket has none. */
function boundOf(buckets: readonly number[], calls: number): number | null {
  if (calls === 0) return null
  let sum = 0
  for (const [bucket, count] of buckets.entries()) {
    sum += count
    if (sum >= calls) return bucket === buckets.length - 1 ? Infinity : 2 ** bucket
  }
  return null
}

/** The same for people. */
export function sayStatus({ instance, engines, serviceProcesses, services }: InstanceStatus): string {
  const processes = [
    ['process', 'pid', 'phase', 'up', 'in hand', 'busy', 'calls', 'errors', 'dropped'],
    ...engines.map(({ kind, pid, phase, upSeconds, pendingCalls }) => [
      kind,
      String(pid),
      phase,
      sayDuration(upSeconds * 1e6),
      String(pendingCalls),
      '',
      '',
      '',
      '',
    ]),
    ...serviceProcesses.map(({ kind, pid, phase, upSeconds, callsInHand, concurrency, busy, calls, errors, dropped }) => [
      kind,
      String(pid),
      phase,
      sayDuration(upSeconds * 1e6),
      `${callsInHand.length} of ${concurrency}`,
      `${Math.round(busy * 100)} %`,
      String(calls),
      String(errors),
      String(dropped),
    ]),
  ]
  const http = engines.map(
    ({ requests, connections, accepted, refused, pendingCalls, backlog, staleReplies }) =>
      `${requests} requests, ${connections} connections (${accepted} accepted, ${refused} refused), ` +
      `${pendingCalls} calls pending, ${backlog} of them in the backlog, ${staleReplies} replies came too late`,
  )
  const table = [
    ['service', 'calls', 'errors', 'timeouts', 'retries', 'backlog', 'wait p50', 'p99', 'run p50', 'p99', 'in', 'out'],
    ...services.map(({ name, calls, errors, timeouts, retries, backlog, wait, run, bytesIn, bytesOut }) => [
      name === '' ? '(others)' : name,
      ...[calls, errors, timeouts, retries, backlog].map(String),
      ...[wait.p50Micros, wait.p99Micros, run.p50Micros, run.p99Micros].map(sayBound),
      sayBytes(bytesIn),
      sayBytes(bytesOut),
    ]),
  ]
  const lines = [`instance ${instance}`, '', ...aligned(processes), '', ...http, '']
  if (services.length > 0) lines.push(...aligned(table), '')
  return `${lines.join('\n')}\n`
}

/** Columns of the width of their widest cell: words to the left, and from the second on numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, column) => Math.max(cell.length, most[column] ?? 0)), [])
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

function sayBound(micros: number | null): string {
  if (micros === null) return '-'
  return micros === Infinity ? `> ${sayDuration(LAST_BOUND_MICROS)}` : `< ${sayDuration(micros)}`
}

function sayDuration(micros: number): string {
  if (micros < 1000) return `${Math.round(micros)} µs`
  if (micros < 1e6) return `${round(micros / 1000)} ms`
  const seconds = micros / 1e6
  if (seconds < 120) return `${round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

function sayBytes(bytes: number): string {
  if (bytes < 10_000) return `${bytes} B`
  if (bytes < 1e7) return `${round(bytes / 1000)} kB`
  return bytes < 1e10 ? `${round(bytes / 1e6)} MB` : `${round(bytes / 1e9)} GB`
}

/** Two digits are enough where the first says it, else the whole number. */
function round(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value))
}
