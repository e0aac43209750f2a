import type { TestContext } from 'node:test'
import { chownSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { programFor, start } from './programs.ts'
import { rawClient } from './raw-client.ts'
import { folder } from './transport-host.ts'

const NOBODY = 65534

/**
 * One process, so that one pid is all there is to end. Its files are in the folder, and what it has to say comes by stderr. With the lines that nginx's
 * manual gives for connections that are kept, with bodies that it hands on as they come, and as it is without any of them: HTTP/1.0.
 */
function configuration(folder: string, port: number, upstream: number): string {
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 200; }
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  scgi_temp_path ${folder}/scgi;
  uwsgi_temp_path ${folder}/uwsgi;
  upstream npp {
    server 127.0.0.1:${upstream};
    keepalive 8;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://npp;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
    location /unbuffered/ {
      proxy_pass http://npp/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
    }
    location /plain/ {
      proxy_pass http://npp/;
    }
  }
}
`
}

/** A port of loopback on which nothing listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a server of TCP has a port')
  return address.port
}

/** nginx in front of that port; both end with the test. */
export interface Nginx {
  readonly port: number
  readonly url: string
  /** Stops it where it stands, and lets it go on: meanwhile it hears of nothing. */
  freeze(): void
  thaw(): void
}

/** Undefined where nginx is not installed. */
export async function startNginx(context: TestContext, upstream: number): Promise<Nginx | undefined> {
  const program = programFor(context, 'nginx')
  if (program === undefined) return undefined
  const own = folder(context)
  const port = await freePort()
  const file = join(own, 'nginx.conf')
  writeFileSync(file, configuration(own, port, upstream))
  // Root would have it look for a user of its own.
  const isRoot = process.getuid?.() === 0
  if (isRoot) chownSync(own, NOBODY, NOBODY)
  const nginx = start(context, program, ['-e', 'stderr', '-p', own, '-c', file], isRoot ? { uid: NOBODY, gid: NOBODY } : {})
  await eventually('nginx listens', async () => {
    if (!nginx.running) throw new Error(`nginx ended: ${nginx.stderr}`)
    try {
      const client = await rawClient(context, port)
      client.socket.destroy()
      return true
    } catch {
      return false // Not yet.
    }
  })
  const url = `http://127.0.0.1:${port}`
  return { port, url, freeze: () => void nginx.child.kill('SIGSTOP'), thaw: () => void nginx.child.kill('SIGCONT') }
}
