import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { InputSchemas } from '../../app/call/call-async.ts'
import { InputError } from '../../app/call/input-error.ts'
import { BodyForm, FrameKind } from '../../ipc/frame.ts'
import type { StandardSchema } from '../../shared/standard-schema.ts'
import { defineServices, service } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import { isCode } from '../support/codes.ts'
import { valueOf } from '../support/frames.ts'
import { DEFAULT_TIMEOUT, GivenCaller, failure, type Call } from '../support/given-caller.ts'
import { GivenWorker } from '../support/given-worker.ts'
import { turns } from '../support/queue-tools.ts'
import { wholeNumberSchema } from '../support/whole-number-schema.ts'

const CONTEXT = { signal: new AbortController().signal }

function registryOf(input: StandardSchema<{ n: number | string }, { n: number }>): Registry {
  const definition = defineServices({
    double: service({ input }, ({ n }) => n * 2),
    plain: service({ idempotent: true, priority: 3, timeoutMs: 250 }, (text: string) => text),
    bare: () => 1,
  })
  return new Registry(definition, 'svc.ts')
}

function run(registry: Registry, name: string, input: unknown): unknown {
  const found = registry.find(name)
  return found?.kind === 'call' ? found.service.run(input, CONTEXT) : assert.fail(`${name} is no service`)
}

describe('a declared service', () => {
  it('gets what its schema makes of the input', async () => {
    assert.equal(run(registryOf(wholeNumberSchema()), 'double', { n: '21' }), 42)
    assert.equal(await run(registryOf(wholeNumberSchema(true)), 'double', { n: '21' }), 42)
    assert.equal(run(registryOf(wholeNumberSchema()), 'plain', 'text'), 'text')
  })

  it('is not run with an input that is not valid: NPP_CALL_INPUT', async () => {
    const expected = { code: 'NPP_CALL_INPUT', message: 'the input is not valid: n.0: not a whole number; nothing else' }
    assert.throws(() => run(registryOf(wholeNumberSchema()), 'double', { n: 0.5 }), expected)
    await assert.rejects(Promise.resolve(run(registryOf(wholeNumberSchema(true)), 'double', 1)), expected)
  })

  it('is told of with what it says of itself, and no other', () => {
    assert.deepEqual(registryOf(wholeNumberSchema()).declarations, [
      { name: 'double' },
      { name: 'plain', idempotent: true, priority: 3, timeoutMs: 250 },
    ])
  })

  it('is announced when its process begins to take calls', async (context) => {
    const given = new GivenWorker(context, {
      declared: { a: service({ priority: 9 }, () => 1), b: service({ idempotent: true }, () => 1) },
    })
    const messages = await given.takeReplyMessages()
    assert.deepEqual(
      messages.map((frames) => frames.map(({ frame, value }) => [frame.kind, frame.epoch, value])),
      [
        [
          // The process itself.
          [FrameKind.Announcement, 0, undefined],
          [FrameKind.Announcement, 0, { name: 'a', priority: 9 }],
          [FrameKind.Announcement, 0, { name: 'b', idempotent: true }],
        ],
      ],
    )
  })
})

describe('concurrency', () => {
  it('is what svc says, if it says it', () => {
    assert.equal(new Registry(defineServices({}, { concurrency: 64 }), 'svc.ts').concurrency, 64)
    assert.equal(new Registry(defineServices({}), 'svc.ts').concurrency, undefined)
  })
})

describe('an announcement', () => {
  it('gives the calls of its service their defaults, whatever the engine before was', async (context) => {
    const given = new GivenCaller(context)
    given.announce({ name: 'a', priority: 5, timeoutMs: 100 })
    await turns(3)
    for (const name of ['a', 'b']) given.call(name)
    given.call('a', 1, { priority: 1, timeoutMs: 200 })
    const now = given.clock.monotonic()
    assert.deepEqual(
      [given.take(), given.take(), given.take()].map((frame) => [frame.name, frame.priority, frame.deadline - now]),
      [
        ['a', 5, 100],
        ['a', 1, 200],
        ['b', 0, DEFAULT_TIMEOUT],
      ],
    )
  })

  it('replaces what was announced before', async (context) => {
    const given = new GivenCaller(context)
    given.announce({ name: 'a', priority: 5, timeoutMs: 100 })
    given.announce({ name: 'a', priority: 99, timeoutMs: -1, idempotent: 1 })
    await turns(3)
    given.call('a')
    const frame = given.take()
    assert.deepEqual([frame.priority, frame.deadline - given.clock.monotonic()], [0, DEFAULT_TIMEOUT])
  })

  for (const value of [{}, { name: 1 }, null, 'text'])
    it(`of ${JSON.stringify(value)} is dropped and logged`, async (context) => {
      const given = new GivenCaller(context)
      given.announce(value)
      await turns(3)
      assert.deepEqual([given.caller.strayMessages, given.log.messages('warn')], [1, ['an announcement on the reply queue is malformed']])
    })

  it('of bytes that nobody can read is dropped and logged', async (context) => {
    const given = new GivenCaller(context)
    given.announce('text', { form: BodyForm.Packed, body: Buffer.from([0xc1]) })
    await turns(3)
    assert.equal(given.caller.strayMessages, 1)
  })
})

for (const isAsync of [false, true]) {
  describe(`an input with ${isAsync ? 'a schema that takes its time' : 'a schema'}`, () => {
    const schemas = { double: wholeNumberSchema(isAsync) }

    it('that is valid travels as it was given', async (context) => {
      const given = new GivenCaller(context, { schemas })
      const call = given.callChecked('double', { n: '21' })
      if (isAsync) await turns(1)
      const frame = given.take()
      assert.deepEqual(valueOf(frame), { n: '21' })
      given.reply(frame, 42)
      assert.equal(await call.promise, 42)
    })

    it('that is not is refused with 400 and the fields, and nothing is sent', async (context) => {
      const given = new GivenCaller(context, { schemas })
      const calls: Call[] = [given.callChecked('double', { n: 'x' }), given.callChecked('double', 1, true)]
      for (const call of calls) {
        const error = await failure(call)
        assert.ok(error instanceof InputError)
        assert.deepEqual([error.code, error.status, error.service], ['NPP_INPUT_INVALID', 400, 'double'])
        assert.deepEqual(error.issues, [
          { path: 'n.0', message: 'not a whole number' },
          { path: '', message: 'nothing else' },
        ])
      }
      assert.deepEqual([given.caller.pending, given.inQueue], [0, 0])
    })

    it('that is valid is sent without a reply too', async (context) => {
      const given = new GivenCaller(context, { schemas })
      const call = given.callChecked('double', { n: 1 }, true)
      assert.equal(await call.promise, undefined)
      assert.equal(given.take().wantsReply, false)
    })
  })
}

describe('a schema', () => {
  it('that throws fails the call with what it throws', async (context) => {
    const failing: StandardSchema = {
      '~standard': {
        version: 1,
        vendor: 'npp-test',
        validate: () => {
          throw new Error('of the schema')
        },
      },
    }
    const given = new GivenCaller(context, { schemas: { a: failing } })
    await assert.rejects(given.callChecked('a', 1).promise, /of the schema/)
    assert.equal(given.caller.pending, 0)
  })

  it('that is none is refused when the site starts', (context) => {
    // What a library of before Standard Schema would give, in a site that nobody type-checked.
    const schemas: InputSchemas = JSON.parse('{"a":{"parse":1}}')
    assert.throws(() => new GivenCaller(context, { schemas }), isCode('NPP_SITE_INVALID'))
  })

  it('is asked for its own service only', (context) => {
    const given = new GivenCaller(context, { schemas: { double: wholeNumberSchema() } })
    given.callChecked('other', { n: 'x' })
    given.callChecked('toString', { n: 'x' })
    assert.deepEqual([given.take().name, given.take().name], ['other', 'toString'])
  })
})
