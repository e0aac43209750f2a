/*
 * What must compile, and what must not: the build of this file is the test. Each @ts-expect-error fails the build when its line compiles.
 */
import { defineApp, forward, type Params } from 'npp/app'
import { defineServices, page, service, type StandardSchema } from 'npp/svc'

declare const amount: StandardSchema<{ amount: number | string }, { amount: number }>

const services = defineServices({
  sum: ({ upTo }: { upTo: number }) => ({ sum: upTo }),
  later: async (text: string) => {
    await Promise.resolve()
    return text.length
  },
  none: () => 'nothing asked',
  maybe: (limit?: number) => limit ?? 0,
  declared: service({ idempotent: true, priority: 3, timeoutMs: 50 }, async (text: string) => {
    await Promise.resolve()
    return text.length > 0
  }),
  checked: service({ input: amount }, (input) => {
    same<{ amount: number }>({ amount: 1 })(input)
    return input.amount
  }),
  idle: service({}, () => 5n),
  report: page((req, res) => res.html('')),
})

/** Compiles only when both types are the same. */
function same<A>(_a: A): <B extends A>(b: B & ([A] extends [B] ? unknown : never)) => void {
  return () => undefined
}

export const typed = defineApp<typeof services>({
  routes(route) {
    route.get('/good', async (req, res) => {
      const { sum } = await req.callAsync('sum', { upTo: 1 }, { timeoutMs: 5 })
      same<number>(0)(sum)
      same<number>(0)(await req.callAsync('later', 'text'))
      same<string>('')(await req.callAsync('none'))
      same<number>(0)(await req.callAsync('maybe'))
      same<number>(0)(await req.callAsync('maybe', 3))
      same<boolean>(true)(await req.callAsync('declared', 'text', { priority: 31, signal: req.signal }))
      same<number>(0)(await req.callAsync('checked', { amount: '5' }))
      same<bigint>(0n)(await req.callAsync('idle'))
      const { callAsync } = req
      same<void>(undefined)(await callAsync.noReply('sum', { upTo: 1 }, { timeoutMs: 5 }))
      res.json({ sum })
    })
    route.get('/good/report', forward('report'))

    route.get('/bad', async (req) => {
      // @ts-expect-error: no such service
      await req.callAsync('summ', { upTo: 1 })
      // @ts-expect-error: upTo is a number
      await req.callAsync('sum', { upTo: '1' })
      // @ts-expect-error: upTo is missing
      await req.callAsync('sum', {})
      // @ts-expect-error: the input is missing
      await req.callAsync('sum')
      // @ts-expect-error: later takes a string
      await req.callAsync('later', 1)
      // @ts-expect-error: a page is reached by forward
      await req.callAsync('report')
      // @ts-expect-error: no such option
      await req.callAsync('sum', { upTo: 1 }, { timeout: 5 })
      // @ts-expect-error: no such service
      await req.callAsync.noReply('summ')
      // @ts-expect-error: upTo is a number
      await req.callAsync.noReply('sum', { upTo: '1' })
      // @ts-expect-error: declared takes a string
      await req.callAsync('declared', 1)
      // @ts-expect-error: amount is a number or a string
      await req.callAsync('checked', { amount: true })
      // @ts-expect-error: the result has no total
      void (await req.callAsync('sum', { upTo: 1 })).total
    })
    // @ts-expect-error: a forward has no signal
    route.get('/bad/signal', forward('report', { signal: AbortSignal.abort() }))
    // @ts-expect-error: no such page
    route.get('/bad/report', forward('reports'))
    // @ts-expect-error: sum is called, not forwarded to
    route.get('/bad/sum', forward('sum'))

    route.get('/a/:one/b/:two', (req, res) => {
      same<string>('')(req.params.one)
      same<string>('')(req.params.two)
      // @ts-expect-error: the path has no parameter of this name
      res.text(req.params.three)
    })
    // @ts-expect-error: a handler answers by res, not by what it returns
    route.get('/returns', () => 'text')
    route.error(404, (problem, res) => {
      same<string>('')(problem.requestId)
      same<'html' | 'json'>('html')(problem.accepts)
      res.html('')
    })
    // @ts-expect-error: a status is a number
    route.get('/status', (req, res) => res.status('200').text(''))
  },
  schemas: { checked: amount },
  async init(app) {
    same<number>(0)((await app.callAsync('sum', { upTo: 1 })).sum)
    await app.callAsync.noReply('none')
    // @ts-expect-error: no such service
    await app.callAsync('nothing')
  },
})

/** A site that does not say what services it has may call any. */
export const untyped = defineApp({
  routes(route) {
    route.get('/', async (req, res) => res.json(await req.callAsync('anything', { at: 'all' })))
    route.get('/page', forward('anything'))
  },
})

export const wrongSchemas = defineApp<typeof services>({
  routes: () => undefined,
  schemas: {
    // @ts-expect-error: later takes a string
    later: amount,
  },
})

export const unknownSchema = defineApp<typeof services>({
  routes: () => undefined,
  // @ts-expect-error: no such service
  schemas: { latter: amount },
})

// @ts-expect-error: no such option
export const wrongOption = service({ retries: 3 }, () => 1)

// @ts-expect-error: a site has routes
export const routeless = defineApp({})

// @ts-expect-error: a service is a function or a page
export const wrongService = defineServices({ answer: 42 })

export const rest: Params<'/files/*'> = { '*': 'a/b' }
// @ts-expect-error: the parameter is missing
export const missing: Params<'/hi/:name'> = {}
