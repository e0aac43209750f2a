/** The public API of services: what a site's svc.ts imports from 'npp/svc'. */
export { defineServices, page } from './definition.ts'
export { html } from '../shared/html.ts'
export type { Html, HtmlValue } from '../shared/html.ts'
export type { PageHandler, PageRequest, PageResponse, PageService, Service, ServiceContext, ServiceDefinition } from '../shared/services.ts'
