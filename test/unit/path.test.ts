import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decoded, routingPathOf } from '../../app/http/path.ts'

/** [rule, path of the target, what the router gets]; undefined is refused. */
const PATHS: readonly (readonly [string, string, string | undefined])[] = [
  ['a plain path stays', '/a/b', '/a/b'],
  ['the root', '/', '/'],
  ['empty segments stay', '//a//', '//a//'],
  ['escapes stay for the router', '/a%20b%2Fc', '/a%20b%2Fc'],
  ['dots within a segment stay', '/a.b/..c/d../...', '/a.b/..c/d../...'],
  ['RFC 3986 §5.2.4: single dots go', '/./a/./b', '/a/b'],
  ['RFC 3986 §5.2.4: double dots take the segment before them', '/a/b/../c', '/a/c'],
  ['RFC 3986 §5.2.4: dots at the end leave a slash', '/a/b/..', '/a/'],
  ['RFC 3986 §5.2.4: a dot at the end leaves a slash', '/a/.', '/a/'],
  ['RFC 3986 §5.2.4: nothing is above the root', '/../../etc/passwd', '/etc/passwd'],
  ['RFC 3986 §5.4.2: mixed', '/a/b/c/./../../g', '/a/g'],
  ['RFC 3986 §6.2.2.2: encoded dots are dots', '/a/%2e%2E/b', '/b'],
  ['RFC 3986 §6.2.2.2: half-encoded dots too', '/a/.%2e/b/%2e', '/b/'],
  ['the root alone above the root', '/..', '/'],
  ['RFC 9112 §3.2.2: absolute form', 'http://example.org/a/b', '/a/b'],
  ['RFC 9112 §3.2.2: absolute form without a path', 'http://example.org', '/'],
  ['RFC 9112 §3.2.2: https and any case', 'HTTPS://example.org:443/a', '/a'],
  ['RFC 9112 §3.2.2: dots after the authority', 'http://example.org/a/../b', '/b'],
  ['RFC 9110 §4.2.1: an authority may not be empty', 'http:///a', undefined],
  ['another scheme', 'ftp://example.org/a', undefined],
  ['no slash at the start', 'a/b', undefined],
  ['RFC 9112 §3.2.4: the asterisk', '*', '*'],
  ['an asterisk and more', '*/a', undefined],
  ['authority form', 'example.org:80', undefined],
  ['%00', '/a%00b', undefined],
  ['an escape without digits', '/a%', undefined],
  ['an escape of one digit', '/a%2', undefined],
  ['an escape of other letters', '/a%zz', undefined],
  ['escapes that are not UTF-8', '/%ff', undefined],
  ['an overlong form of a slash', '/%c0%af', undefined],
  ['a surrogate in UTF-8', '/%ed%a0%80', undefined],
  ['an overlong NUL', '/%c0%80', undefined],
  ['half a character of UTF-8', '/%C3', undefined],
  ['a character of UTF-8 with a slash in its middle', '/%C3%2F%BC', undefined],
  ['code points above the last', '/%f4%90%80%80', undefined],
  ['NUL in any segment', '/a/%00/b', undefined],
  ['an escaped % parts nothing', '/a%2500%252e%252e', '/a%2500%252e%252e'],
  ['an escaped slash parts no segments', '/a/%2F../b', '/a/%2F../b'],
  ['an escaped slash is in the segment that double dots take', '/a/b%2Fc/../d', '/a/d'],
  ['an escaped backslash is a letter', '/a%5C..%5Cb', '/a%5C..%5Cb'],
  ['double dots take an empty segment', '/a//../b', '/a/b'],
  ['empty segments above the root stay', '/..//a', '//a'],
  ['absolute form: empty segments', 'http://example.org//a', '//a'],
  ['absolute form: above the root', 'http://example.org/../../a', '/a'],
  ['absolute form: escapes are checked', 'http://example.org/%ff', undefined],
  ['escapes of UTF-8 stay', '/%C3%BC', '/%C3%BC'],
]

describe('routingPathOf', () => {
  for (const [rule, path, expected] of PATHS) it(rule, () => assert.equal(routingPathOf(path), expected))

  it('comes to the same when it is applied again', () => {
    for (const [rule, , path] of PATHS) if (path !== undefined) assert.equal(routingPathOf(path), path, rule)
  })
})

describe('decoded', () => {
  it('takes escapes as UTF-8, once', () => assert.equal(decoded('/%C3%BC/%2525'), '/ü/%25'))
  it('takes all escapes but that of a slash', () => {
    for (let byte = 1; byte < 0x80; byte++) {
      const escape = `%${byte.toString(16).padStart(2, '0')}`
      assert.equal(decoded(`/a${escape}b`), byte === 0x2f ? '/a%2Fb' : `/a${String.fromCharCode(byte)}b`)
    }
  })
  it('makes no slash of what it has decoded', () => assert.equal(decoded('/a%252Fb%2fc%25%32%46'), '/a%2Fb%2Fc%2F'))
  it('says where they are not UTF-8', () => assert.equal(decoded('/%ff'), undefined))
})
