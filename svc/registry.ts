import { NppError } from '../shared/errors.ts'
import type { PageHandler, ServiceContext, ServiceOptions } from '../shared/services.ts'
import { isStandardSchema, issuesOf, sayIssues, type StandardResult, type StandardSchema } from '../shared/standard-schema.ts'
import { isThenable } from '../shared/thenable.ts'

/** A service, whatever its types say: they were checked where the site was compiled. */
export interface CallService {
  run(input: unknown, context: ServiceContext): unknown
}

export type Registered = { readonly kind: 'call'; readonly service: CallService } | { readonly kind: 'page'; readonly page: PageHandler }

/** What a service declares that its callers are to know. */
export interface Declaration extends ServiceOptions {
  readonly name: string
}

const MOST_PRIORITY = 31
const MOST_CONCURRENCY = 64

/** The services of a site by their names. */
export class Registry {
  /** Calls that run at a time; undefined where the site does not say it. */
  readonly concurrency: number | undefined
  readonly declarations: readonly Declaration[]
  readonly #services = new Map<string, Registered>()

  /** Takes the default export of a site's svc module. Throws NPP_SITE_INVALID, with all that is wrong with it. */
  constructor(definition: unknown, path: string) {
    if (!isDefinition(definition)) {
      throw new NppError('NPP_SITE_INVALID', `${path} does not export a definition: write export default defineServices({ … })`)
    }
    const faults: string[] = []
    const declarations: Declaration[] = []
    for (const [name, service] of Object.entries(definition.services)) {
      if (isCallService(service)) this.#services.set(name, { kind: 'call', service: { run: service } })
      else if (isPageService(service)) this.#services.set(name, { kind: 'page', page: service.page })
      else if (isDeclared(service)) {
        const { idempotent, priority, timeoutMs, input } = service.options
        faults.push(...faultsOf(name, service.options))
        declarations.push({ name, ...given({ idempotent, priority, timeoutMs }) })
        this.#services.set(name, { kind: 'call', service: { run: isStandardSchema(input) ? validating(input, service.run) : service.run } })
      } else faults.push(`${name} is neither a function nor service(…) nor page(…)`)
    }
    const { concurrency } = definition.options ?? {}
    if (concurrency !== undefined && !isWhole(concurrency, 1, MOST_CONCURRENCY))
      faults.push(`concurrency is not a whole number from 1 to ${MOST_CONCURRENCY}`)
    if (faults.length > 0) throw new NppError('NPP_SITE_INVALID', `${path}: ${faults.join(', ')}`)
    this.concurrency = typeof concurrency === 'number' ? concurrency : undefined
    this.declarations = declarations
  }

  get names(): string[] {
    return [...this.#services.keys()]
  }

  find(name: string): Registered | undefined {
    return this.#services.get(name)
  }
}

interface Declared {
  readonly run: CallService['run']
  readonly options: Readonly<Record<keyof ServiceOptions | 'input', unknown>>
}

function isDefinition(value: unknown): value is { readonly services: object; readonly options?: { readonly concurrency?: unknown } } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'npp' in value &&
    value.npp === 'services' &&
    'services' in value &&
    typeof value.services === 'object' &&
    value.services !== null &&
    (!('options' in value) || (typeof value.options === 'object' && value.options !== null))
  )
}

function isCallService(value: unknown): value is CallService['run'] {
  return typeof value === 'function'
}

function isPageService(value: unknown): value is { readonly page: PageHandler } {
  return typeof value === 'object' && value !== null && 'page' in value && typeof value.page === 'function'
}

function isDeclared(value: unknown): value is Declared {
  if (typeof value !== 'object' || value === null || !('run' in value) || !('options' in value)) return false
  return typeof value.run === 'function' && typeof value.options === 'object' && value.options !== null
}

/** What is wrong with the options of a service. */
function faultsOf(name: string, { idempotent, priority, timeoutMs, input }: Declared['options']): string[] {
  const faults: string[] = []
  if (idempotent !== undefined && typeof idempotent !== 'boolean') faults.push(`idempotent of ${name} is not a boolean`)
  if (priority !== undefined && !isWhole(priority, 0, MOST_PRIORITY))
    faults.push(`priority of ${name} is not a whole number from 0 to ${MOST_PRIORITY}`)
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs < Infinity))
    faults.push(`timeoutMs of ${name} is not a number above 0`)
  if (input !== undefined && !isStandardSchema(input)) faults.push(`input of ${name} is not a Standard Schema`)
  return faults
}

function isWhole(value: unknown, from: number, to: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to
}

/** The options that are there. */
function given(options: Readonly<Record<keyof ServiceOptions, unknown>>): ServiceOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** Runs the service with what the schema makes of its input. */
function validating(schema: StandardSchema, run: CallService['run']): CallService['run'] {
  return (input, context) => {
    const told = schema['~standard'].validate(input)
    if (!isThenable(told)) return run(valueOf(told), context)
    return Promise.resolve(told).then((result) => run(valueOf(result), context))
  }
}

function valueOf(result: StandardResult<unknown>): unknown {
  if (result.issues === undefined) return result.value
  throw new NppError('NPP_CALL_INPUT', `the input is not valid: ${sayIssues(issuesOf(result.issues))}`)
}
