import { renderPage } from '../page.mjs'

const text = { headers: { 'content-type': 'text/plain; charset=utf-8' } }
const html = { headers: { 'content-type': 'text/html; charset=utf-8' } }

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  // Seconds; 0 is never, for connections that are to stay idle.
  idleTimeout: process.env.BENCH_IDLE === '1' ? 0 : 10,
  // Functions: a Response in their place would be answered without any JavaScript, which nobody else here can.
  routes: {
    '/hello': () => new Response('Hello World!', text),
    '/page': () => new Response(renderPage(), html),
  },
  fetch: () => new Response('Not found', { status: 404, ...text }),
})

process.stdout.write(`http://127.0.0.1:${server.port}\n`)
