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
]

describe('serializeCookie', () => {
  for (const [rule, value, options, expected] of SET) it(rule, () => assert.equal(serializeCookie('n', value, options), expected))
  for (const [rule, name, options] of REFUSED)
    it(`refuses ${rule}`, () => assert.throws(() => serializeCookie(name, 'v', options), isCode('NPP_HEADER_INVALID')))

  it('makes what parseCookies reads', () => {
    for (const value of ['', 'a b', 'ü;"=,%', '\r\n\0', '"quoted"']) {
      const [pair = ''] = serializeCookie('n', value).split(';')
      assert.deepEqual([...parseCookies(pair)], [['n', value]])
    }
  })
})
