import { attach, clearStale, type AttachedInstance } from '../ipc/instance.ts'
import { PayloadFiles } from '../ipc/payload-store.ts'
import { ProcessKind, ProcessPhase, ServiceFigures } from '../ipc/scoreboard.ts'
import { startOfProcess, writeNow } from '../native/index.ts'
import { createSystemClock } from '../shared/clock.ts'
import type { Config } from '../shared/config.ts'
import { NppError, stackOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { openProcessLog, type ProcessLog } from '../shared/log.ts'
import { ServiceReport } from '../shared/service-report.ts'
import { importDefault, type SiteFiles } from '../shared/site.ts'
import { Figures } from './figures.ts'
import { Registry } from './registry.ts'
import { Worker } from './worker.ts'

const ENGINE_END_POLL_MS = 2

/** Why a process serves no longer, and what it does then. */
const WHAT_NEXT = {
  stopped: 'npp_svc ends',
  gone: 'npp_app is gone; waiting for another',
  renewed: 'npp_app has made its queues or scoreboard anew; attaching again',
} as const
type Outcome = keyof typeof WHAT_NEXT

export interface ServiceProcessOptions {
  readonly site: SiteFiles
  readonly config: Config
  readonly instanceId: string
  /** An npp_app of this machine forked the process: it ends it, and SIGINT from the terminal is not for it. */
  readonly supervised: boolean
}

/** Runs this process as npp_svc until it is told to end or its engine is gone; resolves with the exit code. */
export async function runService(options: ServiceProcessOptions): Promise<number> {
  process.title = 'npp_svc'
  const { site, instanceId, supervised } = options
  const log = openProcessLog('npp_svc', options.config, writeNow)
  const clock = createSystemClock()
  const stop = new AbortController()
  listenToSignals(stop, supervised)
  crashOnUncaught(log)
  if (supervised) clearUpAfterEngine(instanceId, stop.signal)
  const registry = await loadRegistry(site)
  const payloads = new PayloadFiles(instanceId, options.config.maxCallBytes)
  const concurrency = registry.concurrency ?? options.config.ASYNCSvcConcurrency
  const { svcHangMs } = options.config
  const hanging = svcHangMs === 0 ? {} : { graceMs: svcHangMs }
  let served = false
  while (!stop.signal.aborted) {
    const instance = await attach(instanceId, clock, stop.signal)
    if (instance === undefined) break
    const { board } = instance.scoreboard
    const slot = board.claim({
      kind: ProcessKind.Service,
      pid: process.pid,
      start: startOfProcess(process.pid) ?? 0,
      engine: 0,
      epoch: 0,
      concurrency,
    })
    // With lock and slot in place the engine sees us; what lost its name before that it may have given up.
    if (!instance.isWhole()) {
      slot.release()
      instance.detach()
      continue
    }
    served = true
    if (supervised) report(ServiceReport.Attached)
    log.info({ instance: instanceId, services: registry.names }, 'npp_svc attached')
    const figures = new Figures(slot, new ServiceFigures(board.services, process.pid))
    const { requests, replies } = instance
    const worker = new Worker({
      requests,
      replies,
      registry,
      concurrency,
      slot,
      cancels: board.cancels,
      figures,
      payloads,
      ...hanging,
      clock,
      log,
    })
    slot.enter(stop.signal.aborted ? ProcessPhase.Stopping : ProcessPhase.Running)
    const enterStopping = (): void => slot.enter(ProcessPhase.Stopping)
    stop.signal.addEventListener('abort', enterStopping, { once: true })
    const flushing = setInterval(() => figures.flush(clock.monotonic()), Limits.figuresFlushMs)
    flushing.unref()
    const outcome = await serve(worker, instance, stop.signal)
    clearInterval(flushing)
    stop.signal.removeEventListener('abort', enterStopping)
    figures.flush(clock.monotonic())
    slot.release()
    instance.detach()
    log.info({ instance: instanceId }, WHAT_NEXT[outcome])
  }
  if (stop.signal.aborted) return close(log, 0)
  clearStale(instanceId)
  if (served) {
    log.warn({ instance: instanceId }, `npp_app did not come back within ${Limits.attachMs / 1000} s; npp_svc ends`)
    return close(log, 0)
  }
  log.close()
  throw new NppError(
    'NPP_NO_INSTANCE',
    `no npp_app of the instance ${instanceId} came up within ${Limits.attachMs / 1000} s: start one with npx npp start ${site.folder}, or name its instance with NPP_ASYNC_ID`,
  )
}

function close(log: ProcessLog, code: number): number {
  log.close()
  return code
}

async function loadRegistry(site: SiteFiles): Promise<Registry> {
  if (site.services === undefined)
    throw new NppError('NPP_SITE_NOT_FOUND', `${site.folder} has no svc module, so there is nothing for npp_svc to run`)
  return new Registry(await importDefault(site.services), site.services)
}

/**
 * Serves until the process is to end, the engine is gone, or has made anew what lost its name. What is in hand is finished first, but where the
 * engine is gone, or nobody waits for it any more.
 */
function serve(worker: Worker, instance: AttachedInstance, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    let leaving: Outcome | undefined
    const end = (outcome: Outcome): void => {
      clearInterval(timer)
      signal.removeEventListener('abort', stop)
      worker.abandon()
      resolve(outcome)
    }
    const leave = (outcome: Outcome): void => {
      const isNew = leaving === undefined
      leaving = outcome
      if (isNew) void worker.stop().then(() => end(leaving ?? outcome))
    }
    const stop = (): void => leave('stopped')
    const timer = setInterval(() => {
      if (!instance.isAlive()) end('gone')
      else if (leaving !== undefined) {
        if (worker.isOverdue) end(leaving)
      } else if (!instance.isWhole() && instance.isRenewed()) leave('renewed')
    }, Limits.engineCheckMs)
    worker.start()
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** Tells the supervisor; where it has gone there is nobody to tell. */
function report(what: string): void {
  if (process.connected) process.send?.(what, undefined, undefined, () => undefined)
}

/**
 * node:cluster ends a forked process as soon as the channel to its parent breaks. Was it not told to end, then the engine was killed, and
 * nobody else removes the queues.
 */
function clearUpAfterEngine(instanceId: string, told: AbortSignal): void {
  const engine = process.ppid
  process.on('exit', () => {
    if (told.aborted) return
    // The channel breaks before the kernel has taken back all that a dying process held; its children have a new parent after that.
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let waited = 0; process.ppid === engine && waited < Limits.engineEndMs; waited += ENGINE_END_POLL_MS)
      Atomics.wait(pause, 0, 0, ENGINE_END_POLL_MS)
    clearStale(instanceId)
  })
}

function listenToSignals(stop: AbortController, supervised: boolean): void {
  process.on('SIGTERM', () => {
    if (supervised) report(ServiceReport.Told)
    stop.abort()
  })
  // A terminal sends SIGINT to the whole group; under npp_app the engine drains first and ends us then.
  process.on('SIGINT', () => {
    if (!supervised) stop.abort()
  })
}

function crashOnUncaught(log: ProcessLog): void {
  process.on('uncaughtException', (error) => {
    log.error({ error: stackOf(error) }, 'npp_svc crashed')
    log.flush()
    process.exit(new NppError('NPP_CRASHED', '').exitCode)
  })
}
