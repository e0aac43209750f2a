import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type } from 'arktype'
import * as v from 'valibot'
import { z } from 'zod'
import { InputError } from '../../app/call/input-error.ts'
import { defineApp } from '../../app/index.ts'
import type { StandardSchema } from '../../shared/standard-schema.ts'
import { defineServices, service } from '../../svc/index.ts'
import { Registry } from '../../svc/registry.ts'
import { valueOf } from '../support/frames.ts'
import { failure, GivenCaller } from '../support/given-caller.ts'

interface Order {
  readonly name: string
  readonly items: { readonly count: number }[]
}

/** Takes an order, as each library says it; names are trimmed on the way. */
const LIBRARIES: Readonly<Record<string, StandardSchema<Order, Order>>> = {
  zod: z.object({ name: z.string().trim(), items: z.array(z.object({ count: z.number().int() })) }),
  valibot: v.object({ name: v.pipe(v.string(), v.trim()), items: v.array(v.object({ count: v.pipe(v.number(), v.integer()) })) }),
  arktype: type({ name: 'string.trim', items: type({ count: 'number.integer' }).array() }),
}

// What a site writes: its types come from the schema. This compiles, or the build fails.
const zodOrder = z.object({ name: z.string(), count: z.coerce.number<string>() })
const services = defineServices({ order: service({ input: zodOrder }, ({ name, count }) => `${name}: ${count.toFixed(1)}`) })
defineApp<typeof services>({ schemas: { order: zodOrder }, routes: () => undefined })
// @ts-expect-error: the schema takes another input than the service
defineApp<typeof services>({ schemas: { order: v.object({ name: v.number() }) }, routes: () => undefined })

for (const [library, schema] of Object.entries(LIBRARIES)) {
  describe(`a schema of ${library}`, () => {
    it('lets a valid input through as it was given, and the service gets what the schema makes of it', async (context) => {
      const given = new GivenCaller(context, { schemas: { order: schema } })
      const order: Order = { name: ' Ada ', items: [{ count: 3 }] }
      const call = given.callChecked('order', order)
      const frame = given.take()
      assert.deepEqual(valueOf(frame), order)
      given.reply(frame, 'done')
      assert.equal(await call.promise, 'done')

      const registry = new Registry(defineServices({ order: service({ input: schema }, (input) => input) }), 'svc.ts')
      const found = registry.find('order')
      assert.ok(found?.kind === 'call')
      const { signal } = new AbortController()
      assert.deepEqual(await found.service.run(order, { signal }), { name: 'Ada', items: [{ count: 3 }] })
    })

    it('refuses another with 400 and each field at fault, and nothing is sent', async (context) => {
      const given = new GivenCaller(context, { schemas: { order: schema } })
      const error = await failure(given.callChecked('order', { name: 1, items: [{ count: 0 }, { count: 0.5 }] }))
      assert.ok(error instanceof InputError)
      assert.equal(error.status, 400)
      assert.deepEqual(error.issues.map(({ path }) => path).toSorted(), ['items.1.count', 'name'])
      assert.ok(error.issues.every(({ message }) => message !== ''))
      assert.deepEqual([given.caller.pending, given.inQueue], [0, 0])
    })
  })
}
