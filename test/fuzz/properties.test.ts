import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { isAuthority } from '../../app/http/authority.ts'
import { FIELD_VALUE, PATH, QUERY, REG_NAME, TOKEN } from '../../app/http/byte-classes.ts'
import { parseCookies, serializeCookie } from '../../app/http/cookies.ts'
import { Outcome } from '../../app/http/outcome.ts'
import { METHODS, RequestParser } from '../../app/http/parser.ts'
import { decoded, routingPathOf } from '../../app/http/path.ts'
import { HttpRequest } from '../../app/http/request.ts'
import { TargetCache } from '../../app/http/target-cache.ts'
import { exchangeFor } from '../support/answered-exchange.ts'
import { feedFresh, parseAs } from '../support/fed-request.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'

const FIXED_SEED = 9110
const RUNS = 500
const BODY = { maxBodyBytes: 100_000 }
const DISCARDED = { ...BODY, discards: true }
const FRAMING = new Set(['host', 'expect', 'connection', 'content-length', 'transfer-encoding'])

/** With a seed that is the same each time, and with a fresh one, which fast-check names where it fails. */
function holds<T>(values: fc.Arbitrary<T>, check: (value: T) => void): void {
  const property = fc.property(values, check)
  fc.assert(property, { seed: FIXED_SEED, numRuns: RUNS })
  fc.assert(property, { numRuns: RUNS })
}

function charsOf(table: Uint8Array): fc.Arbitrary<string> {
  return fc.constantFrom(
    ...Array.from({ length: 256 }, (_, byte) => byte).flatMap((byte) => (table[byte] === 1 ? [String.fromCharCode(byte)] : [])),
  )
}

function textOf(table: Uint8Array, minLength = 0, maxLength = 30): fc.Arbitrary<string> {
  return fc.string({ unit: charsOf(table), minLength, maxLength })
}

const anyByte = fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte))
const anyBytes = fc.string({ unit: anyByte, maxLength: 200 })
/** Bytes that mean something in HTTP, so that arbitrary ones come further. */
const meantBytes = fc
  .array(
    fc.oneof(
      fc.constantFrom('GET ', 'POST ', '/', ' HTTP/1.1', ' HTTP/1.0', '\r\n', '\r', '\n', 'Host: a\r\n', 'Transfer-Encoding: chunked\r\n'),
      fc.constantFrom(
        'Content-Length: ',
        '0',
        '1',
        'a',
        ':',
        ' ',
        '\t',
        ';',
        '=',
        '"',
        '%',
        '?',
        '3\r\nabc\r\n',
        '0\r\n\r\n',
        '\r\n\r\n',
        '\0',
      ),
      anyByte,
    ),
    { maxLength: 30 },
  )
  .map((pieces) => pieces.join(''))
const spaces = fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 })
const host = fc
  .tuple(textOf(REG_NAME, 1), fc.option(fc.integer({ min: 0, max: 65_535 }), { nil: undefined }))
  .map(([name, port]) => (port === undefined ? name : `${name}:${port}`))
const target = fc
  .tuple(textOf(PATH), fc.option(textOf(QUERY), { nil: undefined }))
  .map(([path, query]) => ({ path: `/${path}`, target: query === undefined ? `/${path}` : `/${path}?${query}` }))
const field = fc.record({
  name: textOf(TOKEN, 1, 20).filter((name) => !FRAMING.has(name.toLowerCase())),
  before: spaces,
  value: textOf(FIELD_VALUE).map((value) => value.replaceAll(/^[ \t]+|[ \t]+$/g, '')),
  after: spaces,
})
const quoted = textOf(FIELD_VALUE).map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`)
const extension = fc
  .tuple(
    spaces,
    spaces,
    textOf(TOKEN, 1, 8),
    fc.option(fc.tuple(spaces, spaces, fc.oneof(textOf(TOKEN, 1, 8), quoted)), { nil: undefined }),
  )
  .map(([before, after, name, value]) => `${before};${after}${name}${value === undefined ? '' : `${value[0]}=${value[1]}${value[2]}`}`)
const extensions = fc.array(extension, { maxLength: 2 }).map((all) => all.join(''))
const size = (length: number): fc.Arbitrary<string> =>
  fc.tuple(fc.nat({ max: 3 }), fc.boolean()).map(([zeros, upper]) => {
    const digits = length.toString(16)
    return '0'.repeat(zeros) + (upper ? digits.toUpperCase() : digits)
  })
const chunk = fc
  .string({ unit: anyByte, minLength: 1, maxLength: 60 })
  .chain((data) => fc.tuple(size(data.length), extensions).map(([digits, text]) => ({ data, bytes: `${digits}${text}\r\n${data}\r\n` })))
const chunked = fc
  .tuple(fc.array(chunk, { maxLength: 5 }), size(0), extensions, fc.array(field, { maxLength: 2 }))
  .map(([chunks, digits, text, trailers]) => ({
    body: chunks.map(({ data }) => data).join(''),
    bytes: `${chunks.map(({ bytes }) => bytes).join('')}${digits}${text}\r\n${trailers.map(lineOf).join('')}\r\n`,
    framing: [{ name: 'Transfer-Encoding', before: ' ', value: 'chunked', after: '' }],
  }))
const counted = anyBytes.map((body) => ({
  body,
  bytes: body,
  framing: [{ name: 'Content-Length', before: ' ', value: String(body.length), after: '' }],
}))
const none = fc.constant({ body: '', bytes: '', framing: [] as { name: string; before: string; value: string; after: string }[] })
const request = fc.record({
  empty: fc.nat({ max: 2 }),
  method: fc.constantFrom(...METHODS),
  target,
  minorVersion: fc.constantFrom(0, 1),
  host,
  fields: fc.array(field, { maxLength: 6 }),
  body: fc.oneof(none, counted, chunked),
  rest: anyBytes,
})
const points = fc.array(fc.nat({ max: 10_000 }), { maxLength: 8 })

function lineOf({ name, before, value, after }: { name: string; before: string; value: string; after: string }): string {
  return `${name}:${before}${value}${after}\r\n`
}

function cut(bytes: string, at: readonly number[]): string[] {
  const sorted = at.map((point) => point % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [0, ...sorted].map((from, index) => bytes.slice(from, sorted[index] ?? bytes.length))
}

describe('the parser', () => {
  it('takes apart what was put together, wherever it is cut', () =>
    holds(fc.tuple(request, points), ([{ empty, method, target, minorVersion, host, fields, body, rest }, at]) => {
      const version = body.framing[0]?.name === 'Transfer-Encoding' ? 1 : minorVersion
      const all = [{ name: 'Host', before: ' ', value: host, after: '' }, ...fields, ...body.framing]
      const head = `${'\r\n'.repeat(empty)}${method} ${target.target} HTTP/1.${version}\r\n${all.map(lineOf).join('')}\r\n`
      assert.deepEqual(feedFresh(HEADER_LIMITS, BODY, cut(head + body.bytes + rest, at)), {
        outcome: 'complete',
        method,
        ...target,
        minorVersion: version,
        fields: all.map(({ name, value }) => [name, value]),
        body: body.body,
        keepAlive: version === 1,
        expectsContinue: false,
        rest,
      })
    }))

  it('says the same of any bytes, wherever they are cut, and whether their body is kept or not', () =>
    holds(fc.tuple(fc.oneof(meantBytes, anyBytes), points), ([bytes, at]) => {
      const whole = feedFresh(HEADER_LIMITS, BODY, [bytes])
      assert.deepEqual(feedFresh(HEADER_LIMITS, BODY, cut(bytes, at)), whole)
      const discarded = feedFresh(HEADER_LIMITS, DISCARDED, cut(bytes, at))
      assert.deepEqual(
        discarded.outcome === 'complete' && whole.outcome === 'complete' ? { ...discarded, body: whole.body } : discarded,
        whole,
      )
    }))

  it('neither reads nor writes beside the bytes that it is given', () => {
    const poisons = ['\n', 'a', '\r\n\r\n', '\xff', '0\r\n\r\n', ' : ']
    const given = fc.oneof(
      meantBytes,
      chunked.map(({ bytes }) => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}`),
    )
    holds(fc.tuple(given, fc.nat({ max: 10_000 })), ([text, length]) => {
      const bytes = text.slice(0, length % (text.length + 1))
      const said = poisons.map((poison) => {
        const beside = poison.repeat(20)
        const buffer = Buffer.from(beside + bytes + beside, 'latin1')
        const parser = new RequestParser(HEADER_LIMITS)
        const outcome = parseAs(parser, BODY, buffer, beside.length, beside.length + bytes.length)
        assert.equal(buffer.latin1Slice(0, beside.length), beside)
        assert.equal(buffer.latin1Slice(beside.length + bytes.length, buffer.byteLength), beside)
        return [outcome, parser.headerEnd, parser.bodyEnd, outcome === Outcome.Refused ? parser.reason : parser.kept]
      })
      for (const other of said) assert.deepEqual(other, said[0])
    })
  })
})

describe('the parser, given a part of a request', () => {
  it('takes no notice of what stands behind it, though it goes on well there', () => {
    const good = fc.oneof(
      fc.constantFrom('GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /a?b HTTP/1.0\r\nConnection: close\r\nHost: a:80\r\n\r\n'),
      fc.constantFrom('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc', `GET /\r\n HTTP/1.1\r\nX:${'x'.repeat(300)}\r\n\r\n`),
      chunked.map(({ bytes }) => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}`),
    )
    holds(fc.tuple(good, fc.nat({ max: 1000 }), fc.nat({ max: 12 }), anyByte), ([text, point, distance, byte]) => {
      const cut = point % text.length
      const other = text.slice(0, cut + distance) + byte + text.slice(cut + distance + 1)
      const parser = new RequestParser(HEADER_LIMITS)
      const seen = Buffer.from(text, 'latin1')
      if (parseAs(parser, BODY, seen, 0, cut) !== Outcome.NeedMore) return
      const come = Buffer.concat([seen.subarray(0, parser.kept), Buffer.from(other.slice(cut), 'latin1')])
      const outcome = parseAs(parser, BODY, come, 0, come.byteLength)
      const fresh = new RequestParser(HEADER_LIMITS)
      const whole = Buffer.from(other, 'latin1')
      assert.equal(outcome, parseAs(fresh, BODY, whole, 0, whole.byteLength))
      if (outcome !== Outcome.Complete) return
      assert.deepEqual(come.subarray(parser.bodyStart, parser.bodyEnd), whole.subarray(fresh.bodyStart, fresh.bodyEnd))
      assert.deepEqual([parser.fieldCount, parser.minorVersion, parser.headerEnd], [fresh.fieldCount, fresh.minorVersion, fresh.headerEnd])
    })
  })
})

describe('Host', () => {
  it('takes the IPv6 addresses that Node takes, but for those with a zone', () =>
    holds(
      fc.oneof(
        fc.ipV6(),
        fc.string({ unit: fc.constantFrom('0', '1', 'f', 'A', ':', '::', '1:', ':1', '1.2.3.4', '.'), maxLength: 12 }),
        fc
          .tuple(fc.ipV6(), fc.nat({ max: 40 }), fc.constantFrom('', ':', '0', 'g', '.'))
          .map(([ip, at, odd]) => ip.slice(0, at) + odd + ip.slice(at + 1)),
      ),
      (address) => {
        const bytes = Buffer.from(`[${address}]`)
        assert.equal(isAuthority(bytes, 0, bytes.byteLength), isIPv6(address), address)
      },
    ))

  it('takes any name and port, and looks at no byte beside them', () =>
    holds(fc.tuple(host, fc.constantFrom(' ', ':', '1', '/', '%', '[')), ([name, beside]) => {
      const bytes = Buffer.from(beside + name + beside)
      assert.ok(isAuthority(bytes, 1, bytes.byteLength - 1))
    }))
})

describe('a path', () => {
  const segment = fc.oneof(
    fc.constantFrom(
      '',
      '.',
      '..',
      '%2e',
      '.%2E',
      '%2e%2e',
      '%2F',
      '%2f..',
      '%5C',
      '%252F',
      '%252e',
      '%25',
      'a',
      '%C3%BC',
      '...',
      '%00',
      '%ff',
      '%',
      '%4',
    ),
    textOf(PATH),
    fc.string().map(encodeURIComponent),
  )
  const path = fc.oneof(
    fc.array(segment, { maxLength: 8 }).map((segments) => `/${segments.join('/')}`),
    fc.array(segment, { maxLength: 4 }).map((segments) => `http://a/${segments.join('/')}`),
    textOf(PATH),
  )

  it('for routing has no dot segment, begins with a slash, and stays what it is', () =>
    holds(path, (raw) => {
      const routed = routingPathOf(raw)
      if (routed === undefined || routed === '*') return
      assert.ok(routed.startsWith('/'))
      for (const part of routed.split('/')) assert.ok(!/^(\.|%2e){1,2}$/i.test(part), part)
      assert.equal(routingPathOf(routed), routed)
    }))

  it('decoded has as many segments as encoded, and each of them decoded once', () =>
    holds(path, (raw) => {
      const routed = routingPathOf(raw)
      if (routed === undefined) return
      const expected = routed.split('/').map((part) => decodeURIComponent(part.replaceAll(/%2f/gi, '%252F')))
      assert.equal(decoded(routed), expected.join('/'))
      assert.ok(!expected.some((part) => part.includes('/')))
    }))

  it('is told from one that is none by its escapes alone, and nothing throws', () =>
    holds(path, (raw) => {
      if (!raw.startsWith('/')) return
      let isGood = !/%00/.test(raw)
      try {
        decodeURIComponent(raw)
      } catch {
        isGood = false
      }
      assert.equal(routingPathOf(raw) !== undefined, isGood)
    }))
})

describe('a query', () => {
  it('comes out with the names and values that a form put into it, in their order', () =>
    holds(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), { maxLength: 6 }), (pairs) => {
      const bytes = Buffer.from(`GET /?${new URLSearchParams(pairs).toString()} HTTP/1.1\r\nHost: a\r\n\r\n`, 'latin1')
      const parser = new RequestParser(HEADER_LIMITS)
      assert.equal(parser.parse(bytes, 0, bytes.byteLength), Outcome.Complete)
      const exchange = exchangeFor()
      const found = new TargetCache().find(bytes, parser.targetStart, parser.pathEnd, parser.targetEnd)
      exchange.begin(0, 0, parser, bytes, 0, found, false)
      const { path, query } = new HttpRequest(exchange)
      assert.equal(path, '/')
      assert.deepEqual(Array.from(query), pairs)
    }))
})

describe('cookies', () => {
  it('come back with the value they were set with', () =>
    holds(
      fc.uniqueArray(fc.tuple(textOf(TOKEN, 1, 10), fc.string({ unit: 'grapheme' })), { selector: ([name]) => name, maxLength: 5 }),
      (cookies) => {
        const sent = cookies.map(([name, value]) => serializeCookie(name, value).split(';')[0]).join('; ')
        assert.deepEqual(Array.from(parseCookies(sent)), cookies)
      },
    ))

  it('are read out of any field without an exception, no name of them empty', () =>
    holds(fc.oneof(anyBytes, fc.string({ unit: fc.constantFrom('a', '=', ';', ' ', '"', '%', '%4', '%41') })), (text) => {
      for (const name of parseCookies(text).keys()) assert.notEqual(name.trim(), '')
    }))
})
