import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerForwarded } from '../../app/call/forwarded.ts'
import { HttpResponse } from '../../app/http/response.ts'
import { exchangeFor } from '../support/answered-exchange.ts'
import { isCode } from '../support/codes.ts'

const SPLITTING = 'a\r\nSet-Cookie: b=c'

/** What a page service replies with, and the code that it is refused with. */
const REFUSED: readonly (readonly [string, unknown, 'NPP_HEADER_INVALID' | 'NPP_SERVICE_FAILED'])[] = [
  ['CR LF in a value', { status: 200, headers: [['X', SPLITTING]], body: '' }, 'NPP_HEADER_INVALID'],
  ['CR LF in a name', { status: 200, headers: [[SPLITTING, 'x']], body: '' }, 'NPP_HEADER_INVALID'],
  ['CR LF in a type', { status: 200, headers: [['Content-Type', SPLITTING]], body: '' }, 'NPP_HEADER_INVALID'],
  ['CR LF in a location', { status: 302, headers: [['Location', SPLITTING]], body: '' }, 'NPP_HEADER_INVALID'],
  ['CR LF in a cookie', { status: 200, headers: [['Set-Cookie', SPLITTING]], body: '' }, 'NPP_HEADER_INVALID'],
  ['a field of the engine', { status: 200, headers: [['Content-Length', '1']], body: '' }, 'NPP_HEADER_INVALID'],
  ['a status that is none', { status: 99, headers: [], body: '' }, 'NPP_HEADER_INVALID'],
  ['a value that is no text', { status: 200, headers: [['X', 1]], body: '' }, 'NPP_SERVICE_FAILED'],
  ['a field that is no pair', { status: 200, headers: [['X', 'y', 'z']], body: '' }, 'NPP_SERVICE_FAILED'],
  ['a body that is no text', { status: 200, headers: [], body: 1 }, 'NPP_SERVICE_FAILED'],
  ['nothing', undefined, 'NPP_SERVICE_FAILED'],
]

describe('the answer of a page service is refused for', () => {
  for (const [rule, value, code] of REFUSED) {
    it(rule, () => {
      const exchange = exchangeFor()
      assert.throws(() => answerForwarded('page', value, new HttpResponse(exchange)), isCode(code))
      assert.equal(exchange.answered, false)
      assert.doesNotMatch(exchange.fieldLines, /Set-Cookie/)
    })
  }
})

describe('the answer of a page service', () => {
  it('has its own security fields in place of those of npp', () => {
    const exchange = exchangeFor()
    answerForwarded('page', { status: 200, headers: [['X-Frame-Options', 'DENY']], body: 'a' }, new HttpResponse(exchange))
    assert.deepEqual([exchange.fieldLines, exchange.ownFields, exchange.body], ['X-Frame-Options: DENY\r\n', 2, 'a'])
  })
})
