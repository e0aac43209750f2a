// By path: bench is a package of its own, in which npp/app is not to be found.
import { defineApp } from '../../dist/app/index.js'
import { renderPage } from '../page.mjs'

export default defineApp({
  routes(route) {
    route.get('/hello', (request, response) => response.text('Hello World!'))
    route.get('/page', (request, response) => response.html(renderPage()))
    // As long as the path says, in a service.
    route.get('/busy/:ms', async (request, response) => response.json(await request.callAsync('busy', Number(request.params.ms))))
    route.get('/slow/:ms', async (request, response) => response.json(await request.callAsync('slow', Number(request.params.ms))))
  },
})
