import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request, type RequestOptions } from 'node:http'
import { request as requestSecure } from 'node:https'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { CERTIFICATE, KEY, OTHER_KEY } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { freshInstanceId, queuesOf, runToEnd, SITES, startInstance, WELCOME } from '../support/instance.ts'

const FAULTS = `${SITES}faults`

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'npp-test-'))
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The body of the answer to GET /hello. */
function hello(where: RequestOptions & { readonly ca?: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const ask = where.ca === undefined ? request : requestSecure
    ask({ path: '/hello', agent: false, ...where }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
}

function hasLoopback6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))
}

/** Every URL that the instance has said it listens on. */
function urlsOf(output: string): string[] {
  return [...output.matchAll(/"url":"([^"]+)"/g)].map(([, url = '']) => url)
}

describe('npp start listens', () => {
  test('on a Unix socket, in place of a stale one, beside an address, and removes the file', async (context) => {
    const path = join(folder(context), 'npp.sock')
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', program])
    assert.ok(statSync(path).isSocket(), 'a stale socket file is there')
    const instance = await startInstance(WELCOME, { NPP_HTTP_SOCKET: path, NPP_HTTP_SOCKET_MODE: '0600' })
    context.after(() => instance.stop('SIGKILL'))
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(await hello({ socketPath: path }), 'Hello World!')
    assert.equal(await hello({ host: '127.0.0.1', port: instance.port }), 'Hello World!')
    await eventually('it says so', () => urlsOf(instance.stdout).includes(`http+unix://${encodeURIComponent(path)}`))
    assert.equal(await instance.stop(), 0)
    assert.equal(existsSync(path), false)
  })

  test('on two addresses at once, IPv6 among them', async (context) => {
    if (!hasLoopback6()) {
      context.diagnostic('this machine has no ::1')
      return
    }
    const instance = await startInstance(WELCOME, { NPP_HTTP_ADDRESS: '127.0.0.1, ::1' })
    context.after(() => instance.stop('SIGKILL'))
    await eventually('it says both', () => urlsOf(instance.stdout).length === 2)
    const urls = urlsOf(instance.stdout).map((url) => new URL(url))
    assert.deepEqual(
      urls.map(({ hostname }) => hostname),
      ['127.0.0.1', '[::1]'],
    )
    for (const { hostname, port } of urls) assert.equal(await hello({ host: hostname.replaceAll(/[[\]]/g, ''), port }), 'Hello World!')
    assert.equal(await instance.stop(), 0)
  })

  test('on a port of HTTPS beside that of HTTP', async (context) => {
    const inside = folder(context)
    writeFileSync(join(inside, 'cert.pem'), CERTIFICATE)
    writeFileSync(join(inside, 'key.pem'), KEY)
    const instance = await startInstance(WELCOME, {
      NPP_HTTPS_PORT: '0',
      NPP_CERT_FILE: join(inside, 'cert.pem'),
      NPP_KEY_FILE: join(inside, 'key.pem'),
    })
    context.after(() => instance.stop('SIGKILL'))
    await eventually('it says both', () => urlsOf(instance.stdout).length === 2)
    const [http = '', https = ''] = urlsOf(instance.stdout)
    assert.match(`${http} ${https}`, /^http:\/\/127\.0\.0\.1:\d+ https:\/\/127\.0\.0\.1:\d+$/)
    assert.equal(await hello({ host: '127.0.0.1', port: new URL(http).port }), 'Hello World!')
    assert.equal(await hello({ host: '127.0.0.1', port: new URL(https).port, ca: CERTIFICATE }), 'Hello World!')
    assert.equal(await instance.stop(), 0)
  })

  test('not with a key that does not fit', (context) => {
    const id = freshInstanceId()
    const inside = folder(context)
    writeFileSync(join(inside, 'cert.pem'), CERTIFICATE)
    writeFileSync(join(inside, 'key.pem'), OTHER_KEY)
    const files = { NPP_CERT_FILE: join(inside, 'cert.pem'), NPP_KEY_FILE: join(inside, 'key.pem') }
    const { status, stderr } = runToEnd(['start', FAULTS], { NPP_ASYNC_ID: id, NPP_HTTPS_PORT: '0', ...files })
    assert.equal(status, 78)
    assert.match(stderr, /^npp: certFile = \S+ and keyFile = \S+ do not belong together \(NPP_TLS_INVALID\)\n$/)
    assert.deepEqual(queuesOf(id), [])
  })

  test('with select, and warns of how many connections that holds', async (context) => {
    const instance = await startInstance(WELCOME, { NPP_TRANSPORT: 'native', NPP_POLLING: 'select' })
    context.after(() => instance.stop('SIGKILL'))
    await eventually('it warns', () => instance.log.some(({ level, msg }) => level === 40 && /it holds \d+ connections/.test(String(msg))))
    assert.equal(await hello({ host: '127.0.0.1', port: instance.port }), 'Hello World!')
    assert.equal(await instance.stop(), 0)
  })

  test('nowhere, with the reason, where a socket cannot be made', (context) => {
    const id = freshInstanceId()
    const path = join(folder(context), 'nowhere', 'npp.sock')
    const { status, stderr } = runToEnd(['start', FAULTS], { NPP_ASYNC_ID: id, NPP_HTTP_SOCKET: path })
    assert.equal(status, 71)
    assert.match(stderr, /^npp: cannot listen on \S+: there is no folder \S+\/nowhere \(NPP_LISTEN_FAILED\)\n$/)
    assert.deepEqual(queuesOf(id), [])
  })
})
