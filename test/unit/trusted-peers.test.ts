import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { trustedPeersOf } from '../../app/trusted-peers.ts'

/** [what is trusted, addresses that are, addresses that are not]. */
const CASES: readonly (readonly [readonly string[], readonly string[], readonly string[]])[] = [
  [['127.0.0.1'], ['127.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1'], ['127.0.0.2', '::1', 'unix:', '']],
  [['10.0.0.0/8'], ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'], ['11.0.0.0', '9.255.255.255', '::10.1.2.3', '::ffff:11.0.0.1']],
  [['192.0.2.128/25'], ['192.0.2.128'], ['192.0.2.127']],
  [['0.0.0.0/0'], ['8.8.8.8'], ['::1', '', 'unix:', 'a']],
  [['::1'], ['::1', '0:0:0:0:0:0:0:1'], ['::2', '127.0.0.1']],
  [['fd00::/8'], ['fd00::', 'fdff::1'], ['fc00::', 'fe00::']],
  [['fe80::/10'], ['fe80::1%eth0', 'fe80::1'], ['::1%eth0']],
  [['unix'], ['unix:'], ['unix', '', '127.0.0.1', '::1']],
  [['10.0.0.1', 'unix', '::1'], ['10.0.0.1', 'unix:', '::1'], ['10.0.0.2']],
]

describe('peers are trusted by', () => {
  for (const [words, yes, no] of CASES) {
    it(words.join(', '), () => {
      const peers = trustedPeersOf({ trustedProxies: words, proxyFields: 'forwarded' })
      assert.ok(peers !== undefined)
      assert.equal(peers.fields, 'forwarded')
      // Twice: what is known already is answered from what was kept.
      for (const round of [1, 2]) {
        for (const address of yes) assert.equal(peers.trusts(address), true, `${address}, round ${round}`)
        for (const address of no) assert.equal(peers.trusts(address), false, `${address}, round ${round}`)
      }
    })
  }

  it('nobody, without a word', () => assert.equal(trustedPeersOf({ trustedProxies: [], proxyFields: 'forwarded' }), undefined))

  it('the same rule after any number of addresses', () => {
    const peers = trustedPeersOf({ trustedProxies: ['10.0.0.0/8'], proxyFields: 'forwarded' })
    for (let number = 0; number < 3000; number++) {
      assert.equal(peers?.trusts(`10.0.${number >> 8}.${number & 255}`), true)
      assert.equal(peers?.trusts(`11.0.${number >> 8}.${number & 255}`), false)
    }
    assert.equal(peers?.trusts('10.0.0.0'), true)
  })
})
