import assert from 'node:assert/strict'
import { chmodSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, test, type TestContext } from 'node:test'
import { SpillSweep } from '../../app/call/spill-sweep.ts'
import { bodyOf, formOf } from '../../ipc/body.ts'
import { BodyForm, DecodeError, EncodeError, REFERENCE_BYTES } from '../../ipc/frame.ts'
import { ownInstance } from '../../ipc/instance.ts'
import { PayloadFiles, type PayloadStore } from '../../ipc/payload-store.ts'
import { sweepSpills, sweepSpillsOf, writeSpill } from '../../ipc/spill.ts'
import { Limits } from '../../shared/limits.ts'
import { TimerWheel } from '../../shared/timer-wheel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryPayloads } from '../support/memory-payloads.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import { RecordedLog } from '../support/recorded-log.ts'
import { filesOf, mayMount, pathInMemory, startShmChild, uniqueInstance, withSmallMemory } from '../support/shm-tools.ts'

const MOST = 5_000_000

interface Bench {
  readonly store: PayloadStore
  /** Payloads that are there. */
  readonly count: () => number
}

const STORES: readonly (readonly [string, (context: TestContext) => Bench])[] = [
  [
    'files',
    (context) => {
      const id = uniqueInstance(context)
      return { store: new PayloadFiles(id, MOST), count: () => filesOf(id).length }
    },
  ],
  [
    'memory, as the other tests have it',
    () => {
      const store = new MemoryPayloads(MOST)
      return { store, count: () => store.count }
    },
  ],
]

function put(store: PayloadStore, value: unknown): { readonly form: BodyForm; readonly reference: Buffer } {
  const body = bodyOf(value)
  if (body instanceof EncodeError) assert.fail(body.reason)
  return { form: formOf(value), reference: Buffer.from(store.put(body)) }
}

function take(store: PayloadStore, form: BodyForm, reference: Buffer): unknown {
  const taken = store.take(form, reference, 0)
  if (taken === undefined || taken instanceof DecodeError) assert.fail(`the payload is not there: ${taken?.reason}`)
  return taken.value
}

for (const [what, make] of STORES) {
  describe(`a store of payloads: ${what}`, () => {
    const random = new SeededRandom(5)
    for (const value of [
      random.bytes(0),
      random.bytes(100_000),
      random.bytes(Limits.payloadMemoryBytes + 1),
      new Uint8Array(random.bytes(70_001)),
      'é'.repeat(50_000),
      { list: Array.from({ length: 9000 }, (_, id) => ({ id })), bytes: random.bytes(90_000), none: undefined },
    ]) {
      const type = value instanceof Uint8Array ? `${value.byteLength} bytes` : typeof value
      test(`gives ${type} back once, as they were`, (context) => {
        const { store, count } = make(context)
        const { form, reference } = put(store, value)
        assert.deepEqual([reference.byteLength, count()], [REFERENCE_BYTES, 1])
        const result = take(store, form, reference)
        assert.deepEqual(result, value)
        assert.equal(Buffer.isBuffer(result), Buffer.isBuffer(value))
        assert.equal(count(), 0)
        assert.equal(store.take(form, reference, 0), undefined)
      })
    }

    test('gives what stays as it is when others are taken', (context) => {
      const { store } = make(context)
      const values = [random.bytes(80_000), { bytes: random.bytes(80_000), text: 'x'.repeat(80_000) }]
      const results = values.map((value) => {
        const { form, reference } = put(store, value)
        return take(store, form, reference)
      })
      const { form, reference } = put(store, 'y'.repeat(300_000))
      take(store, form, reference)
      assert.deepEqual(results, values)
    })

    test('finds a reference within a message', (context) => {
      const { store, count } = make(context)
      const references = ['a', 'b'].map((text) => put(store, text.repeat(1000)).reference)
      const message = Buffer.concat([Buffer.alloc(7), ...references])
      const taken = store.take(BodyForm.Packed, message, 7 + REFERENCE_BYTES)
      assert.deepEqual(taken, { value: 'b'.repeat(1000) })
      store.discard(message, 7)
      assert.equal(count(), 0)
    })

    test('takes nothing for a forged reference, and leaves what is there', (context) => {
      const { store, count } = make(context)
      const { form, reference } = put(store, random.bytes(1000))
      const other = Buffer.from(reference)
      other[10] = (other[10] ?? 0) ^ 1
      assert.equal(store.take(form, other, 0), undefined)
      store.discard(other, 0)
      for (const length of [0, 999, 1001, MOST, 2 ** 32 - 1]) {
        const forged = Buffer.from(reference)
        forged.writeUInt32LE(length)
        assert.ok(store.take(form, forged, 0) instanceof DecodeError)
      }
      assert.equal(count(), 1)
      take(store, form, reference)
    })

    test('says why bytes are not what their form says', (context) => {
      const { store, count } = make(context)
      const { reference } = put(store, Buffer.alloc(5000, 0xc1))
      assert.ok(store.take(BodyForm.Packed, reference, 0) instanceof DecodeError)
      assert.equal(count(), 0)
    })

    test('discards once and again', (context) => {
      const { store, count } = make(context)
      const { reference } = put(store, 'x'.repeat(1000))
      store.discard(reference, 0)
      store.discard(reference, 0)
      assert.equal(count(), 0)
    })
  })
}

describe('payloads as files', () => {
  test('are Buffers and Uint8Arrays of memory that is theirs alone', (context) => {
    const store = new PayloadFiles(uniqueInstance(context), MOST)
    for (const value of [Buffer.alloc(100_000, 1), new Uint8Array(100_000).fill(1)]) {
      const { form, reference } = put(store, value)
      const result = take(store, form, reference)
      assert.ok(result instanceof Uint8Array)
      assert.equal(result.buffer.byteLength, 100_000)
    }
  })

  test('that are not what npp writes are refused and stay: another mode', (context) => {
    const id = uniqueInstance(context)
    const store = new PayloadFiles(id, MOST)
    const { form, reference } = put(store, Buffer.alloc(9))
    chmodSync(pathInMemory(filesOf(id)[0] ?? ''), 0o644)
    const refused = store.take(form, reference, 0)
    assert.ok(refused instanceof DecodeError)
    assert.match(refused.reason, /mode 0600/)
    assert.equal(filesOf(id).length, 1)
  })

  test('are removed by the process that wrote them', (context) => {
    const id = uniqueInstance(context)
    const store = new PayloadFiles(id, MOST)
    put(store, Buffer.alloc(9))
    put(store, Buffer.alloc(9))
    const other = `npp-${id}.spill.${(process.pid + 1).toString(16).padStart(8, '0')}${'0'.repeat(24)}`
    for (const name of [other, `npp-${id}.spill.${process.pid.toString(16).padStart(8, '0')}.other`]) writeFileSync(pathInMemory(name), '')
    store.discardAllOf(process.pid)
    assert.equal(filesOf(id).length, 2)
    assert.equal(sweepSpillsOf(id, process.pid), 0)
    assert.equal(sweepSpillsOf(id, process.pid + 1), 1)
  })

  test('are gone when their instance ends', async (context) => {
    const id = uniqueInstance(context)
    const instance = await ownInstance(id)
    try {
      put(new PayloadFiles(id, MOST), Buffer.alloc(9))
    } finally {
      instance.end()
    }
    assert.deepEqual(filesOf(id), [])
  })

  test('without room: NPP_SHM_FULL, and nothing is left', async (context) => {
    const id = uniqueInstance(context)
    if (!mayMount()) {
      context.diagnostic('this user may not mount a file system')
      return
    }
    const child = startShmChild(context, ['spill-limited', id, '600000'], withSmallMemory(500_000))
    assert.match(await child.report(), /NPP_SHM_FULL .*ENOSPC/)
    assert.deepEqual(filesOf(id), [])
  })
})

describe('the sweep', () => {
  test('looks once a minute, and removes what is older than any call may wait', (context) => {
    const id = uniqueInstance(context)
    const clock = new FakeClock()
    const wheel = new TimerWheel(clock)
    const log = new RecordedLog()
    const sweep = new SpillSweep({ id, wheel, log })
    context.after(() => {
      sweep.stop()
      wheel.stop()
    })
    sweep.start()
    const minute = (): void => {
      clock.pass(Limits.spillSweepMs + 20)
      wheel.advance()
    }
    const age = (key: string, ms: number): void => {
      const at = (Date.now() - ms) / 1000
      utimesSync(pathInMemory(`npp-${id}.spill.${key}`), at, at)
    }
    const [old, young] = [writeSpill(id, [Buffer.alloc(9)]), writeSpill(id, [Buffer.alloc(9)])]
    age(old, Limits.spillOrphanMs + 1000)
    age(young, Limits.spillOrphanMs - 60_000)
    clock.pass(Limits.spillSweepMs - 100)
    wheel.advance()
    assert.equal(filesOf(id).length, 2)
    minute()
    assert.deepEqual(filesOf(id), [`npp-${id}.spill.${young}`])
    assert.deepEqual(log.lines, [{ level: 'warn', fields: { files: 1 }, message: 'large payloads that nobody took were removed' }])
    minute()
    assert.equal(log.lines.length, 1)
    age(young, Limits.spillOrphanMs + 1000)
    minute()
    assert.deepEqual(filesOf(id), [])
    sweep.stop()
    assert.equal(wheel.armed, 0)
  })

  test('leaves the payload of a call that may take long until it is over', (context) => {
    const id = uniqueInstance(context)
    const store = new PayloadFiles(id, MOST)
    const hours = 5 * 3_600_000
    for (const waitMs of [0, Limits.spillOrphanMs, hours, Number.MAX_VALUE]) store.put(Buffer.alloc(9), waitMs)
    const sweepAt = (ms: number): number => sweepSpills(id, Limits.spillOrphanMs, Date.now() + ms)
    assert.deepEqual([sweepAt(Limits.spillOrphanMs - 60_000), sweepAt(Limits.spillOrphanMs + 60_000)], [0, 2])
    assert.deepEqual([sweepAt(hours), sweepAt(hours + Limits.spillOrphanMs + 60_000)], [0, 1])
    const [last = ''] = filesOf(id)
    assert.ok(statSync(pathInMemory(last)).mtimeMs > Date.now() + 1e12)
  })
})
