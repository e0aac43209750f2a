import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addressOfClient, hostOfClient, isSecureClient } from '../../app/http/client.ts'
import { Exchange, type ExchangeContext } from '../../app/http/exchange.ts'
import { RequestParser } from '../../app/http/parser.ts'
import { HttpRequest } from '../../app/http/request.ts'
import { TargetCache } from '../../app/http/target-cache.ts'
import { Outcome } from '../../app/http/outcome.ts'
import { trustedPeersOf } from '../../app/trusted-peers.ts'
import type { Config } from '../../shared/config.ts'
import { exchangeFor } from '../support/answered-exchange.ts'
import { isCode } from '../support/codes.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'

interface Peer {
  readonly address: string
  readonly isSecure?: boolean
  readonly trusted?: readonly string[]
  readonly fields?: Config['proxyFields']
}

function exchangeOf(
  { address, isSecure = false, trusted = [], fields = 'x-forwarded' }: Peer,
  lines: string,
  start = 'GET / HTTP/1.1',
): Exchange {
  const bytes = Buffer.from(`${start}\r\n${lines}\r\n`, 'latin1')
  const parser = new RequestParser(HEADER_LIMITS)
  assert.equal(parser.parse(bytes, 0, bytes.byteLength), Outcome.Complete)
  const { context } = exchangeFor()
  const own: ExchangeContext = {
    ...context,
    addressOf: () => address,
    isSecure: () => isSecure,
    trustedPeers: trustedPeersOf({ trustedProxies: trusted, proxyFields: fields }),
  }
  const exchange = new Exchange(own)
  const target = new TargetCache().find(bytes, parser.targetStart, parser.pathEnd, parser.targetEnd)
  exchange.begin(0, 1, parser, bytes, 0, target, false)
  return exchange
}

const LOCAL = ['127.0.0.1', '10.0.0.0/8', 'fd00::/8']
const PROXY: Peer = { address: '127.0.0.1', trusted: LOCAL }
const RFC: Peer = { ...PROXY, fields: 'forwarded' }
const HOST = 'Host: own:81\r\n'

/** [rule, the peer, lines, address, protocol, host]. */
const CASES: readonly (readonly [string, Peer, string, string, string, string])[] = [
  [
    'nobody is trusted',
    { address: '127.0.0.1' },
    'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n',
    '127.0.0.1',
    'http',
    'own:81',
  ],
  ['nobody is trusted, by TLS', { address: '127.0.0.1', isSecure: true }, 'X-Forwarded-Proto: http\r\n', '127.0.0.1', 'https', 'own:81'],
  [
    'another peer is trusted',
    { ...PROXY, address: '192.0.2.9' },
    'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n',
    '192.0.2.9',
    'http',
    'own:81',
  ],
  ['a trusted peer says nothing', PROXY, '', '127.0.0.1', 'http', 'own:81'],
  ['a trusted peer says nothing, by TLS', { ...PROXY, isSecure: true }, '', '127.0.0.1', 'https', 'own:81'],
  [
    'a trusted peer is believed',
    PROXY,
    'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example:8443\r\n',
    '1.1.1.1',
    'https',
    'a.example:8443',
  ],
  ['also when it says http over TLS', { ...PROXY, isSecure: true }, 'X-Forwarded-Proto: http\r\n', '127.0.0.1', 'http', 'own:81'],
  ['the protocol in any case', PROXY, 'X-Forwarded-Proto: HTTPS\r\n', '127.0.0.1', 'https', 'own:81'],
  ['another protocol says nothing', PROXY, 'X-Forwarded-Proto: wss\r\n', '127.0.0.1', 'http', 'own:81'],
  [
    'what a client has written before is not believed',
    PROXY,
    'X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: evil, good\r\n',
    '1.1.1.1',
    'http',
    'good',
  ],
  [
    'a chain of trusted ones is walked',
    PROXY,
    'X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.1.2.3, fd12::1\r\nX-Forwarded-Proto: x, https, http, http\r\n',
    '1.1.1.1',
    'https',
    'own:81',
  ],
  ['all are trusted: the farthest', PROXY, 'X-Forwarded-For: 10.0.0.9, 10.0.0.8\r\n', '10.0.0.9', 'http', 'own:81'],
  [
    'several field lines are one list',
    PROXY,
    'X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nx-forwarded-for: 10.0.0.8\r\n',
    '2.2.2.2',
    'http',
    'own:81',
  ],
  ['a malformed entry ends the walk', PROXY, 'X-Forwarded-For: 1.1.1.1, nonsense, 10.0.0.8\r\n', '10.0.0.8', 'http', 'own:81'],
  ['a malformed entry at the right leaves the peer', PROXY, 'X-Forwarded-For: 1.1.1.1, nonsense\r\n', '127.0.0.1', 'http', 'own:81'],
  ['an address with a link is malformed', PROXY, 'X-Forwarded-For: fe80::1%eth0\r\n', '127.0.0.1', 'http', 'own:81'],
  ['ports and brackets', PROXY, 'X-Forwarded-For: [2001:db8::1]:99, 10.0.0.8:80\r\n', '2001:db8::1', 'http', 'own:81'],
  [
    'an address of IPv4 in IPv6 matches a net of IPv4',
    { ...PROXY, address: '::ffff:10.9.9.9' },
    'X-Forwarded-For: 1.1.1.1, ::ffff:127.0.0.1\r\n',
    '1.1.1.1',
    'http',
    'own:81',
  ],
  [
    'the peer of a Unix socket, if it is trusted',
    { address: 'unix:', trusted: ['unix'] },
    'X-Forwarded-For: 1.1.1.1\r\n',
    '1.1.1.1',
    'http',
    'own:81',
  ],
  [
    'the peer of a Unix socket, if it is not',
    { address: 'unix:', trusted: LOCAL },
    'X-Forwarded-For: 1.1.1.1\r\n',
    'unix:',
    'http',
    'own:81',
  ],
  [
    'a peer that is gone is nobody',
    { address: '', trusted: ['unix', '0.0.0.0/0', '::/0'] },
    'X-Forwarded-For: 1.1.1.1\r\n',
    '',
    'http',
    'own:81',
  ],
  [
    'no entry is the Unix socket',
    { address: 'unix:', trusted: ['unix'] },
    'X-Forwarded-For: 1.1.1.1, unix:\r\n',
    'unix:',
    'http',
    'own:81',
  ],
  ['fields of the other kind are not read', PROXY, 'Forwarded: for=6.6.6.6;proto=https;host=evil\r\n', '127.0.0.1', 'http', 'own:81'],
  [
    'nor the other way round',
    RFC,
    'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n',
    '127.0.0.1',
    'http',
    'own:81',
  ],
  ['RFC 7239: all of it', RFC, 'Forwarded: for=6.6.6.6, for="[2001:db8::1]:9";proto=https;host="a:1"\r\n', '2001:db8::1', 'https', 'a:1'],
  [
    'RFC 7239: a chain',
    RFC,
    'Forwarded: for=1.1.1.1;proto=https;host=a\r\nForwarded: for=10.0.0.8;proto=http;host=b\r\n',
    '1.1.1.1',
    'https',
    'a',
  ],
  [
    'RFC 7239 §6.3: a hidden client is unknown, its protocol is not',
    RFC,
    'Forwarded: for=_x;proto=https\r\n',
    '127.0.0.1',
    'https',
    'own:81',
  ],
  [
    'a hop that says no protocol leaves the one before',
    RFC,
    'Forwarded: for=1.1.1.1, for=10.0.0.8;proto=https\r\n',
    '1.1.1.1',
    'https',
    'own:81',
  ],
  ...['a b', 'a/b', 'a@b', 'user@host', '[::1', 'a:b', 'a:123456', '<script>', ''].map(
    (host): [string, Peer, string, string, string, string] => [
      `the host ${JSON.stringify(host)} is not believed`,
      PROXY,
      `X-Forwarded-Host: ${host}\r\n`,
      '127.0.0.1',
      'http',
      'own:81',
    ],
  ),
  ['an address as a host', PROXY, 'X-Forwarded-Host: [2001:db8::1]:443\r\n', '127.0.0.1', 'http', '[2001:db8::1]:443'],
]

describe('who asks, and how:', () => {
  for (const [rule, peer, lines, address, protocol, host] of CASES) {
    it(rule, () => {
      const exchange = exchangeOf(peer, HOST + lines)
      const req = new HttpRequest(exchange)
      assert.deepEqual([req.ip, req.protocol, req.host], [address, protocol, host])
      assert.deepEqual([addressOfClient(exchange), isSecureClient(exchange), hostOfClient(exchange)], [address, protocol === 'https', host])
    })
  }
})

/** [rule, start line, lines, host]. */
const HOSTS: readonly (readonly [string, string, string, string])[] = [
  ['the field, as it was sent', 'GET / HTTP/1.1', 'Host: ExAmple.org:8080\r\n', 'ExAmple.org:8080'],
  ['HTTP/1.0 without one', 'GET / HTTP/1.0', '', ''],
  ['HTTP/1.0 with one', 'GET / HTTP/1.0', 'Host: a\r\n', 'a'],
  ['RFC 9112 §3.2.2: the target before the field', 'GET http://b:1/x?y#z HTTP/1.1'.replace('#z', ''), 'Host: a\r\n', 'b:1'],
  ['§3.2.2: a target without a path', 'GET http://b?x HTTP/1.1', 'Host: a\r\n', 'b'],
  ['§3.2.2: on HTTP/1.0 too', 'GET HTTPS://[::1]/ HTTP/1.0', '', '[::1]'],
  ['§3.2.4: the asterisk', 'OPTIONS * HTTP/1.1', 'Host: a\r\n', 'a'],
]

describe('the host of a request is', () => {
  for (const [rule, start, lines, host] of HOSTS)
    it(rule, () => assert.equal(new HttpRequest(exchangeOf({ address: '::1' }, lines, start)).host, host))
})

describe('who asked, once it was answered,', () => {
  it('is known for as long as the fields are', () => {
    const exchange = exchangeOf(PROXY, `${HOST}X-Forwarded-For: 1.1.1.1\r\n`)
    exchange.retain()
    const req = new HttpRequest(exchange)
    assert.equal(req.ip, '1.1.1.1')
    const next = exchange.successor()
    assert.deepEqual([addressOfClient(next), hostOfClient(next)], ['1.1.1.1', 'own:81'])
    exchange.release()
    for (const read of [() => req.ip, () => req.host, () => req.protocol]) assert.throws(read, isCode('NPP_ALREADY_ANSWERED'))
    req.become(exchange.ended())
    for (const read of [() => req.ip, () => req.host, () => req.protocol]) assert.throws(read, isCode('NPP_ALREADY_ANSWERED'))
  })
})
