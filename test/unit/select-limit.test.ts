import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selectWarning } from '../../app/net/select-limit.ts'

const select = { transport: 'native', polling: 'select', maxConnections: 10_000 } as const

test('a warning says how many connections select really holds', () => {
  assert.match(
    selectWarning(select, 24),
    /^polling = select watches 1024 descriptors \(FD_SETSIZE\), of which 24 are in use already: it holds 1000 connections at the most, not the 10000 of/,
  )
  assert.match(selectWarning(select, 2000), /it holds 0 connections/)
  assert.match(selectWarning({ ...select, maxConnections: 1001 }, 24), /not the 1001/)
})

test('there is none where it holds enough, or is not used', () => {
  assert.equal(selectWarning({ ...select, maxConnections: 1000 }, 24), '')
  assert.equal(selectWarning({ ...select, polling: 'poll' }, 24), '')
  assert.equal(selectWarning({ ...select, transport: 'node' }, 24), '')
})
