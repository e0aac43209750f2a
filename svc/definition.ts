import type { StandardSchema } from '../shared/standard-schema.ts'
import type {
  DeclaredService,
  PageHandler,
  PageService,
  ServiceContext,
  ServiceDefinition,
  ServiceOptions,
  ServicesOptions,
  ServiceTable,
} from '../shared/services.ts'

/** Makes the services of a site, by name: functions of one input, services with options, and pages. The default export of svc.ts. */
export function defineServices<const T extends ServiceTable>(services: T, options: ServicesOptions = {}): ServiceDefinition<T> {
  return { npp: 'services', services, options }
}

/**
 * Makes a service that says more of itself than what it does. With a schema as `input` it gets what the schema makes of the input; what is not
 * valid fails with NPP_CALL_INPUT. Name the schema in defineApp too, and such an input is refused before it is sent.
 */
export function service<I, O, R>(
  options: ServiceOptions & { readonly input: StandardSchema<I, O> },
  run: (input: O, context: ServiceContext) => R,
): DeclaredService<I, R>
/** Makes a service that says more of itself than what it does. */
export function service<I, R>(options: ServiceOptions, run: (input: I, context: ServiceContext) => R): DeclaredService<I, R>
export function service(
  options: ServiceOptions & { readonly input?: StandardSchema },
  run: (input: never, context: ServiceContext) => unknown,
): DeclaredService<never> {
  return { run, options }
}

/** Makes a service that writes a whole answer, for `forward` in app.ts. */
export function page(handler: PageHandler): PageService {
  return { page: handler }
}
