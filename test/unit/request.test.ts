import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Exchange, type ExchangeContext } from '../../app/http/exchange.ts'
import { Outcome } from '../../app/http/outcome.ts'
import { RequestParser } from '../../app/http/parser.ts'
import { HttpRequest } from '../../app/http/request.ts'
import { TargetCache } from '../../app/http/target-cache.ts'
import { GONE } from '../support/answered-exchange.ts'
import { isCode } from '../support/codes.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'

const BEFORE = 'other bytes'

class Context implements ExchangeContext {
  readonly trustedPeers = undefined
  ids = 0
  readonly calls: unknown[] = []

  addressOf(connection: number, generation: number): string {
    return `${connection}/${generation}`
  }

  isSecure(): boolean {
    return false
  }

  nextRequestId(): string {
    return `id-${this.ids++}`
  }

  readonly callAsync = Object.assign(
    (...call: unknown[]): Promise<unknown> => {
      this.calls.push(call)
      return Promise.resolve('replied')
    },
    {
      noReply: (...call: unknown[]): Promise<void> => {
        this.calls.push(call)
        return Promise.resolve()
      },
    },
  )

  answered(): void {}

  stream(): void {}

  detach(): Promise<never> {
    return Promise.reject(new Error('no connection here'))
  }

  sendFile(): void {}
}

interface Given {
  readonly req: HttpRequest
  readonly exchange: Exchange
  readonly context: Context
  readonly bytes: Buffer
  readonly parser: RequestParser
}

function request(lines: string, body = '', target = '/a%20b?x=1&x=2&y=', isVolatile = false): Given {
  const bytes = Buffer.from(
    `${BEFORE}POST ${target} HTTP/1.1\r\nHost: h\r\n${lines}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`,
    'latin1',
  )
  const all = Buffer.concat([bytes, Buffer.from(body)])
  const parser = new RequestParser(HEADER_LIMITS)
  let outcome = parser.parse(all, BEFORE.length, all.byteLength)
  if (outcome === Outcome.Header && parser.admit(10_000)) outcome = parser.parse(all, BEFORE.length, all.byteLength)
  assert.equal(outcome, Outcome.Complete)
  const context = new Context()
  const exchange = new Exchange(context)
  const { targetStart, pathEnd, targetEnd } = parser
  const found = new TargetCache().find(all, BEFORE.length + targetStart, BEFORE.length + pathEnd, BEFORE.length + targetEnd)
  exchange.begin(3, 7, parser, all, BEFORE.length, found, isVolatile)
  return {
    req: new HttpRequest(exchange),
    exchange,
    context,
    bytes: all,
    parser,
  }
}

/** Overwrites what the request was parsed from, as the next request does. */
function overwrite({ bytes, parser }: Given): void {
  bytes.fill(0x7a)
  parser.fields.fill(0)
  parser.reset()
}

const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n'

describe('a request', () => {
  it('says what it is', () => {
    const { req } = request('', 'body')
    assert.deepEqual([req.method, req.target, req.path, req.ip], ['POST', '/a%20b?x=1&x=2&y=', '/a b', '3/7'])
    assert.equal(req.body.toString(), 'body')
  })

  it('has an empty body where none came', () => assert.equal(request('').req.body.byteLength, 0))

  it('has an id once it is asked for one, and keeps it', () => {
    const { req, context } = request('')
    assert.equal(context.ids, 0)
    assert.deepEqual([req.id, req.id, context.ids], ['id-0', 'id-0', 1])
  })

  it('has the query as URLSearchParams has it', () => {
    const { req } = request('')
    assert.deepEqual([req.query.get('x'), req.query.getAll('x'), req.query.get('y'), req.query.has('z')], ['1', ['1', '2'], '', false])
    assert.equal(req.query, req.query)
    assert.deepEqual([...request('', '', '/').req.query], [])
    assert.equal(request('', '', '/?a=%C3%BC+b').req.query.get('a'), 'ü b')
  })

  it('hands calls on', async () => {
    const { req, context } = request('')
    assert.equal(await req.callAsync('sum', { n: 1 }, { timeoutMs: 5 }), 'replied')
    const { callAsync } = req
    assert.equal(await callAsync.noReply('log', 'text'), undefined)
    assert.deepEqual(context.calls, [
      ['sum', { n: 1 }, { timeoutMs: 5 }],
      ['log', 'text'],
    ])
  })
})

describe('the fields of a request', () => {
  const lines = 'X-One: 1\r\nx-two: a\r\nX-TWO: \xe4\r\nX-Empty:\r\n'
  const looks: readonly (readonly [string, string, string | undefined])[] = [
    ['by their names', 'X-One', '1'],
    ['in any case', 'x-ONE', '1'],
    ['joined, where there are several', 'X-Two', 'a, \xe4'],
    ['empty', 'x-empty', ''],
    ['not there', 'x-three', undefined],
    ['not there, of the same length', 'x-onf', undefined],
    ['not by a part of a name', 'x-on', undefined],
    ['not by the names of objects', '__proto__', undefined],
    ['not by no name', '', undefined],
  ]
  for (const [rule, name, expected] of looks) it(`are found ${rule}`, () => assert.equal(request(lines).req.header(name), expected))

  it('are listed as received', () => {
    assert.deepEqual(
      [...request(lines).req.headers],
      [
        ['Host', 'h'],
        ['X-One', '1'],
        ['x-two', 'a'],
        ['X-TWO', '\xe4'],
        ['X-Empty', ''],
        ['Content-Length', '0'],
      ],
    )
  })

  it('hold cookies, also of several fields (RFC 9113 §8.2.3)', () => {
    const { req } = request('Cookie: a=1; b=2\r\ncookie: c=3\r\n')
    assert.deepEqual(
      [...req.cookies],
      [
        ['a', '1'],
        ['b', '2'],
        ['c', '3'],
      ],
    )
    assert.equal(req.cookies, req.cookies)
    assert.deepEqual([...request('').req.cookies], [])
  })
})

describe('a request that is retained', () => {
  for (const volatile of [false, true]) {
    it(`${volatile ? 'from bytes that are overwritten' : 'from bytes that stay'} keeps its fields when the parser goes on`, () => {
      const given = request('X: 1\r\nCookie: a=b\r\n', 'body', '/', volatile)
      given.exchange.retain()
      if (volatile) overwrite(given)
      else {
        given.parser.fields.fill(0)
        given.parser.reset()
      }
      const { req } = given
      assert.deepEqual([req.header('x'), req.cookies.get('a'), req.body.toString(), [...req.headers].length], ['1', 'b', 'body', 4])
    })
  }

  it('copies no bytes that stay', () => {
    const given = request('', 'body')
    given.exchange.retain()
    assert.equal(given.req.body.buffer, given.bytes.buffer)
  })
})

describe('a request that is released', () => {
  const uses: readonly (readonly [string, (req: HttpRequest) => unknown])[] = [
    ['header', (req) => req.header('host')],
    ['headers', (req) => [...req.headers]],
    ['cookies', (req) => req.cookies],
    ['form', (req) => req.form()],
  ]
  for (const [name, use] of uses) {
    it(`refuses ${name}, and never shows the fields of the next client`, () => {
      const { req, exchange } = request('')
      exchange.release()
      assert.throws(() => use(req), isCode('NPP_ALREADY_ANSWERED'))
    })
  }

  it('keeps method, path, query, body and what was read of it', () => {
    const { req, exchange } = request('Cookie: a=b\r\n', '{"a":1}')
    assert.equal(req.cookies.get('a'), 'b')
    exchange.release()
    assert.deepEqual([req.method, req.path, req.query.get('x'), req.json(), req.cookies.get('a')], ['POST', '/a b', '1', { a: 1 }, 'b'])
  })
})

describe('an exchange', () => {
  const TARGET = '/a%20b?x=1'

  it('serves the next request where method and target are all that was seen', () => {
    const { req, exchange } = request('X: 1\r\n', '', TARGET)
    assert.deepEqual([req.header('x'), req.path, req.ip], ['1', '/a b', '3/7'])
    assert.equal(exchange.isReusable, true)
  })

  const kept: readonly (readonly [string, string, (given: Given) => unknown])[] = [
    ['a body', 'body', ({ req }) => req.body.toString()],
    ['an id', '', ({ req }) => req.id],
    ['a query that was read', '', ({ req }) => req.query.get('x')],
    ['cookies that were read', '', ({ req }) => req.cookies.get('a')],
    ['parameters', '', ({ exchange }) => (exchange.params = { a: '1' })],
  ]
  for (const [what, body, use] of kept) {
    it(`is its handler's for good with ${what}`, () => {
      const given = request('Cookie: a=b\r\n', body, TARGET)
      use(given)
      assert.equal(given.exchange.isReusable, false)
    })
  }

  it('that has ended says method, target and path, and calls; nothing of the next client', async () => {
    const { req, exchange } = request('X: 1\r\nCookie: a=b\r\n', '', TARGET)
    req.become(exchange.ended())
    assert.deepEqual([req.method, req.target, req.path, req.query.get('x'), req.body.byteLength], ['POST', TARGET, '/a b', '1', 0])
    assert.equal(await req.callAsync('sum'), 'replied')
    for (const use of [() => req.header('x'), () => [...req.headers], () => req.cookies, () => req.ip, () => req.id, () => req.form()])
      assert.throws(use, isCode('NPP_ALREADY_ANSWERED'))
  })

  it('that has ended is shared by the requests of a target, and what one does to its query no other sees', () => {
    const { req, exchange } = request('', '', TARGET)
    const ended = exchange.ended()
    assert.equal(exchange.ended(), ended)
    req.become(ended)
    req.query.set('x', '2')
    assert.equal(new HttpRequest(ended).query.get('x'), '1')
    exchange.method = 'GET'
    assert.equal(new HttpRequest(exchange.ended()).method, 'GET')
    assert.equal(req.method, 'POST')
  })

  it('has a successor for the same request, whose answer is still to come', () => {
    const { exchange } = request('', '', TARGET)
    exchange.id = 'id'
    exchange.statusCode = 201
    exchange.expire(GONE)
    const page = exchange.successor()
    assert.deepEqual(
      [page.slot, page.generation, page.method, page.target.raw, page.id, page.statusCode, page.answered],
      [3, 7, 'POST', TARGET, 'id', 200, false],
    )
  })
})

describe('json', () => {
  it('takes the body as UTF-8', () => assert.deepEqual(request('', '{"ü":[1,null]}').req.json(), { ü: [1, null] }))
  it('makes no prototype of __proto__', () => {
    const value = request('', '{"__proto__":{"polluted":1}}').req.json()
    assert.equal(Object.getPrototypeOf(value), Object.prototype)
  })
  for (const body of ['', '{', 'undefined', "{'a':1}", '\ufeff{}', '{}x'])
    it(`refuses ${JSON.stringify(body)}`, () => assert.throws(() => request('', body).req.json(), isCode('NPP_BAD_BODY')))
})

describe('form', () => {
  const forms: readonly (readonly [string, string, string, readonly (readonly [string, string])[]])[] = [
    [
      'takes pairs',
      FORM,
      'a=1&b=2',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    ['takes + as a space, and escapes as UTF-8', FORM, 'a=+%C3%BC', [['a', ' ü']]],
    ['takes nothing', FORM, '', []],
    [
      'takes the type in any case and with a parameter',
      'content-type: Application/X-WWW-Form-Urlencoded ; charset=utf-8\r\n',
      'a=1',
      [['a', '1']],
    ],
  ]
  for (const [rule, lines, body, expected] of forms) it(rule, () => assert.deepEqual([...request(lines, body).req.form()], expected))
  for (const lines of [
    '',
    'Content-Type: text/plain\r\n',
    'Content-Type: multipart/form-data; boundary=x\r\n',
    'Content-Type: application/x-www-form-urlencodedx\r\n',
  ])
    it(`refuses ${JSON.stringify(lines)}`, () => assert.throws(() => request(lines, 'a=1').req.form(), isCode('NPP_BAD_BODY')))
})
