import type { Forward, Handler, Route } from '../api.ts'
import { METHODS, type Method } from '../http/parser.ts'
import type { Router } from './router.ts'

/** What a site's `routes` gets: the calls that fill the router. */
export function routeList(router: Router): Route {
  const adder =
    (...methods: readonly Method[]) =>
    (path: string, target: Handler<unknown, never> | Forward): void => {
      const routeTarget = typeof target === 'function' ? { handle: target } : target
      for (const method of methods) router.add(method, path, routeTarget)
    }
  return {
    get: adder('GET'),
    post: adder('POST'),
    put: adder('PUT'),
    patch: adder('PATCH'),
    delete: adder('DELETE'),
    all: adder(...METHODS),
    notFound(handler) {
      router.notFound = { handle: handler }
    },
  }
}
