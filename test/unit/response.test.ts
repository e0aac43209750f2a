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
  ...[199, 100, 600, 0, -200, 200.5, Number.NaN, Infinity].map((code): [string, (res: HttpResponse) => void] => [
    `status ${code}`,
    (res) => res.status(code),
  ]),
  ...[200, 299, 400].map((code): [string, (res: HttpResponse) => void] => [`a redirect with ${code}`, (res) => res.redirect('/', code)]),
]

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

  it('is not restarted', () => {
    const { res, exchange } = respond()
    res.text('1')
    assert.equal(res.restart(), false)
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

  it('says that it is answered, and is not restarted', () => {
    const { res, exchange } = respond()
    exchange.expire(GONE)
    assert.equal(res.answered, true)
    assert.equal(res.restart(), false)
  })
})

describe('a response', () => {
  it('restarts with nothing of what the handler had set', () => {
    const { res, exchange } = respond()
    res.status(201).header('X', 'secret').type('text/css').cookie('a', 'secret').write('secret')
    assert.equal(exchange.isWritten, true)
    assert.equal(res.restart(), true)
    assert.deepEqual(
      [exchange.statusCode, exchange.contentType, exchange.fieldLines, exchange.body, exchange.isWritten],
      [200, '', '', '', false],
    )
  })
})
