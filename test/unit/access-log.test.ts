import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AccessLog } from '../../app/access-log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { RecordedLog } from '../support/recorded-log.ts'

/** What the line says, as [name, value]. */
function valuesOf(line: string): Map<string, unknown> {
  const value: unknown = JSON.parse(line)
  assert.ok(typeof value === 'object' && value !== null)
  return new Map(Object.entries(value))
}

function lineOf(target: string, id = ''): string {
  const log = new RecordedLog()
  new AccessLog(log, new FakeClock(0, 1234), 'npp_app').write('GET', target, 200, 12, 0.12345, '::1', id)
  assert.equal(log.raw.length, 1)
  return log.raw[0] ?? ''
}

describe('the access log', () => {
  it('writes one line of JSON a request', () => {
    const line = lineOf('/a?b=c')
    assert.equal(line.indexOf('\n'), line.length - 1)
    assert.deepEqual(JSON.parse(line), {
      level: 30,
      time: 1234,
      pid: process.pid,
      name: 'npp_app',
      method: 'GET',
      target: '/a?b=c',
      status: 200,
      bytes: 12,
      ms: 0.123,
      ip: '::1',
      msg: 'request',
    })
  })

  for (const target of ['/?a="b"', '/?\\', '/?\\"', '/?","status":500,"x":"', '/?\\u0022', '/ü'])
    it(`keeps ${target} within its string`, () => {
      const values = valuesOf(lineOf(target))
      assert.deepEqual(
        [values.get('target'), values.get('status'), values.get('msg'), values.get('x')],
        [target, 200, 'request', undefined],
      )
    })

  it('names the request where it has a name', () => {
    assert.equal(valuesOf(lineOf('/', 'ab-1')).get('id'), 'ab-1')
    assert.equal(valuesOf(lineOf('/')).has('id'), false)
  })
})
