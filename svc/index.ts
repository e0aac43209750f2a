/** The public API of services: what a site's svc.ts imports from 'npp/svc'. */
export { defineServices, page, service } from './definition.ts'
export { html } from '../shared/html.ts'
export type { Html, HtmlValue } from '../shared/html.ts'
export type {
  DeclaredService,
  PageHandler,
  PageRequest,
  PageResponse,
  PageService,
  Service,
  ServiceContext,
  ServiceDefinition,
  ServiceOptions,
  ServicesOptions,
} from '../shared/services.ts'
export type { StandardIssue, StandardResult, StandardSchema } from '../shared/standard-schema.ts'
