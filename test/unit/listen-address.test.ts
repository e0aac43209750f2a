import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { listenAsConfigured, urlOf } from '../../app/listen-address.ts'
import { NppError } from '../../shared/errors.ts'
import type { ListenAddress } from '../../app/net/transport.ts'

/** Something that listens, or fails with the errno that a host is given here. */
function listener(failures: Readonly<Record<string, string>>): {
  readonly asked: string[]
  listen(address: ListenAddress): Promise<ListenAddress>
} {
  const asked: string[] = []
  return {
    asked,
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
    assert.deepEqual(await listenAsConfigured(transport, { httpAddress: '', httpPort: 80 }), { host: '::', port: 80 })
  })

  for (const code of ['EAFNOSUPPORT', 'EADDRNOTAVAIL']) {
    test(`on 0.0.0.0 where there is no IPv6, which the kernel calls ${code}`, async () => {
      const transport = listener({ '::': code })
      assert.deepEqual(await listenAsConfigured(transport, { httpAddress: '', httpPort: 80 }), { host: '0.0.0.0', port: 80 })
      assert.deepEqual(transport.asked, ['::', '0.0.0.0'])
    })
  }

  test('any other failure is told, not tried again elsewhere', async () => {
    const transport = listener({ '::': 'EADDRINUSE' })
    await assert.rejects(listenAsConfigured(transport, { httpAddress: '', httpPort: 80 }), { code: 'NPP_LISTEN_FAILED' })
    assert.deepEqual(transport.asked, ['::'])
  })

  test('on the configured address and nowhere else', async () => {
    const transport = listener({ '127.0.0.1': 'EADDRNOTAVAIL' })
    await assert.rejects(listenAsConfigured(transport, { httpAddress: '127.0.0.1', httpPort: 80 }))
    assert.deepEqual(transport.asked, ['127.0.0.1'])
  })

  test('is said as a person would type it', () => {
    assert.equal(urlOf({ host: '::', port: 80 }), 'http://localhost:80')
    assert.equal(urlOf({ host: '0.0.0.0', port: 80 }), 'http://localhost:80')
    assert.equal(urlOf({ host: '::1', port: 81 }), 'http://[::1]:81')
    assert.equal(urlOf({ host: '10.0.0.1', port: 82 }), 'http://10.0.0.1:82')
  })
})
