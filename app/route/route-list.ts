import type { Forward, Handler, Route, RouteOptions } from '../api.ts'
import { NppError } from '../../shared/errors.ts'
import { METHODS, type Method } from '../http/parser.ts'
import type { RouteTarget, Router } from './router.ts'

/** What a site's `routes` gets, and the end of its definitions. */
export interface RouteList {
  readonly route: Route
  /** Adds what `all` asked for, where no route of the method was defined: before the end nobody knows. */
  finish(): void
}

/** The calls that fill the router. */
export function routeList(router: Router): RouteList {
  const forAll: (readonly [string, RouteTarget, number | undefined])[] = []
  const adder =
    (method: Method) =>
    (path: string, target: Handler<unknown, never> | Forward, options?: RouteOptions): void =>
      router.add(method, path, routeTarget(target), bodyLimitOf(path, options))
  return {
    route: {
      get: adder('GET'),
      post: adder('POST'),
      put: adder('PUT'),
      patch: adder('PATCH'),
      delete: adder('DELETE'),
      options: adder('OPTIONS'),
      all(path: string, target: Handler<unknown, never> | Forward, options?: RouteOptions) {
        forAll.push([path, routeTarget(target), bodyLimitOf(path, options)])
      },
      notFound(handler) {
        router.notFound = { handle: handler }
      },
      error(status, handler) {
        if (!(Number.isInteger(status) && status >= 400 && status <= 599))
          throw new NppError('NPP_ROUTE_INVALID', `route error ${status}: errors have a status from 400 to 599`)
        if (typeof handler !== 'function') throw new NppError('NPP_ROUTE_INVALID', `route error ${status}: its handler is not a function`)
        if (router.errors.has(status)) throw new NppError('NPP_ROUTE_INVALID', `route error ${status}: defined already`)
        router.errors.set(status, { handle: handler })
      },
    },
    finish() {
      for (const [index, [path]] of forAll.entries()) {
        if (forAll.findIndex(([other]) => other === path) < index)
          throw new NppError('NPP_ROUTE_INVALID', `route all ${path}: defined already`)
      }
      for (const [path, target, maxBodyBytes] of forAll)
        for (const method of METHODS) if (!router.has(method, path)) router.add(method, path, target, maxBodyBytes)
    },
  }
}

function routeTarget(target: Handler<unknown, never> | Forward): RouteTarget {
  return typeof target === 'function' ? { handle: target } : target
}

function bodyLimitOf(path: string, options: RouteOptions | undefined): number | undefined {
  const limit = options?.maxBodyBytes
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0))
    throw new NppError('NPP_ROUTE_INVALID', `route ${path}: maxBodyBytes is ${limit}, not a whole number of bytes`)
  return limit
}
