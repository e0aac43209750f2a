import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { Limits } from '../../shared/limits.ts'
import { SparseLog } from '../../shared/sparse-log.ts'
import { RecordedLog } from '../support/recorded-log.ts'

const MOST = Limits.warningsPerSecond

describe('a sparse log', () => {
  it('writes a few warnings a second, and how many it left out', () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      const log = new RecordedLog()
      const sparse = new SparseLog(log)
      for (let count = 0; count < 100_000; count++) sparse.warn({ count }, 'flood')
      assert.deepEqual(
        log.lines.map(({ level, fields, message }) => [level, fields, message]),
        Array.from({ length: MOST }, (_, count) => ['warn', { count }, 'flood']),
      )
      mock.timers.tick(999)
      assert.equal(log.lines.length, MOST)
      mock.timers.tick(1)
      assert.deepEqual(log.lines.at(-1)?.fields, { leftOut: 100_000 - MOST })
      mock.timers.tick(10_000)
      assert.equal(log.lines.length, MOST + 1)
      sparse.warn({}, 'again')
      assert.deepEqual(log.messages('warn').slice(MOST + 1), ['again'])
      mock.timers.tick(1000)
      assert.equal(log.lines.length, MOST + 2, 'nothing was left out this time')
    } finally {
      mock.timers.reset()
    }
  })

  it('says what it left out when it is closed', () => {
    const log = new RecordedLog()
    const sparse = new SparseLog(log)
    for (let count = 0; count <= MOST; count++) sparse.warn({}, 'flood')
    sparse.close()
    assert.deepEqual(log.lines.at(-1)?.fields, { leftOut: 1 })
    sparse.close()
    assert.equal(log.lines.length, MOST + 1)
  })
})
