import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Persistence, ResponseWriter } from '../../app/http/response-writer.ts'
import type { Exchange } from '../../app/http/exchange.ts'
import { HttpResponse } from '../../app/http/response.ts'
import { SecurityFields } from '../../app/http/security-fields.ts'
import { Limits } from '../../shared/limits.ts'
import { exchangeFor } from '../support/answered-exchange.ts'
import { FakeClock } from '../support/fake-clock.ts'

const NONE = new SecurityFields({
  nosniff: false,
  frameOptions: 'none',
  hstsMaxAge: 0,
  hstsIncludeSubDomains: false,
  contentSecurityPolicy: '',
  referrerPolicy: '',
})
const DATE = 'Date: Fri, 02 Jan 2026 03:04:05 GMT\r\n'
const PLAIN = 'Content-Type: text/plain; charset=utf-8\r\n'

function answer(handler: (res: HttpResponse) => void): Exchange {
  const exchange = exchangeFor()
  handler(new HttpResponse(exchange))
  return exchange
}

function written(writer: ResponseWriter, from = 0): string {
  return writer.bytes.toString('utf8', from, writer.cursor)
}

function text(status: string, lines: string, body: string): string {
  return `HTTP/1.1 ${status}\r\n${DATE}${lines}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** [rule, what the handler does, what is said of the connection, HEAD, the bytes]. */
const ANSWERS: readonly (readonly [string, (res: HttpResponse) => void, Persistence, boolean, string])[] = [
  ['a plain answer', (res) => res.text('Hello'), Persistence.Default, false, text('200 OK', PLAIN, 'Hello')],
  ['an empty body', (res) => res.text(''), Persistence.Default, false, text('200 OK', PLAIN, '')],
  ['Connection: close', (res) => res.text('a'), Persistence.Close, false, text('200 OK', `Connection: close\r\n${PLAIN}`, 'a')],
  [
    'Connection: keep-alive',
    (res) => res.text('a'),
    Persistence.KeepAlive,
    false,
    text('200 OK', `Connection: keep-alive\r\n${PLAIN}`, 'a'),
  ],
  ['a status and its reason', (res) => res.status(404).text('a'), Persistence.Default, false, text('404 Not Found', PLAIN, 'a')],
  [
    'RFC 9112 §4: a status without a reason keeps the space',
    (res) => res.status(299).text('a'),
    Persistence.Default,
    false,
    text('299 ', PLAIN, 'a'),
  ],
  ['fields', (res) => res.header('X', '\xff').text('a'), Persistence.Default, false, text('200 OK', `${PLAIN}X: \xff\r\n`, 'a')],
  ['no type', (res) => res.redirect('/x'), Persistence.Default, false, text('302 Found', 'Location: /x\r\n', '')],
  [
    'RFC 9110 §9.3.2: HEAD has the length and no body',
    (res) => res.text('Hello'),
    Persistence.Default,
    true,
    text('200 OK', PLAIN, 'Hello').slice(0, -5),
  ],
  [
    'RFC 9110 §15.3.5: 204 has neither',
    (res) => res.status(204).text('x'),
    Persistence.Default,
    false,
    `HTTP/1.1 204 No Content\r\n${DATE}${PLAIN}\r\n`,
  ],
  [
    'RFC 9110 §15.4.5: 304 has neither',
    (res) => res.status(304).header('ETag', '"a"').text('x'),
    Persistence.Default,
    false,
    `HTTP/1.1 304 Not Modified\r\n${DATE}${PLAIN}ETag: "a"\r\n\r\n`,
  ],
  [
    'RFC 9110 §15.3.6: 205 has a length of 0',
    (res) => res.status(205).text('x'),
    Persistence.Default,
    false,
    `HTTP/1.1 205 Reset Content\r\n${DATE}${PLAIN}Content-Length: 0\r\n\r\n`,
  ],
  [
    'RFC 9110 §15.3.6: 205 of bytes, to HEAD',
    (res) => res.status(205).send(Buffer.from('x')),
    Persistence.Close,
    true,
    `HTTP/1.1 205 Reset Content\r\n${DATE}Connection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n`,
  ],
]

describe('the response writer writes', () => {
  for (const [rule, handler, persistence, withoutBody, expected] of ANSWERS) {
    it(rule, () => {
      const writer = new ResponseWriter(new FakeClock(), NONE)
      const response = answer(handler)
      const bytes = Buffer.from(expected, expected.includes('\xff') ? 'latin1' : 'utf8')
      writer.append(response, persistence, withoutBody)
      assert.deepEqual(writer.bytes.subarray(0, writer.cursor), bytes)
      assert.equal(writer.bodyBytes, bytes.byteLength - bytes.indexOf('\r\n\r\n') - 4)
      assert.deepEqual(writer.alone(response, persistence, withoutBody), bytes)
      // Behind others, and with the prefixes it keeps now.
      const from = writer.cursor
      writer.append(response, persistence, withoutBody)
      assert.deepEqual(writer.bytes.subarray(from, writer.cursor), bytes)
    })
  }

  it('bytes as they are', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    const body = Buffer.from([0, 255, 13, 10, 128])
    writer.append(
      answer((res) => res.send(body)),
      Persistence.Default,
      false,
    )
    assert.deepEqual(writer.bytes.subarray(writer.cursor - 5, writer.cursor), body)
    assert.match(writer.bytes.latin1Slice(0, writer.cursor), /\r\nContent-Length: 5\r\n\r\n/)
  })
})

describe('Content-Length', () => {
  const characters = ['a', 'ü', '€', '\u{1f600}', '\ud800']
  it('counts bytes, also where several-byte characters carry the number over a power of ten', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    for (const power of [1, 10, 100, 1000, 10_000]) {
      for (const character of characters) {
        for (let units = Math.max(Math.floor(power / 4) - 3, 0); units <= power + 3; units += power > 100 ? Math.ceil(power / 30) : 1) {
          const body = character.repeat(Math.floor(units / character.length))
          writer.cursor = 0
          writer.bytes.fill(0xaa)
          const response = answer((res) => res.text(body))
          writer.append(response, Persistence.Default, false)
          const expected = text('200 OK', PLAIN, Buffer.from(body).toString())
          assert.equal(written(writer), expected, `${units} of ${JSON.stringify(character)}`)
          assert.equal(writer.alone(response, Persistence.Default, false).toString(), expected)
        }
      }
    }
  })

  it('is right for each length around each power of ten', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    for (const length of [9, 10, 11, 99, 100, 101, 999, 1000, 1001, 9999, 10_000, 10_001]) {
      writer.cursor = 0
      writer.append(
        answer((res) => res.text('x'.repeat(length))),
        Persistence.Default,
        false,
      )
      assert.equal(written(writer), text('200 OK', PLAIN, 'x'.repeat(length)))
    }
  })

  it('of HEAD is that of GET, for text of several-byte characters too', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    writer.append(
      answer((res) => res.text('€€€€')),
      Persistence.Default,
      true,
    )
    assert.match(written(writer), /Content-Length: 12\r\n\r\n$/)
    assert.equal(writer.bodyBytes, 0)
  })
})

describe('the response writer', () => {
  it('puts one answer right behind the other', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    const bodies = ['a', '€'.repeat(40), '', 'z'.repeat(1000)]
    for (const body of bodies)
      writer.append(
        answer((res) => res.text(body)),
        Persistence.Default,
        false,
      )
    assert.equal(written(writer), bodies.map((body) => text('200 OK', PLAIN, body)).join(''))
  })

  it('renews the arena and keeps the part that is asked for', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    writer.append(
      answer((res) => res.text('kept')),
      Persistence.Default,
      false,
    )
    const kept = writer.cursor
    writer.append(
      answer((res) => res.text('handed away')),
      Persistence.Default,
      false,
    )
    const old = writer.bytes
    writer.renew(kept)
    assert.notEqual(writer.bytes, old)
    assert.equal(writer.cursor, kept)
    assert.equal(written(writer), text('200 OK', PLAIN, 'kept'))
    const before = Buffer.from(old)
    writer.append(
      answer((res) => res.text('next')),
      Persistence.Default,
      false,
    )
    assert.deepEqual(old, before, 'the arena that was handed away is not touched')
  })

  it('says the date of the second in which it writes', () => {
    const clock = new FakeClock()
    const writer = new ResponseWriter(clock, NONE)
    const dates: (string | undefined)[] = []
    for (const milliseconds of [0, 999, 1, 86_400_000]) {
      clock.pass(milliseconds)
      for (const handler of [(res: HttpResponse) => res.text('a'), (res: HttpResponse) => res.status(404).text('a')]) {
        writer.cursor = 0
        writer.append(answer(handler), Persistence.Default, false)
        dates.push(/Date: (.*)\r/.exec(written(writer))?.[1])
      }
    }
    const expected = ['02 Jan 2026 03:04:05', '02 Jan 2026 03:04:05', '02 Jan 2026 03:04:06', '03 Jan 2026 03:04:06']
    assert.deepEqual(
      dates.map((date) => date?.slice(5, -4)),
      expected.flatMap((date) => [date, date]),
    )
  })

  it('has room for an answer, or says that it has none', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    const widest = answer((res) => res.header('X', 'x'.repeat(Limits.arenaFieldBytes - 200)).text('€'.repeat(Limits.arenaBodyBytes)))
    let appended = 0
    while (writer.fits(widest)) {
      const from = writer.cursor
      writer.append(widest, Persistence.KeepAlive, false)
      appended++
      assert.ok(writer.bytes.subarray(from, writer.cursor).equals(writer.alone(widest, Persistence.KeepAlive, false)))
    }
    assert.ok(appended > 0)
    writer.cursor = 0
    assert.equal(writer.fits(widest), true)
  })

  it('has no room in its arena for what wants a buffer of its own: a long body, many fields, a long type', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    assert.equal(writer.fits(answer((res) => res.text('x'.repeat(Limits.arenaBodyBytes + 1)))), false)
    assert.equal(writer.fits(answer((res) => res.send(Buffer.alloc(Limits.arenaBodyBytes + 1)))), false)
    assert.equal(writer.fits(answer((res) => res.header('X', 'x'.repeat(Limits.arenaFieldBytes)).text(''))), false)
    assert.equal(writer.fits(answer((res) => res.type('x'.repeat(Limits.arenaFieldBytes + 1)).text(''))), false)
  })

  it('writes any number of types, more than it keeps prefixes of', () => {
    const writer = new ResponseWriter(new FakeClock(), NONE)
    for (let type = 0; type < 200; type++) {
      writer.cursor = 0
      writer.append(
        answer((res) => res.type(`x/${type}`).text('a')),
        Persistence.Default,
        false,
      )
      assert.equal(written(writer), text('200 OK', `Content-Type: x/${type}\r\n`, 'a'))
    }
  })
})

describe('the security fields', () => {
  const settings = {
    nosniff: true,
    frameOptions: 'DENY',
    hstsMaxAge: 60,
    hstsIncludeSubDomains: true,
    contentSecurityPolicy: "default-src 'self'",
    referrerPolicy: 'no-referrer',
  } as const
  const nosniff = 'X-Content-Type-Options: nosniff\r\n'
  const frame = 'X-Frame-Options: DENY\r\n'
  const others = "Content-Security-Policy: default-src 'self'\r\nReferrer-Policy: no-referrer\r\n"
  const hsts = 'Strict-Transport-Security: max-age=60; includeSubDomains\r\n'
  const plain = nosniff + frame + others

  /** [rule, what the handler does, by HTTPS, lines between the type and Content-Length]. */
  const cases: readonly (readonly [string, (res: HttpResponse) => void, boolean, string])[] = [
    ['stand on a plain answer', (res) => res.text('a'), false, plain],
    ['RFC 6797 §7.2: by HTTPS with one more', (res) => res.text('a'), true, plain + hsts],
    ['stand before other fields', (res) => res.header('X', 'y').text('a'), false, `${plain}X: y\r\n`],
    [
      'are not doubled',
      (res) => res.header('X-FRAME-options', 'SAMEORIGIN').text('a'),
      false,
      `${nosniff}${others}X-FRAME-options: SAMEORIGIN\r\n`,
    ],
    ['go where the handler says so', (res) => res.header('X-Frame-Options', '').text('a'), false, nosniff + others],
    ['go by HTTPS too', (res) => res.header('Strict-Transport-Security', '').text('a'), true, plain],
    ['of HTTPS alone change nothing elsewhere', (res) => res.header('Strict-Transport-Security', '').text('a'), false, plain],
    ["are the next answer's again", (res) => res.text('a'), false, plain],
  ]

  it('stand on each answer as the settings and the handler say, also from what is kept of the answers before', () => {
    const writer = new ResponseWriter(new FakeClock(), new SecurityFields(settings))
    for (const round of [1, 2]) {
      for (const [rule, handler, isSecure, lines] of cases) {
        writer.cursor = 0
        const response = answer(handler)
        response.isSecure = isSecure
        writer.append(response, Persistence.Default, false)
        assert.equal(written(writer), text('200 OK', PLAIN + lines, 'a'), `${rule}, round ${round}`)
        assert.equal(writer.alone(response, Persistence.Default, false).toString(), text('200 OK', PLAIN + lines, 'a'))
      }
    }
  })

  for (const [status, handler] of [
    ['204 No Content', (res: HttpResponse) => res.status(204).text('')],
    ['304 Not Modified', (res: HttpResponse) => res.status(304).text('')],
  ] as const) {
    it(`stand on ${status} too`, () => {
      const writer = new ResponseWriter(new FakeClock(), new SecurityFields(settings))
      writer.append(answer(handler), Persistence.Default, false)
      assert.equal(written(writer), `HTTP/1.1 ${status}\r\n${DATE}${PLAIN}${plain}\r\n`)
    })
  }

  it('are none where the settings say so', () => {
    const none = new SecurityFields({
      ...settings,
      nosniff: false,
      frameOptions: 'none',
      hstsMaxAge: 0,
      contentSecurityPolicy: '',
      referrerPolicy: '',
    })
    assert.deepEqual([none.plain, none.secure], ['', ''])
    assert.equal(
      new SecurityFields({ ...settings, hstsIncludeSubDomains: false }).secure,
      `${plain}Strict-Transport-Security: max-age=60\r\n`,
    )
  })

  it('have their room in the arena, however long a policy is', () => {
    const writer = new ResponseWriter(new FakeClock(), new SecurityFields({ ...settings, contentSecurityPolicy: 'x'.repeat(2048) }))
    const response = answer((res) => res.text('y'.repeat(1000)))
    response.isSecure = true
    let appended = 0
    while (writer.fits(response)) {
      const from = writer.cursor
      writer.append(response, Persistence.Default, false)
      appended++
      assert.ok(writer.bytes.subarray(from, writer.cursor).equals(writer.alone(response, Persistence.Default, false)))
    }
    assert.ok(appended > 10)
  })
})
