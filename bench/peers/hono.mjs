import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { renderPage } from '../page.mjs'

const app = new Hono()

app.get('/hello', (context) => context.text('Hello World!'))
app.get('/page', (context) => context.html(renderPage()))

const server = createAdaptorServer({ fetch: app.fetch })

// A thousand connections arrive at once; the default backlog of 511 would measure SYN retries.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}\n`)
})
