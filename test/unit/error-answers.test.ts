import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ErrorAnswers, type ErrorTarget } from '../../app/http/error-answers.ts'
import type { Exchange } from '../../app/http/exchange.ts'
import type { Problem } from '../../app/http/problem.ts'
import { HttpRequest } from '../../app/http/request.ts'
import { HttpResponse } from '../../app/http/response.ts'
import { NppError, type NppCode } from '../../shared/errors.ts'
import { exchangeFor } from '../support/answered-exchange.ts'
import { RecordedLog } from '../support/recorded-log.ts'

interface Given {
  readonly log: RecordedLog
  readonly errors: ErrorAnswers
  readonly exchange: Exchange
  readonly answers: Exchange[]
  readonly fail: (error: unknown, fields?: readonly (readonly [string, string])[]) => void
}

function given(accept = '', pages: Readonly<Record<number, ErrorTarget['handle']>> = {}): Given {
  const log = new RecordedLog()
  const errors = new ErrorAnswers(log, new Map(Object.entries(pages).map(([status, handle]) => [Number(status), { handle }])))
  const answers: Exchange[] = []
  const exchange = exchangeFor((answered) => {
    if (answered === exchange) answers.push(answered)
  })
  give(exchange, accept)
  exchange.target = { raw: '/a%20b?c', path: '/a%20b', ended: undefined }
  const fail: Given['fail'] = (error, fields) => errors.failed(new HttpRequest(exchange), new HttpResponse(exchange), error, fields)
  return { log, errors, exchange, answers, fail }
}

/** Gives the request an Accept field. */
function give(exchange: Exchange, accept: string): void {
  exchange.bytes = Buffer.from(`accept${accept}`)
  exchange.fields = Int32Array.of(0, 6, 6, 6 + accept.length)
  exchange.fieldCount = 1
}

const PRESET = 'Vary: Accept\r\nX-Request-Id: id\r\n'
const OWN = 'text/plain; charset=utf-8'
const failure = (code: NppCode): NppError => new NppError(code, 'secret')

describe('an error is answered', () => {
  it('with a page that names status and request, and nothing else', () => {
    const { fail, exchange, answers, log } = given()
    fail(failure('NPP_NOT_FOUND'))
    assert.deepEqual([answers.length, exchange.statusCode, exchange.contentType], [1, 404, 'text/html; charset=utf-8'])
    assert.equal(exchange.fieldLines, PRESET)
    assert.match(String(exchange.body), /<title>404 Not Found<\/title>[^]*<h1>404 Not Found<\/h1>\s*<p>Request <code>id<\/code><\/p>/)
    assert.doesNotMatch(String(exchange.body), /secret|\/a/)
    assert.deepEqual(log.messages('error'), [])
    assert.deepEqual(log.lines, [
      { level: 'debug', fields: { requestId: 'id', code: 'NPP_NOT_FOUND', method: 'GET', target: '/a%20b?c' }, message: 'secret' },
    ])
  })

  /** [code, the whole of the JSON]. */
  const problems: readonly (readonly [NppCode, Readonly<Record<string, unknown>>])[] = [
    [
      'NPP_NOT_FOUND',
      {
        type: 'about:blank',
        title: 'Not Found',
        status: 404,
        code: 'NPP_NOT_FOUND',
        detail: 'No route matches the path.',
        requestId: 'id',
      },
    ],
    [
      'NPP_HANDLER_FAILED',
      { type: 'about:blank', title: 'Internal Server Error', status: 500, code: 'NPP_HANDLER_FAILED', requestId: 'id' },
    ],
  ]
  for (const [code, expected] of problems) {
    it(`RFC 9457 §3: with ${code} as problem+json`, () => {
      const { fail, exchange } = given('application/json')
      fail(failure(code))
      assert.equal(exchange.contentType, 'application/problem+json')
      assert.deepEqual(JSON.parse(String(exchange.body)), expected)
    })
  }

  it('with the fields of its status', () => {
    const away = given()
    away.fail(failure('NPP_NO_SERVICE'))
    assert.equal(away.exchange.fieldLines, `Retry-After: 1\r\n${PRESET}`)
    const allowed = given()
    allowed.fail(failure('NPP_METHOD_NOT_ALLOWED'), [['Allow', 'GET, HEAD']])
    assert.equal(allowed.exchange.fieldLines, `Allow: GET, HEAD\r\n${PRESET}`)
  })

  it('without what the handler had set before', () => {
    const { fail, exchange } = given()
    new HttpResponse(exchange).status(201).header('X', 'secret').type('a/b').write('secret')
    fail(failure('NPP_HANDLER_FAILED'))
    assert.deepEqual([exchange.statusCode, exchange.fieldLines, exchange.contentType], [500, PRESET, 'text/html; charset=utf-8'])
    assert.doesNotMatch(String(exchange.body), /secret/)
  })

  it('not at all where the handler has answered', () => {
    const { fail, exchange, log } = given()
    new HttpResponse(exchange).text('a')
    fail(new Error('late'))
    assert.deepEqual([exchange.body, exchange.statusCode], ['a', 200])
    assert.deepEqual(log.messages('error'), ['request failed: late'])
  })
})

describe('a page of the site', () => {
  it('answers its status with what is set for it, and knows the problem', () => {
    const seen: Problem[] = []
    const { fail, exchange, answers, log } = given('application/json', {
      405: (problem, res) => {
        seen.push(problem)
        res.header('X', 'y').text('own')
      },
    })
    fail(failure('NPP_METHOD_NOT_ALLOWED'), [['Allow', 'GET']])
    assert.deepEqual(seen, [
      { status: 405, code: 'NPP_METHOD_NOT_ALLOWED', title: 'Method Not Allowed', requestId: 'id', path: '/a b', accepts: 'json' },
    ])
    assert.deepEqual(
      [answers.length, exchange.statusCode, exchange.contentType, exchange.fieldLines, exchange.body],
      [1, 405, OWN, `Allow: GET\r\n${PRESET}X: y\r\n`, 'own'],
    )
    assert.deepEqual(log.messages('error'), [])
  })

  it('may be written bit by bit', () => {
    const { fail, exchange } = given('', { 500: (_problem, res) => void res.write('<p>').write('own') })
    fail(failure('NPP_HANDLER_FAILED'))
    assert.deepEqual([exchange.body, exchange.contentType, exchange.statusCode], ['<p>own', 'text/html; charset=utf-8', 500])
  })

  it('may take a security field away', () => {
    const { fail, exchange } = given('', { 500: (_problem, res) => res.header('X-Frame-Options', '').text('own') })
    fail(failure('NPP_HANDLER_FAILED'))
    assert.equal(exchange.ownFields, 2)
  })

  it('is of one status only', () => {
    const { fail, exchange } = given('', { 500: (_problem, res) => res.text('own') })
    fail(failure('NPP_NOT_FOUND'))
    assert.match(String(exchange.body), /404/)
  })

  /** [rule, the handler, what the log says]. */
  const faults: readonly (readonly [string, ErrorTarget['handle'], RegExp])[] = [
    [
      'throws',
      () => {
        throw new Error('broken')
      },
      /^the site's page for status 500 failed: broken$/,
    ],
    [
      'throws nothing',
      () => {
        throw undefined
      },
      /failed: undefined/,
    ],
    ['does not answer', () => undefined, /did not answer/],
    ['answers later', (_problem, res) => void setTimeout(() => res.text('late'), 1), /did not answer/],
    [
      'returns a promise',
      async (_problem, res) => {
        await Promise.resolve()
        res.text('late')
      },
      /returned a promise/,
    ],
    [
      'answers and returns a promise',
      (_problem, res) => {
        res.text('now')
        return Promise.resolve()
      },
      /returned a promise/,
    ],
    ['sends a file', (_problem, res) => res.sendFile('/etc/hostname'), /did not answer/],
    ['streams', (_problem, res) => res.stream(['a']), /did not answer/],
    ['changes the status', (_problem, res) => res.status(200).text('fine'), /answered with status 200/],
    [
      'changes the status, and goes on later',
      (_problem, res) => {
        res.status(400).text('now')
        setTimeout(() => res.text('late'), 1)
      },
      /answered with status 400/,
    ],
    ['redirects', (_problem, res) => res.redirect('/'), /answered with status 302/],
    [
      'answers twice',
      (_problem, res) => {
        res.text('1')
        res.text('2')
      },
      /failed: the request was answered before/,
    ],
    ['splits its header', (_problem, res) => res.header('X', 'a\r\nSet-Cookie: b=c').text('own'), /failed: the value of X/],
  ]
  for (const [rule, handle, message] of faults) {
    it(`that ${rule} is replaced, and the log says why`, () => {
      const { fail, exchange, answers, log } = given('', { 500: handle })
      fail(failure('NPP_HANDLER_FAILED'))
      assert.deepEqual([answers.length, exchange.statusCode, exchange.fieldLines], [1, 500, PRESET])
      assert.match(String(exchange.body), /500 Internal Server Error/)
      assert.equal(log.messages('error').length, 2)
      assert.match(log.messages('error')[1] ?? '', message)
    })
  }

  it('whose promise rejects harms nobody', async () => {
    const { fail, log } = given('', { 500: () => Promise.reject(new Error('later')) })
    fail(failure('NPP_HANDLER_FAILED'))
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    assert.match(log.messages('error')[2] ?? '', /rejected/)
  })
})

describe('a refusal', () => {
  it('is answered as the fields ask for that have arrived, with an id that the log has too', () => {
    const { errors, exchange, log } = given('application/problem+json')
    errors.refusal(exchange, 'NPP_BAD_REQUEST', 'CR without LF')
    assert.equal(exchange.contentType, 'application/problem+json')
    assert.deepEqual(JSON.parse(String(exchange.body)), {
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      code: 'NPP_BAD_REQUEST',
      detail: 'The request is malformed.',
      requestId: 'id',
    })
    assert.equal(exchange.fieldLines, PRESET)
    assert.deepEqual(log.lines, [
      {
        level: 'info',
        fields: { requestId: 'id', code: 'NPP_BAD_REQUEST', ip: '', reason: 'CR without LF' },
        message: 'request refused with 400',
      },
    ])
  })

  it('may be that of the site, which is told of no path', () => {
    const { errors, exchange } = given('', { 414: (problem, res) => res.text(`own ${problem.path}.`) })
    errors.refusal(exchange, 'NPP_TARGET_TOO_LONG', 'the target is too long')
    assert.deepEqual([exchange.statusCode, exchange.body], [414, 'own .'])
  })
})
