import { readdirSync } from 'node:fs'
import { ownInstance, type OwnedInstance } from '../ipc/instance.ts'
import { PayloadFiles } from '../ipc/payload-store.ts'
import { ProcessKind, ProcessPhase, ServiceFigures, type ClaimedSlot } from '../ipc/scoreboard.ts'
import { startOfProcess, watchProcess, writeNow } from '../native/index.ts'
import { createSystemClock, type Clock } from '../shared/clock.ts'
import type { Config } from '../shared/config.ts'
import { NppError, messageOf, stackOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { openProcessLog, type ProcessLog } from '../shared/log.ts'
import { importDefault, type SiteFiles } from '../shared/site.ts'
import { TimerWheel } from '../shared/timer-wheel.ts'
import type { App, AppContext } from './api.ts'
import { CallFigures } from './call/call-figures.ts'
import { Caller } from './call/caller.ts'
import { ServiceWatch } from './call/service-watch.ts'
import { SpillSweep } from './call/spill-sweep.ts'
import { Engine } from './engine.ts'
import { EngineFigures, type EngineFiguresOptions } from './engine-figures.ts'
import { refusalWith } from './http/refusal.ts'
import { SecurityFields } from './http/security-fields.ts'
import { inheritedDescriptors, listenOnAll, listenOnPort, urlOf } from './listen-address.ts'
import { InstanceKeeper } from './instance-keeper.ts'
import { JoinedTransport } from './net/joined-transport.ts'
import { NativeTransport } from './net/native-transport.ts'
import { NodeTransport } from './net/node-transport.ts'
import { selectWarning } from './net/select-limit.ts'
import { openTlsTransport, readSecrets, type Secrets } from './net/tls-transport.ts'
import type { Transport, TransportEvents } from './net/transport.ts'
import { routeList } from './route/route-list.ts'
import { Router } from './route/router.ts'
import { ServicePresence } from './service-presence.ts'
import { SiteEvents } from './site-events.ts'
import { Supervisor, type ServiceCommand } from './supervisor.ts'
import { setInliningBounds } from './v8-flags.ts'

export interface AppProcessOptions {
  readonly site: SiteFiles
  readonly config: Config
  readonly instanceId: string
  /** How npp start forks a service process. */
  readonly serviceCommand: ServiceCommand
}

/** What has been opened so far, and how it is closed, last first. */
class Closers {
  readonly #closers: (() => void | Promise<void>)[] = []

  add(closer: () => void | Promise<void>): void {
    this.#closers.push(closer)
  }

  async closeAll(log: ProcessLog): Promise<void> {
    for (const closer of this.#closers.splice(0).toReversed()) {
      try {
        await closer()
      } catch (error) {
        log.error({ error: stackOf(error) }, `closing failed: ${messageOf(error)}`)
      }
    }
  }
}

/** Runs this process as npp_app until it is told to end; resolves with the exit code. What fails on the way leaves nothing behind. */
export async function runApp(options: AppProcessOptions): Promise<number> {
  process.title = 'npp_app'
  setInliningBounds()
  const log = openProcessLog('npp_app', options.config, writeNow)
  const closers = new Closers()
  closers.add(() => log.close())
  const told = listenToSignals(log)
  try {
    await start(options, log, closers)
    await told
  } finally {
    await closers.closeAll(log)
  }
  return 0
}

async function start(options: AppProcessOptions, log: ProcessLog, closers: Closers): Promise<void> {
  const { site, config, instanceId } = options
  const clock = createSystemClock()
  if (site.stale.length > 0)
    log.warn({ stale: site.stale }, `built before its source was changed: ${site.stale.join(', ')}; build the site again`)
  const secrets = readSecrets(config, site.folder)
  const app = await loadApp(site.app)
  const router = new Router()
  defineRoutes(app, router)

  const instance = await ownInstance(instanceId)
  closers.add(() => instance.end())
  const { board } = instance.scoreboard
  const slot = board.claim({ ...ENGINE, pid: process.pid, start: startOfProcess(process.pid) ?? 0, epoch: instance.epoch })
  closers.add(() => slot.release())
  const wheel = new TimerWheel(clock)
  closers.add(() => wheel.stop())
  const supervisor = supervise(options, clock, log, closers)
  crashOnUncaught(log, instance, supervisor)

  const presence = new ServicePresence(
    clock,
    () => instance.hasService(),
    () => supervisor?.isStarting() ?? false,
  )
  const services = new ServiceWatch({
    board,
    engine: ENGINE.engine,
    epoch: instance.epoch,
    watch: watchProcess,
    ...(config.svcHangMs === 0 ? {} : { hangs: { graceMs: config.svcHangMs, clock, wheel } }),
    log,
  })
  closers.add(() => services.close())
  const calls = new CallFigures(new ServiceFigures(board.services, process.pid), ENGINE.engine)
  const caller = new Caller({
    requests: instance.requests,
    replies: instance.replies,
    engine: ENGINE.engine,
    epoch: instance.epoch,
    defaultTimeoutMs: config.ASYNCDefTimeout * 1000,
    maxBacklog: config.maxBacklog,
    maxBacklogBytes: config.maxBacklogBytes,
    maxPerService: config.maxPerService,
    ...(app.schemas === undefined ? {} : { schemas: app.schemas }),
    hasService: () => presence.isThere(),
    services,
    payloads: new PayloadFiles(instanceId, config.maxCallBytes),
    cancels: board.cancels.of(ENGINE.engine),
    figures: calls,
    clock,
    wheel,
    log,
  })
  closers.add(() => caller.stop())
  const sweep = new SpillSweep({ id: instanceId, wheel, log })
  sweep.start()
  closers.add(() => sweep.stop())
  const keeper = new InstanceKeeper({ instance, bereaved: caller, watch: watchProcess, looked: () => presence.look(), log })
  closers.add(() => keeper.stop())
  if (supervisor !== undefined) await firstService(instance, clock, log)

  const context: AppContext = {
    log,
    callAsync: caller.callAsync,
  }
  await app.init?.(context)
  closers.add(() => app.done?.(context))
  const events = new SiteEvents(app, context)

  const engine = new Engine({ config, router, caller, clock, wheel, log })
  const { transport, secure } = openTransports(engine, config, secrets, log)
  engine.attach(transport)
  closers.add(() => transport.close())
  showFigures({ slot, http: engine, transport, caller, calls }, closers)
  const addresses = await listenOnAll(transport, config, inheritedDescriptors(process.env, process.pid))
  const secureAddresses = secure === undefined ? [] : await listenOnPort(secure, config.httpAddress, config.httpsPort ?? 0)
  closers.add(() => engine.drain())
  enterPhases(slot, closers)
  events.start()
  closers.add(() => events.stop())
  for (const address of addresses) announce(urlOf(address), instanceId, log)
  for (const address of secureAddresses) announce(urlOf(address, 'https'), instanceId, log)
  const warning = selectWarning(config, readdirSync('/proc/self/fd').length)
  if (warning !== '') log.warn({}, warning)
  // pm2 with wait_ready counts the process as online from here on.
  process.send?.('ready')
}

/** The one engine process of an instance: there is no other yet. */
const ENGINE = { kind: ProcessKind.Engine, engine: 0, concurrency: 0 } as const

function showFigures(options: EngineFiguresOptions, closers: Closers): void {
  const figures = new EngineFigures(options)
  const timer = setInterval(() => figures.flush(), Limits.figuresFlushMs)
  timer.unref()
  closers.add(() => {
    clearInterval(timer)
    figures.flush()
  })
}

/** From here on requests are served; what is added to the closers later is closed while the process stops. */
function enterPhases(slot: ClaimedSlot, closers: Closers): void {
  slot.enter(ProcessPhase.Running)
  closers.add(() => slot.enter(ProcessPhase.Stopping))
}

interface OpenTransports {
  /** The engine's. */
  readonly transport: Transport
  /** The part of it that speaks TLS. */
  readonly secure: Transport | undefined
}

function openTransports(engine: TransportEvents, config: Config, secrets: Secrets | undefined, log: ProcessLog): OpenTransports {
  const { polling, maxConnections, headerTimeout } = config
  const security = new SecurityFields(config)
  const options = { polling, maxConnections, refusal: refusalWith(security.plain), maxBuffered: config.maxBufferedPerConnection }
  const openPlain = (events: TransportEvents): Transport =>
    config.transport === 'node' ? new NodeTransport(events, options) : new NativeTransport(events, options)
  if (secrets === undefined) return { transport: openPlain(engine), secure: undefined }
  const handshakeFailed = (reason: string): void => log.debug({ reason }, 'a TLS handshake failed')
  const joined = new JoinedTransport(engine, openPlain, (events, borrowed) =>
    openTlsTransport(events, {
      ...options,
      refusal: refusalWith(security.secure),
      secrets,
      handshakeTimeout: headerTimeout * 1000,
      handshakeFailed,
      borrowed,
    }),
  )
  return { transport: joined, secure: joined.secure }
}

async function loadApp(path: string): Promise<App> {
  const definition = await importDefault(path)
  if (!isAppDefinition(definition))
    throw new NppError('NPP_SITE_INVALID', `${path} does not export a site: write export default defineApp({ routes(route) { … } })`)
  return definition.app
}

function isAppDefinition(value: unknown): value is { readonly app: App } {
  if (typeof value !== 'object' || value === null || !('npp' in value) || value.npp !== 'app' || !('app' in value)) return false
  const { app } = value
  return typeof app === 'object' && app !== null && 'routes' in app && typeof app.routes === 'function'
}

function defineRoutes(app: App, router: Router): void {
  try {
    const list = routeList(router)
    app.routes(list.route)
    list.finish()
  } catch (error) {
    if (error instanceof NppError) throw error
    throw new NppError('NPP_SITE_INVALID', `routes of the site failed: ${messageOf(error)}`, { cause: error })
  }
}

function supervise(
  { site, config, serviceCommand }: AppProcessOptions,
  clock: Clock,
  log: ProcessLog,
  closers: Closers,
): Supervisor | undefined {
  if (config.ASYNCSvcProcesses === 0 || site.services === undefined) return undefined
  const supervisor = new Supervisor({ processes: config.ASYNCSvcProcesses, command: serviceCommand, clock, log })
  closers.add(() => supervisor.stop())
  supervisor.start()
  return supervisor
}

/** Waits for the first service, so that the first request finds one; the engine starts without when it takes too long. */
async function firstService(instance: OwnedInstance, clock: Clock, log: ProcessLog): Promise<void> {
  const end = clock.monotonic() + Limits.firstServiceMs
  while (!instance.hasService()) {
    if (clock.monotonic() > end) {
      log.warn({}, `no npp_svc came up within ${Limits.firstServiceMs / 1000} s; calls are answered 503 until one does`)
      return
    }
    await new Promise((resolve) => {
      setTimeout(resolve, FIRST_SERVICE_POLL_MS)
    })
  }
}

const FIRST_SERVICE_POLL_MS = 10

/** Says where npp listens, whatever the log level: whoever picked port 0 has to know. */
function announce(url: string, instance: string, log: ProcessLog): void {
  log.line(
    `${JSON.stringify({ level: 30, time: Date.now(), pid: process.pid, name: 'npp_app', url, instance, msg: `npp_app listens on ${url}` })}\n`,
  )
  log.flush()
}

/** Resolves at the first SIGINT or SIGTERM. A second one ends the process without the drain: somebody is in a hurry. */
function listenToSignals(log: ProcessLog): Promise<void> {
  return new Promise((resolve) => {
    let told = false
    const hear = (signal: string): void => {
      log.info({ signal }, told ? 'npp_app ends at once' : 'npp_app finishes what is in flight and ends')
      if (told) process.exit(1)
      told = true
      resolve()
    }
    process.on('SIGINT', hear)
    process.on('SIGTERM', hear)
  })
}

/** An exception that nobody caught may have left anything half done: say so, clear up, end. */
function crashOnUncaught(log: ProcessLog, instance: OwnedInstance, supervisor: Supervisor | undefined): void {
  process.on('uncaughtException', (error) => {
    log.error({ error: stackOf(error) }, `npp_app crashed: ${messageOf(error)}`)
    log.flush()
    process.exit(new NppError('NPP_CRASHED', '').exitCode)
  })
  process.on('exit', () => {
    supervisor?.kill()
    instance.end()
  })
}
