import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { errorFormOf, type ErrorForm } from '../../app/http/accept.ts'

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'

/** [rule, the Accept field, what is sent]. */
const CASES: readonly (readonly [string, string | undefined, ErrorForm])[] = [
  ['RFC 9110 §12.5.1: no field takes anything', undefined, 'html'],
  ['an empty field', '', 'html'],
  ['anything', '*/*', 'html'],
  ['what a browser sends', BROWSER, 'html'],
  ['RFC 9457 §3: problem+json', 'application/problem+json', 'json'],
  ['JSON of any kind', 'application/json', 'json'],
  ['any application type', 'application/*', 'json'],
  ['types in any case', 'Application/JSON', 'json'],
  ['what fetch libraries send', 'application/json, text/plain, */*', 'html'],
  ['the same with a weight', 'application/json, text/plain, */*;q=0.5', 'json'],
  ['both as much', 'application/json, text/html', 'html'],
  ['§12.4.2: JSON more', 'text/html;q=0.8, application/json;q=0.9', 'json'],
  ['HTML more', 'text/html;q=0.9, application/json;q=0.8', 'html'],
  ['HTML refused', 'text/html;q=0, application/json;q=0.1', 'json'],
  ['HTML refused, the rest taken', 'text/html;q=0, */*', 'json'],
  ['both refused', 'text/html;q=0, application/json;q=0, application/problem+json;q=0', 'html'],
  ['neither', 'image/png', 'html'],
  ['§12.5.1: the specific range before the general', 'text/*;q=0.9, text/html;q=0.1, application/json;q=0.5', 'json'],
  ['the range of a type before any', '*/*, text/*;q=0.1', 'json'],
  ['order means nothing', 'application/json;q=0.1, */*;q=0.9', 'html'],
  ['spaces and tabs', ' application/json \t; q=1 ,\ttext/html ; q=0.5 ', 'json'],
  ['Q in capitals', 'text/html;Q=0.1, application/json;q=0.2', 'json'],
  ['three decimals', 'text/html;q=0.998, application/json;q=0.999', 'json'],
  ['empty elements', ',,application/json,,', 'json'],
  ['a charset that is ours', 'application/json;charset=utf-8', 'json'],
  ['§5.6.6: a parameter that is left out', 'application/json;;q=0.9;, text/html;q=0.1', 'json'],
  ['a version of a type that is not ours', 'application/json;version=2, text/html;q=0.1', 'html'],
  ['what follows a weight', 'application/json;q=0.9;ext=1, text/html;q=0.1', 'json'],
  ['a weight that is none counts for nothing', 'application/json;q=2, text/html;q=0.1', 'html'],
  ['a weight below 0', 'application/json;q=-1, text/html;q=0.1', 'html'],
  ['a weight of four decimals', 'application/json;q=0.9999, text/html;q=0.1', 'html'],
  ['a weight of letters', 'application/json;q=high, text/html;q=0.1', 'html'],
  ['no type', 'json', 'html'],
  ['any type of a subtype, which is none', '*/json', 'html'],
  ['two slashes', 'application/json/x', 'html'],
  ['nothing of sense', ';;;q==/,/', 'html'],
]

describe('an error is told by what the client accepts:', () => {
  for (const [rule, accept, expected] of CASES) it(`${rule}: ${expected}`, () => assert.equal(errorFormOf(accept), expected))

  it('however long the field is', () => {
    for (const part of ['a/b;q=0.1,', ',', ';', 'application/json;', '"', 'x'.repeat(20)])
      assert.equal(errorFormOf(part.repeat(16_384 / part.length)), 'html')
  })
})
