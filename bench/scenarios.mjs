import { renderPage } from './page.mjs'

const hello = { path: '/hello', body: 'Hello World!', type: 'text/plain' }
const page = { path: '/page', body: renderPage(), type: 'text/html' }

// What a desktop browser sends to a site it has a session with; the load adds Host.
export const browserHeaders = {
  Connection: 'keep-alive',
  'Cache-Control': 'max-age=0',
  'sec-ch-ua': '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'Upgrade-Insecure-Requests': '1',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'navigate',
  'Sec-Fetch-Dest': 'document',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.7',
  Cookie: 'theme=dark; consent=1; session=2f1c9a07b54e4d0e8a3c6f1d90be7722',
}

const all = ['floor', 'npp', 'npp-node', 'bun', 'node-http', 'fastify', 'hono']

const usual = { connections: 64, pipeline: 1, headers: {}, servers: all, leastSeconds: 1 }

export const scenarios = [
  { ...usual, ...hello, name: 'hello', title: 'GET /hello, 64 connections' },
  { ...usual, ...page, name: 'page', title: 'GET /page (100 rows), 64 connections', servers: [...all, 'npp-template'] },
  { ...usual, ...hello, name: 'headers', title: "GET /hello with a browser's headers, 64 connections", headers: browserHeaders },
  { ...usual, ...hello, name: 'many', title: 'GET /hello, 1,000 connections', connections: 1000 },
  {
    ...usual,
    ...hello,
    name: 'huge',
    title: 'GET /hello, 10,000 connections',
    connections: 10_000,
    // To connect takes the first of them.
    leastSeconds: 4,
    // node:http accepts a connection a turn: after seconds it has a tenth of them.
    servers: ['floor', 'npp', 'npp-node', 'bun'],
  },
  { ...usual, ...hello, name: 'pipeline', title: 'GET /hello, pipelined 16, 64 connections', pipeline: 16 },
  {
    ...usual,
    name: 'async',
    title: 'GET /async/hello (callAsync to a service process), 64 connections',
    path: '/async/hello',
    type: 'application/json',
    // The answer names the process that made it, hence no fixed body.
    body: null,
    servers: ['npp', 'npp-node'],
  },
  { ...usual, ...hello, name: 'log', title: 'GET /hello with and without the access log, 64 connections', servers: ['npp', 'npp-log'] },
]
