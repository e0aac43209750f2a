import { NppError } from '../shared/errors.ts'
import type { PageHandler, ServiceContext } from '../shared/services.ts'

/** A service, whatever its types say: they were checked where the site was compiled. */
export interface CallService {
  run(input: unknown, context: ServiceContext): unknown
}

export type Registered = { readonly kind: 'call'; readonly service: CallService } | { readonly kind: 'page'; readonly page: PageHandler }

/** The services of a site by their names. */
export class Registry {
  readonly #services = new Map<string, Registered>()

  /** Takes the default export of a site's svc module. Throws NPP_SITE_INVALID, with all that is wrong with it. */
  constructor(definition: unknown, path: string) {
    if (!isDefinition(definition)) {
      throw new NppError('NPP_SITE_INVALID', `${path} does not export a definition: write export default defineServices({ … })`)
    }
    const faults: string[] = []
    for (const [name, service] of Object.entries(definition.services)) {
      if (isCallService(service)) this.#services.set(name, { kind: 'call', service: { run: service } })
      else if (isPageService(service)) this.#services.set(name, { kind: 'page', page: service.page })
      else faults.push(`${name} is neither a function nor page(…)`)
    }
    if (faults.length > 0) throw new NppError('NPP_SITE_INVALID', `${path}: ${faults.join(', ')}`)
  }

  get names(): string[] {
    return [...this.#services.keys()]
  }

  find(name: string): Registered | undefined {
    return this.#services.get(name)
  }
}

function isDefinition(value: unknown): value is { readonly services: object } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'npp' in value &&
    value.npp === 'services' &&
    'services' in value &&
    typeof value.services === 'object' &&
    value.services !== null
  )
}

function isCallService(value: unknown): value is CallService['run'] {
  return typeof value === 'function'
}

function isPageService(value: unknown): value is { readonly page: PageHandler } {
  return typeof value === 'object' && value !== null && 'page' in value && typeof value.page === 'function'
}
