import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readSecrets } from '../../app/net/tls-transport.ts'
import { CERTIFICATE, KEY, OTHER_KEY } from '../support/certificate.ts'

const FILES: Readonly<Record<string, string>> = { 'cert.pem': CERTIFICATE, 'key.pem': KEY, 'other.pem': OTHER_KEY, 'text.pem': 'no PEM' }

function read(context: { after(cleanUp: () => void): void }, settings: object): ReturnType<typeof readSecrets> {
  const folder = mkdtempSync(join(tmpdir(), 'npp-test-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text)
  return readSecrets({ httpsPort: 443, certFile: 'cert.pem', certChainFile: '', keyFile: 'key.pem', ...settings }, folder)
}

describe('the files of HTTPS', () => {
  it('are read from the folder of the site, a chain behind the certificate', (context) => {
    assert.deepEqual(read(context, {}), { cert: `${CERTIFICATE}\n`, key: KEY })
    assert.deepEqual(read(context, { certChainFile: 'cert.pem' }), { cert: `${CERTIFICATE}\n${CERTIFICATE}`, key: KEY })
  })

  it('are not asked for without a port', (context) => {
    assert.equal(read(context, { httpsPort: undefined, certFile: '/nowhere' }), undefined)
  })

  for (const [settings, message] of [
    [{ certFile: '' }, /^httpsPort is set and certFile is not: name the PEM file$/],
    [{ keyFile: '' }, /^httpsPort is set and keyFile is not/],
    [{ keyFile: 'nowhere.pem' }, /^keyFile = nowhere\.pem cannot be read: ENOENT/],
    [{ certChainFile: '/nowhere.pem' }, /^certChainFile = \/nowhere\.pem cannot be read: ENOENT/],
    [{ certFile: 'text.pem' }, /^certFile = text\.pem does not hold a certificate in PEM: /],
    [{ certChainFile: 'text.pem' }, /^certChainFile = text\.pem does not hold certificates in PEM: /],
    [{ keyFile: 'cert.pem' }, /^keyFile = cert\.pem does not hold a private key without a passphrase in PEM: /],
    [{ keyFile: 'other.pem' }, /^certFile = cert\.pem and keyFile = other\.pem do not belong together$/],
  ] as const) {
    it(`are refused: ${JSON.stringify(settings)}`, (context) => {
      assert.throws(() => read(context, settings), { code: 'NPP_TLS_INVALID', exitCode: 78, message })
    })
  }
})
