import { defineApp, forward, html } from 'npp/app'
import type services from './svc.ts'

export default defineApp<typeof services>({
  routes(route) {
    route.get('/hello', (req, res) => res.text('Hello World!'))
    route.get('/hello/:name', (req, res) => res.html(html`<h1>Hello ${req.params.name}</h1>`))
    route.get('/async/hello', async (req, res) => res.json(await req.callAsync('hello')))
    route.get('/async/sum', async (req, res) => {
      const upTo = Number(req.query.get('upTo') ?? 1e7)
      res.json(await req.callAsync('sum', { upTo }))
    })
    route.get('/async/report', forward('report'))
    route.all('/echo', (req, res) => res.type(req.header('content-type') ?? 'application/octet-stream').send(req.body))
  },
})
