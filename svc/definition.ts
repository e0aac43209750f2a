import type { PageHandler, PageService, ServiceDefinition, ServiceTable } from '../shared/services.ts'

/** Makes the services of a site, by name: functions of one input, and pages. The default export of svc.ts. */
export function defineServices<const T extends ServiceTable>(services: T): ServiceDefinition<T> {
  return { npp: 'services', services }
}

/** Makes a service that writes a whole answer, for `forward` in app.ts. */
export function page(handler: PageHandler): PageService {
  return { page: handler }
}
