import { defineApp, forward } from 'npp/app'
import type services from './svc.ts'

/** What came back, and as what. */
const typeOf = (value: Uint8Array): string => (Buffer.isBuffer(value) ? 'Buffer' : 'Uint8Array')

export default defineApp<typeof services>({
  routes(route) {
    route.get('/identity/:token', async (req, res) => res.json(await req.callAsync('identity', req.params.token)))
    route.post('/echo/buffer', async (req, res) => {
      const result = await req.callAsync('echo', req.body)
      res.header('X-Type', typeOf(result)).send(result)
    })
    route.post('/echo/bytes', async (req, res) => {
      const result = await req.callAsync('echo', new Uint8Array(req.body))
      res.header('X-Type', typeOf(result)).send(result)
    })
    route.post('/echo/object', async (req, res) => {
      const result = await req.callAsync('echoObject', { token: req.query.get('token') ?? '', text: req.body.toString('latin1') })
      res.header('X-Token', result.token).send(Buffer.from(result.text, 'latin1'))
    })
    route.get('/make/:service/:bytes/:seed', async (req, res) => {
      const input = { bytes: Number(req.params.bytes), seed: Number(req.params.seed) }
      if (req.params.service === 'object') {
        const { seed, bytes } = await req.callAsync('makeObject', input)
        res.header('X-Type', String(seed)).send(bytes)
        return
      }
      const result = await req.callAsync(req.params.service === 'bytes' ? 'makeBytes' : 'make', input)
      res.header('X-Type', typeOf(result)).send(result)
    })
    route.get('/later/:bytes/:seed', async (req, res) => {
      const input = { bytes: Number(req.params.bytes), seed: Number(req.params.seed), ms: Number(req.query.get('ms')) }
      res.send(await req.callAsync('later', input))
    })
    route.post('/again/:token', async (req, res) => {
      res.json(await req.callAsync('again', { token: req.params.token, ms: Number(req.query.get('ms')), bytes: req.body }))
    })
    route.post('/once/:token', async (req, res) => {
      const input = { token: req.params.token, ms: Number(req.query.get('ms')), bytes: req.body }
      const settings = { signal: req.signal, timeoutMs: Number(req.query.get('timeoutMs') ?? 10_000) }
      res.json(await req.callAsync('once', input, settings))
    })
    route.post('/note', async (req, res) => {
      await req.callAsync.noReply('note', req.body)
      res.text('noted')
    })
    route.get('/noted', async (req, res) => res.json(await req.callAsync('noted')))
    route.post('/page', forward('page'))
  },
})
