import { createServer } from 'node:http'
import { renderPage } from '../page.mjs'

const server = createServer((request, response) => {
  if (request.url === '/hello') reply(response, 200, 'text/plain; charset=utf-8', 'Hello World!')
  else if (request.url === '/page') reply(response, 200, 'text/html; charset=utf-8', renderPage())
  else reply(response, 404, 'text/plain; charset=utf-8', 'Not found')
})

function reply(response, status, type, body) {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

// For connections that are to stay idle; otherwise as Node has it.
if (process.env.BENCH_IDLE === '1') server.keepAliveTimeout = 0

// A thousand connections arrive at once; the default backlog of 511 would measure SYN retries.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}\n`)
})
