import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseCommandLine } from '../../cli/command-line.ts'
import { sayStatus, timeStatus, type InstanceStatus } from '../../cli/status.ts'
import { HISTOGRAM_BUCKETS } from '../../ipc/scoreboard-layout.ts'
import { bucketOf } from '../../ipc/scoreboard.ts'
import { isCode } from '../support/codes.ts'

function histogram(...micros: readonly number[]): { readonly totalMicros: number; readonly buckets: readonly number[] } {
  const buckets = Array.from({ length: HISTOGRAM_BUCKETS }, () => 0)
  for (const duration of micros) buckets[bucketOf(duration)]!++
  return { totalMicros: micros.reduce((sum, duration) => sum + duration, 0), buckets }
}

describe('times of calls', () => {
  it('are upper bounds: what half of them, and 99 of 100, took at the most', () => {
    assert.deepEqual(timeStatus(histogram(0, 0, 0, 100)), { p50Micros: 1, p99Micros: 128, meanMicros: 25 })
    const hundred = Array.from({ length: 100 }, (_, index) => (index === 99 ? 1_000_000 : 5))
    assert.deepEqual([timeStatus(histogram(...hundred)).p50Micros, timeStatus(histogram(...hundred)).p99Micros], [8, 8])
    assert.equal(timeStatus(histogram(...hundred, 1_000_000)).p99Micros, 2 ** 20)
  })

  it('are none without calls, and have no bound beyond the last bucket', () => {
    assert.deepEqual(timeStatus(histogram()), { p50Micros: null, p99Micros: null, meanMicros: null })
    assert.deepEqual(timeStatus(histogram(1e9)).p50Micros, Infinity)
  })
})

const STATUS: InstanceStatus = {
  instance: 'one',
  engines: [
    {
      kind: 'npp_app',
      pid: 17,
      phase: 'stopping',
      startedAt: '2026-01-02T03:04:05.000Z',
      upSeconds: 90_061,
      requests: 1000,
      connections: 3,
      accepted: 20,
      refused: 1,
      pendingCalls: 4,
      backlog: 2,
      staleReplies: 0,
    },
  ],
  serviceProcesses: [
    {
      kind: 'npp_svc',
      pid: 1234,
      phase: 'running',
      startedAt: '2026-01-02T03:04:05.000Z',
      upSeconds: 5,
      concurrency: 4,
      callsInHand: [{ service: 'sum', sinceMs: 5, leftMs: 10, waits: true }],
      calls: 12,
      errors: 1,
      dropped: 0,
      messages: 10,
      bytesIn: 100,
      bytesOut: 200,
      busy: 0.256,
    },
  ],
  services: [
    {
      name: '',
      calls: 1,
      errors: 1,
      timeouts: 0,
      retries: 0,
      backlog: 0,
      wait: { p50Micros: null, p99Micros: null, meanMicros: null },
      run: { p50Micros: null, p99Micros: null, meanMicros: null },
      bytesIn: 0,
      bytesOut: 0,
    },
    {
      name: 'sum',
      calls: 11,
      errors: 0,
      timeouts: 2,
      retries: 3,
      backlog: 2,
      wait: { p50Micros: 128, p99Micros: 2048, meanMicros: 100 },
      run: { p50Micros: 1 << 20, p99Micros: Infinity, meanMicros: 5 },
      bytesIn: 123_456,
      bytesOut: 98_765_432,
    },
  ],
}

describe('the status for people', () => {
  it('has the processes, what the engine does, and the services, in columns', () => {
    assert.deepEqual(sayStatus(STATUS).split('\n'), [
      'instance one',
      '',
      'process   pid     phase     up  in hand  busy  calls  errors  dropped',
      'npp_app    17  stopping   25 h        4',
      'npp_svc  1234   running  5.0 s   1 of 4  26 %     12       1        0',
      '',
      '1000 requests, 3 connections (20 accepted, 1 refused), 4 calls pending, 2 of them in the backlog, 0 replies came too late',
      '',
      'service   calls  errors  timeouts  retries  backlog  wait p50       p99  run p50      p99      in    out',
      '(others)      1       1         0        0        0         -         -        -        -     0 B    0 B',
      'sum          11       0         2        3        2  < 128 µs  < 2.0 ms  < 1.0 s  > 4.2 s  123 kB  99 MB',
      '',
      '',
    ])
  })

  it('is short where nothing was called', () => {
    assert.ok(!sayStatus({ ...STATUS, services: [] }).includes('timeouts'))
  })
})

describe('the command line', () => {
  it('takes --json with status, and with no other command', () => {
    assert.deepEqual(parseCommandLine(['status', '--json', 'site', '--async-id', 'one']), {
      command: 'status',
      folder: 'site',
      configFile: undefined,
      flags: [['--async-id', 'one']],
      json: true,
    })
    assert.equal(parseCommandLine(['status']).json, false)
    assert.throws(() => parseCommandLine(['start', '--json']), isCode('NPP_USAGE'))
  })
})
