import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseCookies, serializeCookie, type CookieOptions } from '../../app/http/cookies.ts'
import { isCode } from '../support/codes.ts'

const FIELDS: readonly (readonly [string, string | undefined, readonly (readonly [string, string])[]])[] = [
  ['no field', undefined, []],
  ['an empty field', '', []],
  [
    'RFC 6265 §4.2.1: pairs',
    'a=1; b=2',
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [
    'names are whole names, not parts of others',
    'xa=1; a=2; ax=3',
    [
      ['xa', '1'],
      ['a', '2'],
      ['ax', '3'],
    ],
  ],
  ['a name that stands in a value is none', 'x=a=1', [['x', 'a=1']]],
  ['the first of a name counts', 'a=1; a=2', [['a', '1']]],
  [
    'no space after the semicolon',
    'a=1;b=2',
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [
    'spaces around name and value',
    ' a = 1 ;\tb=2',
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  ['what is no pair is passed over', 'a; =1; ; b=2', [['b', '2']]],
  ['an empty value', 'a=', [['a', '']]],
  [
    'quotes around a value',
    'a="1 2"; b="',
    [
      ['a', '1 2'],
      ['b', '"'],
    ],
  ],
  ['escapes', 'a=%C3%BC%20', [['a', 'ü ']]],
  [
    'escapes that are none stay',
    'a=100%; b=%ff',
    [
      ['a', '100%'],
      ['b', '%ff'],
    ],
  ],
  [
    'names keep their case',
    'A=1; a=2',
    [
      ['A', '1'],
      ['a', '2'],
    ],
  ],
  ['__proto__ is a name like any other', '__proto__=1', [['__proto__', '1']]],
]

describe('parseCookies', () => {
  for (const [rule, field, expected] of FIELDS) it(rule, () => assert.deepEqual([...parseCookies(field)], expected))
})

const SAFE = '; Path=/; HttpOnly; SameSite=Lax'
const SET: readonly (readonly [string, string, CookieOptions | undefined, string])[] = [
  ['has safe attributes without options', 'v', undefined, `n=v${SAFE}`],
  ['encodes what may not stand in a value', 'a b;c,"ü\r\n', undefined, `n=a%20b%3Bc%2C%22%C3%BC%0D%0A${SAFE}`],
  ['maxAge', 'v', { maxAge: 60 }, 'n=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax'],
  ['maxAge 0 deletes', '', { maxAge: 0 }, 'n=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax'],
  ['expires', 'v', { expires: new Date(0) }, 'n=v; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax'],
  ['domain and path', 'v', { domain: 'example.org', path: '/a' }, 'n=v; Path=/a; Domain=example.org; HttpOnly; SameSite=Lax'],
  ['secure', 'v', { secure: true }, 'n=v; Path=/; HttpOnly; Secure; SameSite=Lax'],
  ['readable by scripts, if asked for', 'v', { httpOnly: false }, 'n=v; Path=/; SameSite=Lax'],
  ['SameSite', 'v', { sameSite: 'Strict' }, 'n=v; Path=/; HttpOnly; SameSite=Strict'],
  ['SameSite=None with Secure', 'v', { sameSite: 'None', secure: true }, 'n=v; Path=/; HttpOnly; Secure; SameSite=None'],
  ['not secure, if asked for', 'v', { secure: false }, `n=v${SAFE}`],
  ['RFC 6265 §4.1.2.3: a leading dot', 'v', { domain: '.example.org' }, 'n=v; Path=/; Domain=.example.org; HttpOnly; SameSite=Lax'],
  ['a domain of one label', 'v', { domain: 'localhost' }, 'n=v; Path=/; Domain=localhost; HttpOnly; SameSite=Lax'],
  ['maxAge below 0', 'v', { maxAge: -1 }, 'n=v; Path=/; Max-Age=-1; HttpOnly; SameSite=Lax'],
]

/** [rule, name, options, whether the client came by HTTPS, the field]. */
const SECURE: readonly (readonly [string, string, CookieOptions, boolean, string])[] = [
  ['Secure where the client came by HTTPS', 'n', {}, true, 'n=v; Path=/; HttpOnly; Secure; SameSite=Lax'],
  ['not Secure there, if asked for', 'n', { secure: false }, true, `n=v${SAFE}`],
  ['not Secure elsewhere', 'n', {}, false, `n=v${SAFE}`],
  ['SameSite=None there', 'n', { sameSite: 'None' }, true, 'n=v; Path=/; HttpOnly; Secure; SameSite=None'],
  ['the prefix __Host- there', '__Host-n', {}, true, '__Host-n=v; Path=/; HttpOnly; Secure; SameSite=Lax'],
  ['the prefix __Secure- there', '__Secure-n', { path: '/a' }, true, '__Secure-n=v; Path=/a; HttpOnly; Secure; SameSite=Lax'],
  ['the prefix __Secure- with secure', '__secure-n', { secure: true }, false, '__secure-n=v; Path=/; HttpOnly; Secure; SameSite=Lax'],
]

const REFUSED: readonly (readonly [string, string, CookieOptions])[] = [
  ['no name', '', {}],
  ['a space in the name', 'a b', {}],
  ['a semicolon in the name', 'a;b', {}],
  ['an equals sign in the name', 'a=b', {}],
  ['CR LF in the name', 'a\r\nX: y', {}],
  ['a name beyond ASCII', 'ü', {}],
  ['CR LF in the path', 'a', { path: '/\r\nX: y' }],
  ['a semicolon in the path', 'a', { path: '/; Domain=evil' }],
  ['a semicolon in the domain', 'a', { domain: 'a; Path=/x' }],
  ['CR LF in the domain', 'a', { domain: 'a\r\nX: y' }],
  ['maxAge with decimals', 'a', { maxAge: 1.5 }],
  ['maxAge without a number', 'a', { maxAge: Number.NaN }],
  ['maxAge beyond what is exact', 'a', { maxAge: 2 ** 53 }],
  ['expires that is no date', 'a', { expires: new Date(Number.NaN) }],
  ['RFC 6265 §5.1.1: expires before 1601', 'a', { expires: new Date('1600-12-31T23:59:59Z') }],
  ['RFC 6265 §4.1.1: expires with a year of five digits', 'a', { expires: new Date('+010000-01-01T00:00:00Z') }],
  ['RFC 6265 §5.2.4: a path without a slash at its beginning', 'a', { path: 'a' }],
  ['an empty path', 'a', { path: '' }],
  ['an empty domain', 'a', { domain: '' }],
  ['a domain with a port', 'a', { domain: 'a:80' }],
  ['a domain with a space', 'a', { domain: 'a b' }],
  ['a domain of dots', 'a', { domain: 'a..b' }],
  ['a domain beyond ASCII', 'a', { domain: 'ü.example' }],
  ['SameSite=None without Secure', 'a', { sameSite: 'None' }],
  ['SameSite=None with secure: false', 'a', { sameSite: 'None', secure: false }],
  ['__Secure- without Secure', '__Secure-a', {}],
  ['__Secure- in any case', '__SECURE-a', { secure: false }],
  ['__Host- without Secure', '__Host-a', {}],
  ['__Host- with a domain', '__Host-a', { secure: true, domain: 'example.org' }],
  ['__Host- with another path', '__Host-a', { secure: true, path: '/a' }],
  ['__host- in any case', '__host-a', { secure: true, path: '/a' }],
]

/** What a site in plain JavaScript may hand in: [rule, name, value, options]. */
const UNTYPED: readonly (readonly [string, unknown, unknown, Readonly<Record<string, unknown>>])[] = [
  ['a name that is a number', 1, 'v', {}],
  ['no name at all', undefined, 'v', {}],
  ['a value that is a number', 'a', 1, {}],
  ['no value at all', 'a', undefined, {}],
  ['a value that is an object', 'a', { toString: () => 'x\r\nY: z' }, {}],
  ['half a character', 'a', '\ud800', {}],
  ['another sameSite', 'a', 'v', { sameSite: 'lax' }],
  ['a sameSite that says more', 'a', 'v', { sameSite: 'Lax; Domain=evil' }],
  ['a sameSite with CR LF', 'a', 'v', { sameSite: 'Lax\r\nX: y' }],
  ['a maxAge that is text', 'a', 'v', { maxAge: '60' }],
  ['an expires that is text', 'a', 'v', { expires: 'Thu, 01 Jan 1970 00:00:00 GMT' }],
  ['an expires that only looks like a date', 'a', 'v', { expires: { getUTCFullYear: () => 2000, toUTCString: () => 'a\r\nX: y' } }],
  ['a path that is an object', 'a', 'v', { path: { toString: () => '/\r\nX: y' } }],
  ['a domain that is an object', 'a', 'v', { domain: { toString: () => 'a' } }],
]

describe('serializeCookie', () => {
  for (const [rule, value, options, expected] of SET) it(rule, () => assert.equal(serializeCookie('n', value, options), expected))
  for (const [rule, name, options] of REFUSED)
    it(`refuses ${rule}`, () => assert.throws(() => serializeCookie(name, 'v', options), isCode('NPP_HEADER_INVALID')))
  for (const [rule, name, options, isSecure, expected] of SECURE)
    it(rule, () => assert.equal(serializeCookie(name, 'v', options, isSecure), expected))
  for (const [rule, ...given] of UNTYPED) {
    it(`refuses ${rule}`, () => {
      assert.throws(() => void Reflect.apply(serializeCookie, undefined, given), isCode('NPP_HEADER_INVALID'))
    })
  }

  it('makes what parseCookies reads', () => {
    for (const value of ['', 'a b', 'ü;"=,%', '\r\n\0', '"quoted"']) {
      const [pair = ''] = serializeCookie('n', value).split(';')
      assert.deepEqual([...parseCookies(pair)], [['n', value]])
    }
  })
})
