import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FrameKind } from '../../ipc/frame.ts'
import { messageOf, stackOf } from '../../shared/errors.ts'
import { GivenWorker } from '../support/given-worker.ts'

function rude(): object {
  return {
    toString(): string {
      throw new Error('no text')
    },
  }
}

describe('a service that throws what is hard to handle fails, and the worker goes on', () => {
  // oxlint-disable unicorn/no-thenable
  const wrong: readonly (readonly [string, () => unknown])[] = [
    [
      'an object without a prototype',
      () => {
        throw Object.create(null)
      },
    ],
    [
      'an object that has no text',
      () => {
        // oxlint-disable-next-line typescript/only-throw-error
        throw rude()
      },
    ],
    ['a rejection with one', () => Promise.reject(rude())],
    [
      'an error whose message is no text',
      () => {
        throw Object.defineProperty(new Error('x'), 'message', { value: { detail: 1 } })
      },
    ],
    [
      'an error that throws when it is asked',
      () => {
        throw Object.defineProperty(new Error('x'), 'message', {
          get: () => {
            throw rude()
          },
        })
      },
    ],
    [
      'a symbol',
      () => {
        // oxlint-disable-next-line typescript/only-throw-error
        throw Symbol('s')
      },
    ],
    [
      'a result whose then throws when it is looked at',
      () => ({
        get then(): unknown {
          throw new Error('no then')
        },
      }),
    ],
    [
      'a thenable that throws',
      () => ({
        then(): void {
          throw rude()
        },
      }),
    ],
    [
      'a thenable that settles, and then throws and settles again',
      () => ({
        then(fulfilled: (value: unknown) => void, rejected: (reason: unknown) => void): void {
          rejected(new Error('first'))
          fulfilled('second')
          throw rude()
        },
      }),
    ],
  ]
  for (const [name, service] of wrong)
    it(name, async (context) => {
      const given = new GivenWorker(context, { declared: { wrong: () => service(), right: () => 'right' } })
      given.call('wrong')
      const reply = await given.takeReply()
      assert.equal(reply.frame.kind, FrameKind.Failure)
      given.call('right')
      assert.equal((await given.takeReply()).value, 'right')
    })
})

describe('what is thrown', () => {
  it('has a text', () => {
    assert.deepEqual([messageOf(new Error('x')), messageOf('text'), messageOf(undefined)], ['x', 'text', 'undefined'])
    assert.match(stackOf(new Error('x')), /^Error: x\n +at /)
    for (const text of [messageOf(rude()), stackOf(rude())]) assert.equal(text, 'something that has no text')
  })
})
