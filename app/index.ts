/** The public API of sites: what a site's app.ts imports from 'npp/app'. */
export { defineApp, forward } from './api.ts'
export type {
  App,
  AppContext,
  AppDefinition,
  CallAsync,
  CallOptions,
  ErrorHandler,
  Forward,
  ForwardOptions,
  Handler,
  Params,
  Request,
  Response,
  Route,
  RouteOptions,
  Schemas,
} from './api.ts'
export type { BodySource } from './http/body-stream.ts'
export type { CookieOptions } from './http/cookies.ts'
export type { TakenConnection } from './http/taken-connection.ts'
export { InputError } from './call/input-error.ts'
export type { Problem } from './http/problem.ts'
export { ServiceError } from './call/service-error.ts'
export { NppError } from '../shared/errors.ts'
export type { NppCode } from '../shared/errors.ts'
export { html } from '../shared/html.ts'
export type { Html, HtmlValue } from '../shared/html.ts'
export type { Log } from '../shared/log.ts'
export type { InputIssue, StandardIssue, StandardResult, StandardSchema } from '../shared/standard-schema.ts'
