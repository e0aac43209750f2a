// By path: bench is a package of its own, in which npp/app is not to be found.
import { defineApp } from '../../dist/app/index.js'
import { renderPage } from '../page.mjs'
import { measureLargeReplies } from './large.mjs'
import { soakBatch, soakCollect, soakOne } from './soak-calls.mjs'

export default defineApp({
  routes(route) {
    route.get('/hello', (request, response) => response.text('Hello World!'))
    route.get('/page', (request, response) => response.html(renderPage()))
    // As long as the path says, in a service.
    route.get('/busy/:ms', async (request, response) => response.json(await request.callAsync('busy', Number(request.params.ms))))
    route.get('/slow/:ms', async (request, response) => response.json(await request.callAsync('slow', Number(request.params.ms))))
    route.get('/large', async (request, response) => response.send(await request.callAsync('large', 0)))
    route.get('/large/:inFlight/:ms', async (request, response) => {
      const { inFlight, ms } = request.params
      response.json(await measureLargeReplies(request.callAsync, Number(inFlight), Number(ms)))
    })
    route.get('/soak/one/:id', async (request, response) => response.json(await soakOne(request.callAsync, Number(request.params.id))))
    route.get('/soak/collect/:services', async (request, response) => {
      response.json(await soakCollect(request.callAsync, Number(request.params.services)))
    })
    route.get('/soak/batch/:from/:count/:large', async (request, response) => {
      const { from, count, large } = request.params
      response.json(await soakBatch(request.callAsync, Number(from), Number(count), large === '1'))
    })
  },
})
