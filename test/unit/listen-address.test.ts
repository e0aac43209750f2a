import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { listenOnAll, listenOnPort, urlOf } from '../../app/listen-address.ts'
import { NppError } from '../../shared/errors.ts'
import type { ListenAddress } from '../../app/net/transport.ts'

/** Something that listens, or fails with the errno that a host is given here. */
function listener(failures: Readonly<Record<string, string>>): {
  readonly asked: string[]
  listen(address: ListenAddress): Promise<ListenAddress>
  listenUnix(path: string, mode: number): Promise<ListenAddress>
  adopt(descriptor: number): Promise<ListenAddress>
} {
  const asked: string[] = []
  return {
    asked,
    listenUnix(path, mode) {
      asked.push(`${path} ${mode.toString(8)}`)
      return Promise.resolve({ host: path, port: 0 })
    },
    adopt(descriptor) {
      asked.push(`descriptor ${descriptor}`)
      return Promise.resolve({ host: '127.0.0.1', port: descriptor })
    },
    listen(address) {
      asked.push(address.host)
      const code = failures[address.host]
      if (code === undefined) return Promise.resolve(address)
      return Promise.reject(new NppError('NPP_LISTEN_FAILED', 'refused', { cause: Object.assign(new Error(code), { code }) }))
    },
  }
}

describe('where npp listens', () => {
  test('on :: without an address, which takes IPv4 too', async () => {
    const transport = listener({})
    assert.deepEqual(await listenOnPort(transport, [], 80), [{ host: '::', port: 80 }])
  })

  for (const code of ['EAFNOSUPPORT', 'EADDRNOTAVAIL']) {
    test(`on 0.0.0.0 where there is no IPv6, which the kernel calls ${code}`, async () => {
      const transport = listener({ '::': code })
      assert.deepEqual(await listenOnPort(transport, [], 80), [{ host: '0.0.0.0', port: 80 }])
      assert.deepEqual(transport.asked, ['::', '0.0.0.0'])
    })
  }

  test('any other failure is told, not tried again elsewhere', async () => {
    const transport = listener({ '::': 'EADDRINUSE' })
    await assert.rejects(listenOnPort(transport, [], 80), { code: 'NPP_LISTEN_FAILED' })
    assert.deepEqual(transport.asked, ['::'])
  })

  test('on the configured address and nowhere else', async () => {
    const transport = listener({ '127.0.0.1': 'EADDRNOTAVAIL' })
    await assert.rejects(listenOnPort(transport, ['127.0.0.1'], 80))
    assert.deepEqual(transport.asked, ['127.0.0.1'])
  })

  test('on each of several addresses, and on a Unix socket beside them or alone', async () => {
    const config = { httpAddress: ['127.0.0.1', '::1'], httpPort: 80, httpSocket: '/run/npp.sock', httpSocketMode: '0600' }
    const transport = listener({})
    assert.deepEqual(await listenOnAll(transport, config, []), [
      { host: '127.0.0.1', port: 80 },
      { host: '::1', port: 80 },
      { host: '/run/npp.sock', port: 0 },
    ])
    assert.deepEqual(transport.asked, ['/run/npp.sock 600', '127.0.0.1', '::1'])
    const alone = listener({})
    assert.deepEqual(await listenOnAll(alone, { ...config, httpAddress: [] }, []), [{ host: '/run/npp.sock', port: 0 }])
    const inherits = listener({})
    await listenOnAll(inherits, config, [3, 4])
    assert.deepEqual(inherits.asked, ['descriptor 3', 'descriptor 4'])
  })

  test('is said as a person would type it', () => {
    assert.equal(urlOf({ host: '::', port: 80 }), 'http://localhost:80')
    assert.equal(urlOf({ host: '0.0.0.0', port: 80 }), 'http://localhost:80')
    assert.equal(urlOf({ host: '::1', port: 81 }), 'http://[::1]:81')
    assert.equal(urlOf({ host: '::', port: 443 }, 'https'), 'https://localhost:443')
    assert.equal(urlOf({ host: '::1', port: 443 }, 'https'), 'https://[::1]:443')
    assert.equal(urlOf({ host: '10.0.0.1', port: 82 }), 'http://10.0.0.1:82')
  })
})
