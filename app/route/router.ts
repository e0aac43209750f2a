import findMyWay from 'find-my-way'
import { NppError, messageOf } from '../../shared/errors.ts'
import type { Forward, Request, Response } from '../api.ts'
import type { ErrorTarget } from '../http/error-answers.ts'
import { NO_PARAMS } from '../http/exchange.ts'
import { METHODS, type Method } from '../http/parser.ts'

/** A handler, whatever parameters and services its types name: a method's parameter may be narrower than what it is called with. */
export interface HandlerTarget {
  handle(req: Request, res: Response): void | PromiseLike<void>
}

/** What a route leads to. */
export type RouteTarget = HandlerTarget | Forward

export interface Match {
  readonly target: RouteTarget
  readonly params: Readonly<Record<string, string>>
  /** Bytes of a body at the most, where the route has a limit of its own. */
  readonly maxBodyBytes: number | undefined
}

/** maxTargetBytes has decided how long a path is. */
const ANY_LENGTH = Number.MAX_SAFE_INTEGER

/** Finds the route of a path: a table of exact paths in front of a radix tree for those with parameters. */
export class Router {
  readonly #exact = new Map<Method, Map<string, Match>>(METHODS.map((method) => [method, new Map<string, Match>()]))
  readonly #tree = findMyWay({ maxParamLength: ANY_LENGTH })
  #lastPath = ''
  #lastMethod: Method | undefined
  #lastMatch: Match | undefined
  /** What answers a path without a route, where the site says so. */
  notFound: HandlerTarget | undefined
  /** What answers with an error instead of npp, by status. */
  readonly errors = new Map<number, ErrorTarget>()

  /** Throws NPP_ROUTE_INVALID for a path that cannot be one, and for a second route of the same path and method. */
  add(method: Method, path: string, target: RouteTarget, maxBodyBytes?: number): void {
    if (!path.startsWith('/')) throw new NppError('NPP_ROUTE_INVALID', `route ${method} ${path}: a path begins with /`)
    if (this.has(method, path)) throw new NppError('NPP_ROUTE_INVALID', `route ${method} ${path}: defined already`)
    try {
      // The tree knows all routes, so that it sees duplicates, and finds exact paths that come percent-encoded.
      this.#tree.on(method, path, () => undefined, { target, maxBodyBytes })
    } catch (error) {
      throw new NppError('NPP_ROUTE_INVALID', `route ${method} ${path}: ${messageOf(error)}`, { cause: error })
    }
    if (!/[:*(]/.test(path)) this.#exact.get(method)?.set(path, { target, params: NO_PARAMS, maxBodyBytes })
  }

  /** True when this very path, not one that matches it, has a route of the method. */
  has(method: Method, path: string): boolean {
    return this.#tree.hasRoute(method, path)
  }

  /** `path` comes from routingPathOf. HEAD finds GET routes too (RFC 9110 §9.3.2). */
  find(method: Method, path: string): Match | undefined {
    // Requests of a moment are often for the same path, as the same string: see TargetCache.
    if (path === this.#lastPath && method === this.#lastMethod) return this.#lastMatch
    const exact = this.#exact.get(method)?.get(path)
    if (exact !== undefined) {
      this.#lastPath = path
      this.#lastMethod = method
      this.#lastMatch = exact
      return exact
    }
    const match = this.#search(method, path)
    return match === undefined && method === 'HEAD' ? this.find('GET', path) : match
  }

  /** Methods that have a route for the path, for the Allow field. */
  allowed(path: string): Method[] {
    return METHODS.filter((method) => this.find(method, path) !== undefined)
  }

  #search(method: Method, path: string): Match | undefined {
    const found = this.#tree.find(method, path)
    if (found === null) return undefined
    const store: unknown = found.store
    if (!isStore(store)) return undefined
    const params = definedOnly(found.params)
    // The tree lets ':name' match nothing; a segment that is not there is no segment.
    for (const name in params) if (params[name] === '' && name !== '*') return undefined
    return { target: store.target, params, maxBodyBytes: store.maxBodyBytes }
  }
}

function isStore(store: unknown): store is { readonly target: RouteTarget; readonly maxBodyBytes: number | undefined } {
  return typeof store === 'object' && store !== null && 'target' in store && 'maxBodyBytes' in store
}

function areDefined(params: Readonly<Record<string, string | undefined>>): params is Record<string, string> {
  for (const name in params) if (params[name] === undefined) return false
  return true
}

/** A parameter that a route leaves optional is missing rather than undefined. */
function definedOnly(params: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  if (areDefined(params)) return params
  return Object.fromEntries(Object.entries(params).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}
