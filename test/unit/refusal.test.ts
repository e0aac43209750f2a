import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusalWith } from '../../app/http/refusal.ts'

test('what a connection above maxConnections is told is an answer with its length and the lines given', () => {
  const text = Buffer.from(refusalWith('X-A: 1\r\n')).toString('latin1')
  const [, length = '', body = ''] =
    /^HTTP\/1\.1 503 Service Unavailable\r\n(?:[^\r\n]+\r\n)*X-A: 1\r\nContent-Length: (\d+)\r\n\r\n(.+)$/s.exec(text) ?? []
  assert.equal(Number(length), body.length)
  assert.ok(body.length > 0)
})
