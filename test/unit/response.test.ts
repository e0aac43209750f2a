import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Exchange } from '../../app/http/exchange.ts'
import { HttpResponse } from '../../app/http/response.ts'
import { html } from '../../shared/html.ts'
import { exchangeFor, GONE } from '../support/answered-exchange.ts'
import { isCode } from '../support/codes.ts'

function respond(): { readonly res: HttpResponse; readonly exchange: Exchange; readonly answers: Exchange[] } {
  const answers: Exchange[] = []
  const exchange = exchangeFor((answered) => answers.push(answered))
  return { res: new HttpResponse(exchange), exchange, answers }
}

const PLAIN = 'text/plain; charset=utf-8'
const HTML = 'text/html; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'
const BYTES = Buffer.from([0, 255])

/** [rule, what the handler does, status, Content-Type, further lines, body] */
const ANSWERS: readonly (readonly [string, (res: HttpResponse) => void, number, string, string, string | Uint8Array])[] = [
  ['text', (res) => res.text('a'), 200, PLAIN, '', 'a'],
  ['html of text', (res) => res.html('<p>'), 200, HTML, '', '<p>'],
  ['html of html', (res) => res.html(html`<p>${'<'}</p>`), 200, HTML, '', '<p>&lt;</p>'],
  ['json', (res) => res.json({ a: [1, null, 'ü'] }), 200, JSON_TYPE, '', '{"a":[1,null,"ü"]}'],
  ['json null', (res) => res.json(null), 200, JSON_TYPE, '', 'null'],
  ['send', (res) => res.send(BYTES), 200, 'application/octet-stream', '', BYTES],
  ['a status', (res) => res.status(418).text(''), 418, PLAIN, '', ''],
  ['a type before the answer wins', (res) => res.type('text/csv').text('a,b'), 200, 'text/csv', '', 'a,b'],
  ['Content-Type as a field is the type', (res) => res.header('content-TYPE', 'text/csv').send(BYTES), 200, 'text/csv', '', BYTES],
  [
    'fields in their order, equal ones too',
    (res) => res.header('X-A', '1').header('B', '').header('X-A', '2').text(''),
    200,
    PLAIN,
    'X-A: 1\r\nB: \r\nX-A: 2\r\n',
    '',
  ],
  ['a field value up to U+00FF', (res) => res.header('X', '\xff\t ~').text(''), 200, PLAIN, 'X: \xff\t ~\r\n', ''],
  [
    'cookies',
    (res) => res.cookie('a', '1').cookie('b', '2', { httpOnly: false }).text(''),
    200,
    PLAIN,
    'Set-Cookie: a=1; Path=/; HttpOnly; SameSite=Lax\r\nSet-Cookie: b=2; Path=/; SameSite=Lax\r\n',
    '',
  ],
  [
    'write and the end of the handler',
    (res) =>
      res
        .write('<p>')
        .write(html`<b></b>`)
        .finish(),
    200,
    HTML,
    '',
    '<p><b></b>',
  ],
  ['write with a type of its own', (res) => res.type('text/css').write('a{}').finish(), 200, 'text/css', '', 'a{}'],
  ['write before text', (res) => res.write('a').text('b'), 200, PLAIN, '', 'ab'],
  ['write before send', (res) => res.write('ü').send(Buffer.from('b')), 200, 'application/octet-stream', '', Buffer.from('üb')],
  ['a redirect', (res) => res.redirect('/a?b=c#d'), 302, '', 'Location: /a?b=c#d\r\n', ''],
  ['a redirect with a status', (res) => res.redirect('https://[::1]/', 308), 308, '', 'Location: https://[::1]/\r\n', ''],
  [
    'a redirect encodes what a URL may not have',
    (res) => res.redirect('/ä b?c=\u{1f600}'),
    302,
    '',
    'Location: /%C3%A4%20b?c=%F0%9F%98%80\r\n',
    '',
  ],
  ['a redirect encodes nothing twice', (res) => res.redirect('/a%20b?ü=%C3%BC'), 302, '', 'Location: /a%20b?%C3%BC=%C3%BC\r\n', ''],
]

describe('a response answers with', () => {
  for (const [rule, handler, status, type, lines, body] of ANSWERS) {
    it(rule, () => {
      const { res, exchange, answers } = respond()
      handler(res)
      assert.deepEqual(answers, [exchange])
      assert.equal(res.answered, true)
      assert.deepEqual([exchange.statusCode, exchange.contentType, exchange.fieldLines, exchange.body], [status, type, lines, body])
    })
  }
})

const NAMES_OF_THE_ENGINE = ['Connection', 'Content-Length', 'Date', 'Keep-Alive', 'Trailer', 'Transfer-Encoding', 'Upgrade']
const HEADER_FAULTS: readonly (readonly [string, (res: HttpResponse) => void])[] = [
  ...NAMES_OF_THE_ENGINE.flatMap((name): [string, (res: HttpResponse) => void][] => [
    [`the field ${name}, which is the engine's`, (res) => res.header(name, '1')],
    [`the field ${name.toUpperCase()}, which is the engine's`, (res) => res.header(name.toUpperCase(), '1')],
  ]),
  ...['\r', '\n', '\0', '\x7f', '\x1b', '\u0100', '\u{1f600}', '\u010d\u010a'].map((text): [string, (res: HttpResponse) => void] => [
    `${JSON.stringify(text)} in a value`,
    (res) => res.header('X', `a${text}b`),
  ]),
  ...['', 'a b', 'a:', 'a\r\nb', '\xe4', '(', '\u0141'].map((name): [string, (res: HttpResponse) => void] => [
    `the field name ${JSON.stringify(name)}`,
    (res) => res.header(name, '1'),
  ]),
  ['CR LF in a type', (res) => res.type('a\r\nX: y')],
  ['CR LF in Content-Type', (res) => res.header('Content-Type', 'a\r\nX: y')],
  ['CR LF in a location', (res) => res.redirect('/\r\nSet-Cookie: a=b')],
  ['CR LF in a location with other characters', (res) => res.redirect('/ü\r\nSet-Cookie: a=b')],
  ['a cookie that is none', (res) => res.cookie('a b', '')],
  ['half a character in a location', (res) => res.redirect('/\ud800')],
  ['a cookie that browsers drop', (res) => res.cookie('a', '', { sameSite: 'None' })],
  ...[199, 100, 600, 0, -200, 200.5, Number.NaN, Infinity].map((code): [string, (res: HttpResponse) => void] => [
    `status ${code}`,
    (res) => res.status(code),
  ]),
  ...[200, 299, 400].map((code): [string, (res: HttpResponse) => void] => [`a redirect with ${code}`, (res) => res.redirect('/', code)]),
]

const SPLITTING = 'a\r\nSet-Cookie: b=c'
/** What has the text when it is looked at, and another when it is written. */
const CHANGING = { length: 1, charCodeAt: () => 97, toLowerCase: () => 'x', replaceAll: () => SPLITTING, toString: () => SPLITTING }
const NOT_TEXT: readonly unknown[] = [
  undefined,
  null,
  1,
  true,
  Symbol('s'),
  {},
  ['a'],
  [SPLITTING],
  { toString: () => SPLITTING },
  CHANGING,
]

/** Ways into the header, as a site in plain JavaScript has them: [name of the method, what is handed in with the thing]. */
const WAYS: readonly (readonly [keyof HttpResponse, (thing: unknown) => readonly unknown[]])[] = [
  ['header', (thing) => [thing, 'a']],
  ['header', (thing) => ['X', thing]],
  ['header', (thing) => ['Content-Type', thing]],
  ['header', (thing) => ['Location', thing]],
  ['header', (thing) => ['X-Frame-Options', thing]],
  ['header', (thing) => ['Set-Cookie', thing]],
  ['type', (thing) => [thing]],
  ['redirect', (thing) => [thing]],
  ['cookie', (thing) => [thing, 'a']],
  ['cookie', (thing) => ['a', thing]],
  ['status', (thing) => [thing === 1 ? '200' : thing]],
]

function use(res: HttpResponse, name: keyof HttpResponse, values: readonly unknown[]): unknown {
  const method: unknown = Reflect.get(res, name)
  assert.ok(typeof method === 'function')
  return Reflect.apply(method, res, values)
}

describe('a response of a site in plain JavaScript refuses', () => {
  for (const [index, [name, values]] of WAYS.entries()) {
    it(`what is no text in ${name}, ${index}`, () => {
      for (const thing of NOT_TEXT) {
        const { res, exchange, answers } = respond()
        assert.throws(() => use(res, name, values(thing)), isCode('NPP_HEADER_INVALID'))
        assert.deepEqual([answers.length, exchange.fieldLines, exchange.contentType, exchange.statusCode], [0, '', '', 200])
      }
    })
  }

  for (const [name, things] of [
    ['text', [undefined, null, 5, {}, BYTES]],
    ['send', [undefined, null, 5, {}, 'text', [1, 2]]],
  ] as const) {
    it(`what has no length that could be told, in ${name}`, () => {
      for (const thing of things) {
        const { res, answers } = respond()
        assert.throws(() => use(res, name, [thing]), isCode('NPP_HANDLER_FAILED'))
        assert.equal(answers.length, 0)
      }
    })
  }
})

describe('a security field', () => {
  for (const name of [
    'X-Frame-Options',
    'x-content-type-options',
    'STRICT-TRANSPORT-SECURITY',
    'Content-Security-Policy',
    'Referrer-Policy',
  ]) {
    it(`${name} of the handler takes the place of npp's`, () => {
      const { res, exchange } = respond()
      res.header(name, 'v').text('')
      assert.equal(exchange.fieldLines, `${name}: v\r\n`)
      assert.notEqual(exchange.ownFields, 0)
    })
  }

  it('that is empty is left out, unlike other fields', () => {
    const { res, exchange } = respond()
    res.header('X-Frame-Options', '').header('X', '').text('')
    assert.equal(exchange.fieldLines, 'X: \r\n')
    assert.notEqual(exchange.ownFields, 0)
  })

  it('of another name is none', () => {
    const { res, exchange } = respond()
    res.header('X-Frame', 'v').header('__proto__', 'v').header('constructor', 'v').text('')
    assert.equal(exchange.ownFields, 0)
  })
})

describe('a cookie to a client that came by HTTPS', () => {
  it('is Secure', () => {
    const exchange = exchangeFor(() => undefined, true)
    new HttpResponse(exchange).cookie('a', '1').cookie('b', '2', { secure: false }).text('')
    assert.equal(
      exchange.fieldLines,
      'Set-Cookie: a=1; Path=/; HttpOnly; Secure; SameSite=Lax\r\nSet-Cookie: b=2; Path=/; HttpOnly; SameSite=Lax\r\n',
    )
  })
})

describe('a response refuses', () => {
  for (const [rule, handler] of HEADER_FAULTS) {
    it(rule, () => {
      const { res, exchange, answers } = respond()
      assert.throws(() => handler(res), isCode('NPP_HEADER_INVALID'))
      assert.equal(answers.length, 0)
      // Nothing of it is left in the header: an error page can be sent.
      assert.doesNotMatch(exchange.fieldLines, /[^\r]\n|\r[^\n]|^Set-Cookie/m)
      res.text('still open')
      assert.equal(answers.length, 1)
    })
  }

  for (const value of [undefined, () => 1, Symbol('s')])
    it(`json of ${typeof value}`, () => assert.throws(() => respond().res.json(value), isCode('NPP_HANDLER_FAILED')))
})

const USES: readonly (readonly [string, (res: HttpResponse) => void])[] = [
  ['text', (res) => res.text('2')],
  ['html', (res) => res.html('2')],
  ['json', (res) => res.json(2)],
  ['send', (res) => res.send(BYTES)],
  ['redirect', (res) => res.redirect('/')],
  ['finish', (res) => res.finish()],
  ['write', (res) => res.write('2')],
  ['status', (res) => res.status(201)],
  ['header', (res) => res.header('X', '2')],
  ['type', (res) => res.type('text/css')],
  ['cookie', (res) => res.cookie('a', '2')],
]

describe('a response that was answered', () => {
  for (const [name, use] of USES) {
    it(`refuses ${name}`, () => {
      const { res, exchange, answers } = respond()
      res.text('1')
      assert.throws(() => use(res), isCode('NPP_ALREADY_ANSWERED'))
      assert.deepEqual([answers.length, exchange.body, exchange.statusCode, exchange.fieldLines], [1, '1', 200, ''])
    })
  }

  it('becomes no error page', () => {
    const { res, exchange } = respond()
    res.text('1')
    assert.throws(() => res.answerAs(res.successor()), isCode('NPP_ALREADY_ANSWERED'))
    assert.equal(exchange.body, '1')
  })
})

describe('a response that has expired', () => {
  for (const [name, use] of USES) {
    it(`takes ${name} without a word, and answers nothing`, () => {
      const { res, exchange, answers } = respond()
      exchange.expire(GONE)
      use(res)
      assert.equal(answers.length, 0)
    })
  }

  it('says that it is answered', () => {
    const { res, exchange } = respond()
    exchange.expire(GONE)
    assert.equal(res.answered, true)
  })
})

describe('a response', () => {
  it('answers as an error page does, with nothing of what the handler had set', () => {
    const { res, exchange, answers } = respond()
    res.status(201).header('X', 'secret').header('X-Frame-Options', 'DENY').type('text/css').cookie('a', 'secret').write('secret')
    assert.equal(exchange.isWritten, true)
    const page = res.successor()
    new HttpResponse(page).status(500).header('Y', '1').text('page')
    res.answerAs(page)
    assert.equal(answers.at(-1), exchange)
    assert.deepEqual(
      [exchange.statusCode, exchange.contentType, exchange.fieldLines, exchange.ownFields, exchange.body],
      [500, PLAIN, 'Y: 1\r\n', 0, 'page'],
    )
  })
})
