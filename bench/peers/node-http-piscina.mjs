// GET /async/hello on node:http, with a worker thread of piscina in the place of a service.
import { createServer } from 'node:http'
import { isMainThread, threadId } from 'node:worker_threads'
import { Piscina } from 'piscina'

export function hello() {
  return { message: 'Hello from a service', pid: threadId }
}

if (isMainThread) serve()

function serve() {
  // All calls may be with the thread: with one at a time, piscina's default, they would wait for each other.
  const pool = new Piscina({
    filename: import.meta.filename,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 64,
    recordTiming: false,
  })
  const server = createServer((request, response) => {
    if (request.url !== '/async/hello') return reply(response, 404, '{}')
    pool.run(undefined, { name: 'hello' }).then(
      (result) => reply(response, 200, JSON.stringify(result)),
      () => reply(response, 500, '{}'),
    )
  })
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    process.stdout.write(`http://127.0.0.1:${server.address().port}\n`)
  })
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
