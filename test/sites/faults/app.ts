import { defineApp, forward, InputError, NppError, ServiceError } from 'npp/app'
import { evenSchema } from './even-schema.ts'
import type services from './svc.ts'

/** The deadline that a request asks for, where it asks for one. */
function settingsOf({ query }: { readonly query: URLSearchParams }): { readonly timeoutMs?: number } {
  const timeoutMs = query.get('timeoutMs')
  return timeoutMs === null ? {} : { timeoutMs: Number(timeoutMs) }
}

/** Codes of calls that were cancelled. */
const cancelled: string[] = []

/** Does its work when it is awaited, and not before. */
class Query implements PromiseLike<void> {
  readonly #work: () => void

  constructor(work: () => void) {
    this.#work = work
  }

  // oxlint-disable-next-line unicorn/no-thenable
  then<A = void, B = never>(
    fulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    return Promise.resolve().then(this.#work).then(fulfilled, rejected)
  }
}

export default defineApp<typeof services>({
  schemas: { half: evenSchema },
  routes(route) {
    route.get('/hello', (req, res) => res.text('Hello World!'))
    route.get('/throws', () => {
      throw new Error('secret of the handler')
    })
    // An object that is made a promise only where it is looked at.
    route.get('/throws-then', () =>
      // oxlint-disable-next-line unicorn/no-thenable
      Object.defineProperty(Promise.resolve(), 'then', {
        get: () => {
          throw new Error('secret of the getter')
        },
      }),
    )
    route.get('/rejects', async () => {
      await Promise.resolve()
      throw new Error('late secret of the handler')
    })
    // Only a test gives clients the run of the file system.
    route.get('/file', (req, res) => res.sendFile(req.query.get('path') ?? decodeURIComponent(req.query.get('twice') ?? '')))
    route.get('/silent', () => undefined)
    route.get('/forgets', async () => {
      await Promise.resolve()
    })
    route.get('/late', (req, res) => {
      setTimeout(() => res.text(`late ${req.query.get('token')}`), Number(req.query.get('ms')))
    })
    // A thenable that is no promise, as query builders are.
    route.get('/thenable', (req, res) => new Query(() => res.write('in time')))
    route.get('/written', (req, res) => {
      res.write('<p>one</p>').write('<p>two</p>')
    })
    route.get('/twice', (req, res) => {
      res.text('first')
      res.text('second')
    })
    route.get('/split', (req, res) => res.header('X-Value', req.query.get('value') ?? '').text('ok'))
    route.get('/identity/:token', async (req, res) =>
      res.json(await req.callAsync('identity', { token: req.params.token }, settingsOf(req))),
    )
    route.get('/slow/:token', async (req, res) => {
      const ms = Number(req.query.get('ms'))
      const timeoutMs = Number(req.query.get('timeoutMs') ?? 5000)
      res.json(await req.callAsync('slow', { token: req.params.token, ms }, { timeoutMs }))
    })
    route.get('/again/:token', async (req, res) => {
      const input = { token: req.params.token, ms: Number(req.query.get('ms')) }
      const settings = settingsOf(req)
      res.json(await (req.query.has('busy') ? req.callAsync('busyAgain', input, settings) : req.callAsync('again', input, settings)))
    })
    route.get('/work/:token', async (req, res) => {
      res.json(await req.callAsync('work', { token: req.params.token, ms: Number(req.query.get('ms')) }, settingsOf(req)))
    })
    route.get('/dies/:how', async (req, res) => res.json(await req.callAsync('dies', req.params.how)))
    route.get('/brief/:token', async (req, res) => res.json(await req.callAsync('brief', { token: req.params.token })))
    route.get('/note/:text', async (req, res) => {
      await req.callAsync.noReply('note', req.params.text)
      res.text('noted')
    })
    route.get('/notes', async (req, res) => res.json(await req.callAsync('notes')))
    route.get('/together', async (req, res) => res.json(await req.callAsync('together', Number(req.query.get('ms')))))
    route.get('/half/:number', async (req, res) => {
      try {
        res.json(await req.callAsync('half', Number(req.params.number)))
      } catch (error) {
        if (!(error instanceof InputError) || req.query.get('catch') === null) throw error
        res.status(422).json(error.issues)
      }
    })
    route.get('/impatient', async (req, res) => res.json(await req.callAsync('impatient', 1000)))
    route.get('/until-gone', async (req, res) => {
      try {
        await req.callAsync('slow', { token: 'gone', ms: 60_000 }, { signal: req.signal })
      } catch (error) {
        cancelled.push(error instanceof NppError ? error.code : String(error))
      }
      res.text('nobody reads this')
    })
    route.get('/cancelled', (req, res) => res.json(cancelled))
    route.get('/busy', async (req, res) => res.json(await req.callAsync('busy', { ms: Number(req.query.get('ms')) }, settingsOf(req))))
    // In one turn, and so in one message as soon as both services are known to be quick; the second call holds the others up.
    route.get('/held-up', async (req, res) => {
      const work = (token: string, ms: number, settings = {}): Promise<unknown> => req.callAsync('work', { token, ms }, settings)
      const calls = [
        work('before', 0),
        work('blocks', Number(req.query.get('ms')), settingsOf(req)),
        work('behind', 0),
        req.callAsync('half', 8),
      ]
      const ends = await Promise.allSettled(calls)
      res.json(ends.map((end) => (end.status === 'fulfilled' ? 'replied' : end.reason instanceof NppError ? end.reason.code : 'failed')))
    })
    route.get('/noted/:text', async (req, res) => {
      const input = { text: req.params.text, ms: Number(req.query.get('ms')) }
      res.json(await req.callAsync('noted', input, { ...settingsOf(req), signal: req.signal }))
    })
    route.get('/noted-page/*', forward('notedPage'))
    // @ts-expect-error: the site has no such service; this is what a build without type checks would run.
    route.get('/unknown', async (req, res) => res.json(await req.callAsync('unknown')))
    route.get('/throwing', async (req, res) => res.json(await req.callAsync('throwing')))
    route.get('/rejecting', async (req, res) => res.json(await req.callAsync('rejecting')))
    route.get('/caught', async (req, res) => {
      try {
        await req.callAsync('throwing')
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error
        res.json({ code: error.code, service: error.service, serviceCode: error.serviceCode })
      }
    })
    route.get('/large', async (req, res) => res.text(await req.callAsync('large', { bytes: Number(req.query.get('bytes')) })))
    route.post('/bytes', async (req, res) => res.send(await req.callAsync('bytes', req.body)))
    route.get('/nothing', async (req, res) => res.json({ result: String(await req.callAsync('nothing')) }))
    route.get('/unsendable', async (req, res) => res.json(await req.callAsync('unsendable')))
    // @ts-expect-error: a function cannot be the input of a service.
    route.get('/unsendable-input', async (req, res) => res.json(await req.callAsync('identity', { token: () => 1 })))
    route.all('/page/*', forward('page'))
    route.get('/empty-page', forward('emptyPage'))
    route.get('/twice-page', forward('twicePage'))
    route.get('/move-page', forward('movePage'))
    route.get('/bad-page', forward('badPage'))
    route.get('/crash', () => {
      setTimeout(() => {
        throw new Error('nobody catches this')
      }, 1)
    })
    route.get('/big/:bytes', (req, res) => res.text('y'.repeat(Number(req.params.bytes))))
    route.post('/json', (req, res) => res.json({ got: req.json() }))
    route.post('/form', (req, res) => res.json([...req.form().entries()]))
    route.all('/echo', (req, res) => res.type(req.header('content-type') ?? 'application/octet-stream').send(req.body))
    route.get('/fields', (req, res) => res.json([...req.headers]))
    route.get('/cookies', (req, res) => res.cookie('seen', 'a b', { maxAge: 60 }).json([...req.cookies]))
    route.get('/files/*', (req, res) => res.json(req.params))
    route.get('/hi/:name', (req, res) =>
      res.json({ ...req.params, path: req.path, target: req.target, ip: req.ip, query: [...req.query.entries()] }),
    )
    route.delete('/thing/:id', (req, res) => res.status(204).text(`${req.params.id} is gone`))
    route.get('/move', (req, res) => res.redirect('/hello?ü=1', 303))
  },
})
