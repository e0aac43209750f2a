import { readFileSync } from 'node:fs'
import { createSystemClock } from '../shared/clock.ts'
import { loadConfig, type Config } from '../shared/config.ts'
import { NppError, stackOf } from '../shared/errors.ts'
import { defaultInstanceId, findSite, type SiteFiles } from '../shared/site.ts'
import cluster from 'node:cluster'
import { parseCommandLine, type CommandLine } from './command-line.ts'
import { doctor } from './doctor.ts'
import { sayStatus, statusOf } from './status.ts'

const USAGE = `npp — a web engine for Linux in TypeScript

  npp start [site folder]   serve a site: one npp_app and its npp_svc processes
  npp svc [site folder]     one more service process for a running instance
  npp status [site folder]  what a running instance does: its processes, its services (--json for programs)
  npp doctor                what this machine has of what npp needs
  npp --version

  --config FILE             read FILE instead of the site's npp.conf
  --http-port 9000 …        any key of the configuration; docs/CONFIG.md lists them
`

const SOFTWARE_FAULT = 70

/*
 * Each command loads its own modules only: those of the engine would be a third of what a service process does before it serves, and it is
 * waited for when it takes the place of one that was killed.
 */

/** Runs a command of npp and resolves with the exit code. `self` is the file that was started, for processes to be forked. */
export async function run(args: readonly string[], self: string): Promise<number> {
  try {
    const line = parseCommandLine(args)
    switch (line.command) {
      case 'start':
        return await start(line, self)
      case 'svc':
        return await service(line)
      case 'status':
        return showStatus(line)
      case 'doctor':
        return doctor((text) => process.stdout.write(`${text}\n`))
      case 'version':
        process.stdout.write(`${version()}\n`)
        return 0
      case 'help':
        process.stdout.write(USAGE)
        return 0
      default:
        throw new NppError('NPP_USAGE', `there is no command ${line.command}; npp help lists them`)
    }
  } catch (error) {
    return report(error)
  }
}

async function start(line: CommandLine, self: string): Promise<number> {
  const { site, config, instanceId } = prepare(line)
  const flags = line.flags.map(([name, value]) => `${name}=${value}`)
  const configFile = line.configFile === undefined ? [] : [`--config=${line.configFile}`]
  const serviceCommand = { exec: self, args: ['svc', site.folder, ...configFile, ...flags, `--async-id=${instanceId}`] }
  const { runApp } = await import('../app/main.ts')
  return ended(await runApp({ site, config, instanceId, serviceCommand }))
}

async function service(line: CommandLine): Promise<number> {
  const { runService } = await import('../svc/main.ts')
  return ended(await runService({ ...prepare(line), supervised: cluster.isWorker }))
}

function showStatus(line: CommandLine): number {
  const now = { clock: createSystemClock().monotonic(), wall: Date.now() }
  const status = statusOf(prepare(line).instanceId, now)
  process.stdout.write(line.json ? `${JSON.stringify(status, undefined, 2)}\n` : sayStatus(status))
  return 0
}

function prepare(line: CommandLine): { site: SiteFiles; config: Config; instanceId: string } {
  const site = findSite(line.folder)
  const config = loadConfig({ siteFolder: site.folder, file: line.configFile, environment: process.env, flags: line.flags })
  return { site, config, instanceId: config.ASYNCId === '' ? defaultInstanceId(site.folder) : config.ASYNCId }
}

/** A site may have left a timer or a socket open; the process was told to end. */
function ended(code: number): never {
  process.exit(code)
}

/** One clear message for a fault that a person can mend; a stack for one that npp has to. */
function report(error: unknown): number {
  const known = error instanceof NppError
  process.stderr.write(`npp: ${known ? `${error.message} (${error.code})` : stackOf(error)}\n`)
  // The module of a site failed: its own stack says where.
  if (known && error.code === 'NPP_SITE_INVALID' && error.cause !== undefined) process.stderr.write(`${stackOf(error.cause)}\n`)
  const code = known ? error.exitCode : SOFTWARE_FAULT
  process.exit(code)
}

function version(): string {
  const description: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof description === 'object' && description !== null && 'version' in description ? String(description.version) : 'unknown'
}
