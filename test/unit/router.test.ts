import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Forward } from '../../app/api.ts'
import { METHODS, type Method } from '../../app/http/parser.ts'
import { Router } from '../../app/route/router.ts'
import { routeList } from '../../app/route/route-list.ts'
import { isCode } from '../support/codes.ts'

function target(name: string): Forward {
  return { forward: name, options: {} }
}

function answerNothing(): void {}

/** Each route leads to its own method and path. */
function router(routes: readonly (readonly [Method, string])[]): Router {
  const router = new Router()
  for (const [method, path] of routes) router.add(method, path, target(`${method} ${path}`))
  return router
}

function found(given: Router, method: Method, path: string): readonly [string, Readonly<Record<string, string>>] | undefined {
  const match = given.find(method, path)
  if (match === undefined) return undefined
  return ['forward' in match.target ? match.target.forward : '', { ...match.params }]
}

const SITE = router([
  ['GET', '/'],
  ['GET', '/a'],
  ['POST', '/a'],
  ['GET', '/a/'],
  ['GET', '/hi/:name'],
  ['GET', '/hi/you'],
  ['GET', '/hi/:name/from/:place'],
  ['GET', '/files/*'],
  ['PUT', '/thing/:id'],
  ['DELETE', '/thing/:id'],
  ['HEAD', '/own'],
  ['GET', '/own'],
  ['GET', '/a b/ü'],
  ['GET', '/maybe/:x?'],
  ['GET', '/date/:y-:m'],
])

const FINDS: readonly (readonly [string, Method, string, readonly [string, Readonly<Record<string, string>>] | undefined])[] = [
  ['the root', 'GET', '/', ['GET /', {}]],
  ['an exact path', 'GET', '/a', ['GET /a', {}]],
  ['by method', 'POST', '/a', ['POST /a', {}]],
  ['a slash at the end is another path', 'GET', '/a/', ['GET /a/', {}]],
  ['nothing in another case', 'GET', '/A', undefined],
  ['nothing below', 'GET', '/a/b', undefined],
  ['nothing for another method', 'PUT', '/a', undefined],
  ['a parameter', 'GET', '/hi/Ann', ['GET /hi/:name', { name: 'Ann' }]],
  ['the exact path before the parameter', 'GET', '/hi/you', ['GET /hi/you', {}]],
  ['several parameters', 'GET', '/hi/Ann/from/here', ['GET /hi/:name/from/:place', { name: 'Ann', place: 'here' }]],
  ['a parameter takes one segment', 'GET', '/hi/Ann/b', undefined],
  ['several parameters in a segment', 'GET', '/date/2026-01', ['GET /date/:y-:m', { y: '2026', m: '01' }]],
  ['a parameter decoded as UTF-8', 'GET', '/hi/%C3%BC%20b', ['GET /hi/:name', { name: 'ü b' }]],
  ['a slash in a parameter, when it is encoded', 'GET', '/hi/a%2Fb', ['GET /hi/:name', { name: 'a/b' }]],
  ['a parameter decoded once', 'GET', '/hi/%252F', ['GET /hi/:name', { name: '%2F' }]],
  ['a long parameter', 'GET', `/hi/${'n'.repeat(7000)}`, ['GET /hi/:name', { name: 'n'.repeat(7000) }]],
  ['the rest of the path', 'GET', '/files/a/b.c', ['GET /files/*', { '*': 'a/b.c' }]],
  ['an empty rest', 'GET', '/files/', ['GET /files/*', { '*': '' }]],
  ['the rest decoded', 'GET', '/files/%C3%BC/b%20c', ['GET /files/*', { '*': 'ü/b c' }]],
  ['RFC 3986 §2.2: no segments parted by an encoded slash', 'GET', '/hi%2Fyou', undefined],
  ['no parameter behind an encoded slash', 'GET', '/hi%2fAnn', undefined],
  ['no parameters parted by an encoded slash', 'GET', '/hi/Ann%2Ffrom%2Fhere', ['GET /hi/:name', { name: 'Ann/from/here' }]],
  ['no exact path by an encoded slash', 'GET', '/a%2F', undefined],
  ['an encoded slash decoded in the rest', 'GET', '/files/a%2Fb', ['GET /files/*', { '*': 'a/b' }]],
  ['a backslash as a letter', 'GET', '/hi/a%5Cb', ['GET /hi/:name', { name: 'a\\b' }]],
  ['an encoded question mark as a letter', 'GET', '/hi/a%3Fb', ['GET /hi/:name', { name: 'a?b' }]],
  ['an encoded number sign as a letter', 'GET', '/hi/a%23b', ['GET /hi/:name', { name: 'a#b' }]],
  ['a semicolon as a letter', 'GET', '/hi/a;b', ['GET /hi/:name', { name: 'a;b' }]],
  ['an exact path that comes encoded', 'GET', '/%61', ['GET /a', {}]],
  ['an exact path that can only come encoded', 'GET', '/a%20b/%C3%BC', ['GET /a b/ü', {}]],
  ['a parameter that is left out', 'GET', '/maybe', ['GET /maybe/:x?', {}]],
  ['a parameter that may be left out', 'GET', '/maybe/1', ['GET /maybe/:x?', { x: '1' }]],
  ['RFC 9110 §9.3.2: GET routes on HEAD', 'HEAD', '/a', ['GET /a', {}]],
  ['GET routes with parameters on HEAD', 'HEAD', '/hi/Ann', ['GET /hi/:name', { name: 'Ann' }]],
  ['a HEAD route of its own first', 'HEAD', '/own', ['HEAD /own', {}]],
  ['nothing of objects', 'GET', '/__proto__', undefined],
]

describe('the router finds', () => {
  for (const [rule, method, path, expected] of FINDS) it(rule, () => assert.deepEqual(found(SITE, method, path), expected))
})

describe('the methods allowed on a path', () => {
  const allowed: readonly (readonly [string, readonly Method[]])[] = [
    ['/a', ['GET', 'HEAD', 'POST']],
    ['/thing/1', ['PUT', 'DELETE']],
    ['/own', ['GET', 'HEAD']],
    ['/none', []],
  ]
  for (const [path, methods] of allowed) it(`${path}: ${methods.join(', ')}`, () => assert.deepEqual(SITE.allowed(path), methods))
})

describe('the router refuses', () => {
  const faults: readonly (readonly [string, readonly (readonly [Method, string])[]])[] = [
    [
      'a second route of the same path and method',
      [
        ['GET', '/a'],
        ['GET', '/a'],
      ],
    ],
    [
      'a second route with the same parameters',
      [
        ['GET', '/a/:b'],
        ['GET', '/a/:b'],
      ],
    ],
    ['a path without a slash at its start', [['GET', 'a']]],
    ['an empty path', [['GET', '']]],
    ['a star alone', [['GET', '*']]],
    ['a star that is not at the end', [['GET', '/a/*/b']]],
    ['an optional parameter that is not at the end', [['GET', '/:a?/b']]],
  ]
  for (const [rule, routes] of faults) it(rule, () => assert.throws(() => router(routes), isCode('NPP_ROUTE_INVALID')))

  it('and names the route', () => assert.throws(() => router([['GET', '/a/*/b']]), /route GET \/a\/\*\/b: /))
})

describe('the list of routes that a site fills', () => {
  it('takes a handler or a forward for each method', () => {
    const given = new Router()
    const list = routeList(given)
    const { route } = list
    route.get('/x', () => undefined)
    route.post('/x', target('p'))
    route.put('/x', target('u'))
    route.patch('/x', target('t'))
    route.delete('/x', target('d'))
    list.finish()
    assert.deepEqual(given.allowed('/x'), ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH'])
    assert.deepEqual(found(given, 'PATCH', '/x'), ['t', {}])
  })

  it('takes all methods at once', () => {
    const given = new Router()
    const list = routeList(given)
    const { route } = list
    route.all('/x', target('all'))
    list.finish()
    assert.deepEqual(given.allowed('/x'), METHODS)
  })

  it('gives `all` the methods that have no route of their own, wherever that stands', () => {
    const given = new Router()
    const list = routeList(given)
    const { route } = list
    route.post('/x', target('before'))
    route.all('/x', target('all'))
    route.put('/x', target('after'))
    list.finish()
    assert.deepEqual(
      METHODS.map((method) => found(given, method, '/x')?.[0]),
      ['all', 'all', 'before', 'after', 'all', 'all', 'all'],
    )
  })

  it('refuses a route twice, and a path that is none', () => {
    const given = new Router()
    const list = routeList(given)
    const { route } = list
    route.get('/y', target('y'))
    assert.throws(() => route.get('/y', target('y')), isCode('NPP_ROUTE_INVALID'))
    route.all('x', target('all'))
    assert.throws(() => list.finish(), isCode('NPP_ROUTE_INVALID'))
    const twice = routeList(new Router())
    twice.route.all('/z', target('one'))
    twice.route.all('/z', target('two'))
    assert.throws(() => twice.finish(), isCode('NPP_ROUTE_INVALID'))
  })

  it('takes what answers a path without a route', () => {
    const given = new Router()
    assert.equal(given.notFound, undefined)
    routeList(given).route.notFound(answerNothing)
    assert.deepEqual(given.notFound, { handle: answerNothing })
  })
})

describe('pages of errors', () => {
  it('are kept by status', () => {
    const given = new Router()
    const { route } = routeList(given)
    for (const status of [400, 404, 418, 599]) route.error(status, answerNothing)
    assert.deepEqual(
      [...given.errors],
      [400, 404, 418, 599].map((status) => [status, { handle: answerNothing }]),
    )
  })

  for (const status of [200, 302, 399, 600, 0, -500, 404.5, Number.NaN, Infinity]) {
    it(`are refused for ${status}, which is no error`, () => {
      assert.throws(() => routeList(new Router()).route.error(status, () => undefined), isCode('NPP_ROUTE_INVALID'))
    })
  }

  it('are refused where there are two of a status', () => {
    const { route } = routeList(new Router())
    route.error(500, () => undefined)
    assert.throws(() => route.error(500, () => undefined), isCode('NPP_ROUTE_INVALID'))
  })

  it('are refused where they are no functions', () => {
    const { route } = routeList(new Router())
    const error: unknown = Reflect.get(route, 'error')
    assert.ok(typeof error === 'function')
    for (const page of [undefined, 'page', {}])
      assert.throws(() => void Reflect.apply(error, route, [500, page]), isCode('NPP_ROUTE_INVALID'))
  })
})
