import Fastify from 'fastify'
import { renderPage } from '../page.mjs'

const app = Fastify({ logger: false })

app.get('/hello', (request, reply) => {
  reply.type('text/plain; charset=utf-8').send('Hello World!')
})

app.get('/page', (request, reply) => {
  reply.type('text/html; charset=utf-8').send(renderPage())
})

// A thousand connections arrive at once; the default backlog of 511 would measure SYN retries.
const url = await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
process.stdout.write(`${url}\n`)
