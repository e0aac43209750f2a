import { createHash } from 'node:crypto'
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, join, parse, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { NppError, messageOf } from './errors.ts'

/** A site on disk: its folder and the modules npp runs. Paths are absolute. */
export interface SiteFiles {
  readonly folder: string
  readonly app: string
  /** Module with the services, where the site has one. */
  readonly services: string | undefined
  /** Of these, the ones that are older than the .ts file they were built of. */
  readonly stale: readonly string[]
}

/** Where a module of the site may stand, best first: as it is, built by the site, or as types that Node strips. */
function candidatesOf(noun: string): string[] {
  return [`${noun}.js`, `${noun}.mjs`, join('dist', `${noun}.js`), join('dist', `${noun}.mjs`), `${noun}.ts`]
}

/** True where Node runs .ts files by itself (from 22.18 and 24 on). */
function stripsTypes(): boolean {
  return 'typescript' in process.features && Boolean(process.features.typescript)
}

function findModule(folder: string, noun: string): string | undefined {
  const name = candidatesOf(noun).find((candidate) => existsSync(join(folder, candidate)))
  if (name === undefined) return undefined
  if (name.endsWith('.ts') && !stripsTypes()) {
    throw new NppError(
      'NPP_SITE_NOT_FOUND',
      `${join(folder, name)} is TypeScript and Node ${process.versions.node} does not strip types: build the site (to ${noun}.js or dist/${noun}.js), or run it with Node 24 or newer`,
    )
  }
  return join(folder, name)
}

/** Finds the modules of the site in `folder`. Throws NPP_SITE_NOT_FOUND with what was looked for. */
export function findSite(folder: string): SiteFiles {
  const absolute = resolve(folder)
  if (!statSync(absolute, { throwIfNoEntry: false })?.isDirectory()) {
    throw new NppError('NPP_SITE_NOT_FOUND', `${absolute} is not a folder: name the folder of the site, as in npx npp start my-site`)
  }
  const app = findModule(absolute, 'app')
  if (app === undefined) {
    throw new NppError('NPP_SITE_NOT_FOUND', `${absolute} has no app module: looked for ${candidatesOf('app').join(', ')}`)
  }
  const services = findModule(absolute, 'svc')
  const stale = [app, services].filter((path) => path !== undefined).filter((path) => isStale(absolute, path))
  return { folder: absolute, app, services, stale }
}

function isStale(folder: string, built: string): boolean {
  const source = statSync(join(folder, `${parse(built).name}.ts`), { throwIfNoEntry: false })
  return source !== undefined && source.mtimeMs > statSync(built).mtimeMs
}

/** The default export of a module of the site. Throws NPP_SITE_INVALID, the module's own error as its cause. */
export async function importDefault(path: string): Promise<unknown> {
  let module: unknown
  try {
    module = await import(pathToFileURL(path).href)
  } catch (error) {
    throw new NppError('NPP_SITE_INVALID', `${path} failed to load: ${messageOf(error)}`, { cause: error })
  }
  return typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined
}

/** The instance a site folder stands for when ASYNCId does not say: the folder's name for people, a digest of its path and the user for the rest. */
export function defaultInstanceId(folder: string): string {
  const path = realpathSync(folder)
  const readable = basename(path)
    .replaceAll(/[^A-Za-z0-9_-]/g, '')
    .slice(0, 32)
  const digest = createHash('sha256')
    .update(`${process.geteuid?.() ?? ''}:${path}`)
    .digest('hex')
    .slice(0, 10)
  return `${readable === '' ? 'site' : readable}-${digest}`
}
