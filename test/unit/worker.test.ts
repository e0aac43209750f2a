import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BodyForm, FrameKind, replyBytes } from '../../ipc/frame.ts'
import type { ForwardedRequest } from '../../shared/services.ts'
import { Registry } from '../../svc/registry.ts'
import { isCode } from '../support/codes.ts'
import { GivenWorker, MESSAGE, type Reply } from '../support/given-worker.ts'
import { turns } from '../support/queue-tools.ts'

const REQUEST: ForwardedRequest = {
  method: 'PUT',
  target: '/p/1?q=2',
  path: '/p/1',
  params: { id: '1' },
  headers: [['X', 'y']],
  ip: '::1',
  protocol: 'https',
  host: 'example.org',
  body: Buffer.from('body'),
}

describe('the worker', () => {
  for (const value of [{ a: [1] }, 'text', 0, null, Buffer.from('bytes')]) {
    it(`runs a service with ${JSON.stringify(value)} and replies with what it returns`, async (context) => {
      const given = new GivenWorker(context)
      given.call('echo', value)
      const { frame, value: result } = await given.takeReply()
      assert.deepEqual(result, value)
      assert.deepEqual(
        [frame.kind, frame.engine, frame.call, frame.generation, frame.epoch, frame.sender, frame.name],
        [FrameKind.Reply, 1, 1, 5, 6, process.pid, ''],
      )
    })
  }

  it('takes a call without a body as one with the input undefined, and replies without one to undefined', async (context) => {
    const given = new GivenWorker(context)
    given.call('nothing')
    const { frame } = await given.takeReply()
    assert.deepEqual([frame.kind, frame.body.byteLength], [FrameKind.Reply, 0])
    given.call('echo')
    await given.takeReply()
    assert.deepEqual(given.run, [undefined])
  })

  it('awaits what can be awaited, promise or not', async (context) => {
    const given = new GivenWorker(context)
    given.call('query')
    assert.equal((await given.takeReply()).value, 3)
  })

  it('runs calls in the order they came', async (context) => {
    const given = new GivenWorker(context)
    for (let number = 0; number < 10; number++) given.call('echo', number)
    assert.deepEqual(
      (await given.takeReplies()).map(({ frame, value }) => [frame.call, value]),
      Array.from({ length: 10 }, (_, number) => [number + 1, number]),
    )
  })

  it('gives each service bytes of its own, which the next message does not overwrite', async (context) => {
    const given = new GivenWorker(context)
    given.call('echo', Buffer.from('first'))
    given.call('echo', Buffer.from('other'))
    await given.takeReplies()
    assert.deepEqual(given.run, [Buffer.from('first'), Buffer.from('other')])
  })

  it('runs one asynchronous call at a time, and leaves the others in the queue for processes that are free', async (context) => {
    const given = new GivenWorker(context)
    for (const input of ['a', 'b']) given.call('gated', input)
    given.call('echo', 'c')
    assert.deepEqual(await given.takeReplies(), [])
    assert.deepEqual(given.run, ['a'])
    assert.equal(given.requests.count(), 2)
    given.gate('a').open()
    assert.equal((await given.takeReply()).value, 'through a')
    assert.deepEqual(given.run, ['a', 'b'])
    assert.equal(given.requests.count(), 1)
    given.gate('b').open()
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      ['through b', 'c'],
    )
  })

  it('does not run a call after its deadline, and does not reply to it', async (context) => {
    const given = new GivenWorker(context)
    given.call('echo', 'late', { deadline: given.clock.monotonic() })
    given.call('echo', 'in time', { deadline: given.clock.monotonic() + 0.1 })
    assert.equal((await given.takeReply()).value, 'in time')
    assert.deepEqual(given.run, ['in time'])
  })

  it('tells a service when the deadline of its call passes', async (context) => {
    // The timer of a signal keeps no process up: something else has to.
    const up = setInterval(() => undefined, 1000)
    context.after(() => clearInterval(up))
    const given = new GivenWorker(context)
    given.call('gated', 'a', { deadline: given.clock.monotonic() + 1 })
    await turns(2)
    const { signal } = given
    if (signal === undefined) assert.fail('it does not run')
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    assert.ok(isCode('NPP_CALL_TIMEOUT')(signal.reason))
    given.gate('a').open()
    assert.equal((await given.takeReply()).value, 'through a')
  })
})

/** [service, input, code of the failure, part of its message, level and number of log lines]. */
const FAILURES: readonly (readonly [string, unknown, string, string])[] = [
  ['fails', undefined, 'E_SITE', 'the service fails'],
  ['rejects', undefined, 'NPP_SERVICE_FAILED', 'the service rejects'],
  ['throws', 'a text', 'NPP_SERVICE_FAILED', 'a text'],
  ['throws', undefined, 'NPP_SERVICE_FAILED', 'undefined'],
  ['throws', { code: 'E_PLAIN' }, 'NPP_SERVICE_FAILED', '[object Object]'],
  ['none', 1, 'NPP_NO_SUCH_SERVICE', 'there is no service none; there are: query, echo, nothing, takes, gated'],
  ['toString', 1, 'NPP_NO_SUCH_SERVICE', 'there is no service toString'],
  ['__proto__', 1, 'NPP_NO_SUCH_SERVICE', 'there is no service __proto__'],
  ['show', 1, 'NPP_NO_SUCH_SERVICE', 'service show is a page, not a call'],
  ['unsendable', undefined, 'NPP_CALL_INPUT', 'the result of unsendable cannot be sent: f is a function'],
  ['getter', undefined, 'NPP_CALL_INPUT', 'the getter fails'],
  ['large', MESSAGE, 'NPP_REPLY_TOO_LARGE', `a message holds ${MESSAGE}`],
]

describe('the worker replies with a failure, and logs it once,', () => {
  for (const [service, input, code, message] of FAILURES) {
    it(`when ${service} is called with ${JSON.stringify(input)}: ${code}`, async (context) => {
      const given = new GivenWorker(context)
      given.call(service, input)
      const { frame, value } = await given.takeReply()
      assert.deepEqual([frame.kind, frame.call, frame.generation], [FrameKind.Failure, 1, 5])
      assert.ok(typeof value === 'object' && value !== null && 'code' in value && 'message' in value)
      assert.equal(value.code, code)
      assert.ok(String(value.message).includes(message), String(value.message))
      assert.equal(given.log.messages('error').length, 1)
      assert.equal(given.log.lines.length, 1)
      given.call('echo', 'goes on')
      assert.equal((await given.takeReply()).value, 'goes on')
    })
  }

  it('with the stack in the log and not in the reply', async (context) => {
    const given = new GivenWorker(context)
    given.call('fails')
    const { value } = await given.takeReply()
    assert.doesNotMatch(JSON.stringify(value), /given-worker/)
    assert.match(JSON.stringify(given.log.lines), /given-worker/)
  })

  it('cut to what a message holds', async (context) => {
    const given = new GivenWorker(context)
    given.call('throws', '€'.repeat(1200))
    const { value } = await given.takeReply()
    assert.ok(typeof value === 'object' && value !== null && 'message' in value)
    assert.equal(value.message, '€'.repeat(1000))
  })

  it('as large a result as fits is sent', async (context) => {
    const given = new GivenWorker(context)
    const fits = MESSAGE - replyBytes(3)
    given.call('large', fits)
    assert.equal(String((await given.takeReply()).value).length, fits)
    given.call('large', fits + 1)
    assert.equal((await given.takeReply()).frame.kind, FrameKind.Failure)
  })
})

describe('pages', () => {
  it('are run with the request, and their answer is the reply', async (context) => {
    const given = new GivenWorker(context)
    given.call('show', REQUEST, { kind: FrameKind.PageCall })
    const { frame, value } = await given.takeReply()
    assert.equal(frame.kind, FrameKind.PageReply)
    assert.deepEqual(value, {
      status: 201,
      headers: [
        ['X', 'y'],
        ['Content-Type', 'text/html; charset=utf-8'],
      ],
      body: 'PUT /p/1 1 2 body',
    })
  })

  it('may answer later', async (context) => {
    const given = new GivenWorker(context)
    given.call('late', REQUEST, { kind: FrameKind.PageCall })
    assert.deepEqual((await given.takeReply()).value, {
      status: 200,
      headers: [['Content-Type', 'application/json; charset=utf-8']],
      body: '{"late":true}',
    })
  })

  const failures: readonly (readonly [string, unknown, string])[] = [
    ['brokenPage', REQUEST, 'NPP_SERVICE_FAILED'],
    ['show', { ...REQUEST, body: 'text' }, 'NPP_CALL_INPUT'],
    ['show', null, 'NPP_CALL_INPUT'],
    ['echo', REQUEST, 'NPP_NO_SUCH_SERVICE'],
    ['none', REQUEST, 'NPP_NO_SUCH_SERVICE'],
  ]
  for (const [service, input, code] of failures) {
    it(`fail with ${code} for ${service} with ${input === REQUEST ? 'a request' : 'what is no request'}`, async (context) => {
      const given = new GivenWorker(context)
      given.call(service, input, { kind: FrameKind.PageCall })
      const { frame, value } = await given.takeReply()
      assert.equal(frame.kind, FrameKind.Failure)
      assert.ok(typeof value === 'object' && value !== null && 'code' in value)
      assert.equal(value.code, code)
      assert.equal(given.run.length, 0)
    })
  }
})

describe('the worker drops, with a warning,', () => {
  it('what is no frame', async (context) => {
    const given = new GivenWorker(context)
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(MESSAGE)]) given.requests.push(bytes)
    given.call('echo', 'goes on')
    assert.equal((await given.takeReply()).value, 'goes on')
    assert.equal(given.log.messages('warn').length, 3)
  })

  it('a frame that is no call', async (context) => {
    const given = new GivenWorker(context)
    for (const kind of [FrameKind.Reply, FrameKind.Failure, FrameKind.PageReply]) given.call('echo', 'never', { kind })
    given.call('echo', 'goes on')
    assert.equal((await given.takeReply()).value, 'goes on')
    assert.deepEqual(given.run, ['goes on'])
    assert.equal(given.log.messages('warn').length, 3)
  })

  it('an input that is malformed, and replies with a failure', async (context) => {
    const given = new GivenWorker(context)
    given.call('echo', 1, { form: BodyForm.Packed, body: Buffer.from([0xc1]) })
    const { frame } = await given.takeReply()
    assert.equal(frame.kind, FrameKind.Failure)
    assert.deepEqual([given.run.length, given.log.messages('warn').length], [0, 1])
  })
})

describe('while the reply queue is full, the worker', () => {
  it('holds its reply, takes no call, and goes on when there is room', async (context) => {
    const given = new GivenWorker(context, { repliesDepth: 1 })
    for (let number = 0; number < 5; number++) given.call('echo', number)
    await turns(6)
    assert.deepEqual(given.run, [0, 1], 'one reply is in the queue, one in hand')
    assert.equal(given.requests.count(), 3)
    const values: unknown[] = []
    while (values.length < 5) values.push(...(await given.takeReplies()).map(({ value }) => value))
    assert.deepEqual(values, [0, 1, 2, 3, 4])
    assert.deepEqual(given.run, [0, 1, 2, 3, 4])
  })

  it('holds the reply of an asynchronous call and a failure too', async (context) => {
    const given = new GivenWorker(context, { repliesDepth: 1 })
    given.call('echo', 'fills')
    given.call('gated', 'a')
    given.call('fails')
    given.call('echo', 'last')
    await turns(6)
    given.gate('a').open()
    await turns(6)
    assert.deepEqual(given.run, ['fills', 'a'])
    const replies: Reply[] = []
    while (replies.length < 4) replies.push(...(await given.takeReplies()))
    assert.deepEqual(
      replies.map(({ frame, value }) => (frame.kind === FrameKind.Failure ? 'failure' : value)),
      ['fills', 'through a', 'failure', 'last'],
    )
  })
})

describe('a worker that is told to stop', () => {
  it('stops at once when it has nothing to do, and takes no call any more', async (context) => {
    const given = new GivenWorker(context)
    await given.worker.stop()
    given.call('echo', 'never')
    assert.deepEqual(await given.takeReplies(), [])
    assert.equal(given.requests.count(), 1)
  })

  it('finishes the call in hand, and no other', async (context) => {
    const given = new GivenWorker(context)
    given.call('gated', 'a')
    given.call('echo', 'never')
    await turns(3)
    const stop = given.worker.stop()
    await turns(5)
    assert.equal(await Promise.race([stop, Promise.resolve('not yet')]), 'not yet')
    given.gate('a').open()
    await stop
    assert.equal((await given.takeReply()).value, 'through a')
    assert.deepEqual([given.run, given.requests.count()], [['a'], 1])
  })

  it('finishes also a call that fails', async (context) => {
    const given = new GivenWorker(context)
    given.call('gated', 'a')
    await turns(3)
    const stop = given.worker.stop()
    given.gate('a').fail(new Error('at last'))
    await stop
    assert.equal((await given.takeReply()).frame.kind, FrameKind.Failure)
  })

  it('waits for room for the reply it holds', async (context) => {
    const given = new GivenWorker(context, { repliesDepth: 1 })
    given.call('echo', 1)
    given.call('echo', 2)
    await turns(6)
    const stop = given.worker.stop()
    await turns(5)
    assert.equal(await Promise.race([stop, Promise.resolve('not yet')]), 'not yet')
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      [1],
    )
    await stop
    assert.deepEqual(
      (await given.takeReplies()).map(({ value }) => value),
      [2],
    )
  })
})

describe('a worker whose engine is gone', () => {
  it('tells the service in hand, and takes no call any more', async (context) => {
    const given = new GivenWorker(context)
    given.call('gated', 'a')
    await turns(3)
    given.worker.abandon()
    assert.ok(given.signal?.aborted === true && isCode('NPP_CALL_CANCELLED')(given.signal.reason))
    given.call('echo', 'never')
    given.gate('a').open()
    await turns(5)
    assert.deepEqual(given.run, ['a'])
  })

  it('drops what the service in hand still comes up with: the queues are closed by then', async (context) => {
    const given = new GivenWorker(context)
    given.call('gated', 'a')
    await turns(3)
    given.worker.abandon()
    given.closeWorkersQueues()
    given.gate('a').open()
    // A push to a closed queue would throw out of a promise, and end this process.
    await turns(5)
    assert.deepEqual(await given.takeReplies(), [])
  })
})

describe('the registry refuses', () => {
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['no export', undefined, /does not export a definition/],
    ['a function', () => 1, /does not export a definition/],
    ['another kind of definition', { npp: 'app', app: {} }, /does not export a definition/],
    ['no services', { npp: 'services', services: null }, /does not export a definition/],
    [
      'what is no service, and lists all of it',
      { npp: 'services', services: { a: 1, b: () => 1, c: {}, d: { page: 1 } } },
      /a is neither .*, c is neither .*, d is neither /,
    ],
    [
      'options that are none, and lists all of them',
      {
        npp: 'services',
        options: { concurrency: 65 },
        services: {
          a: { run: () => 1, options: { priority: 32, timeoutMs: 0, idempotent: 'yes', input: { '~standard': { version: 2 } } } },
          b: { run: () => 1, options: { priority: 0.5, timeoutMs: Infinity } },
        },
      },
      /idempotent of a .*, priority of a .*, timeoutMs of a .*, input of a .*, priority of b .*, timeoutMs of b .*, concurrency is not a/,
    ],
  ]
  for (const [rule, definition, message] of wrong)
    it(rule, () =>
      assert.throws(
        () => new Registry(definition, 'svc.ts'),
        (error) => isCode('NPP_SITE_INVALID')(error) && message.test(String(error)),
      ),
    )
})
