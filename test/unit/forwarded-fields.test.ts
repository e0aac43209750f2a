import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addressOfNode, hopsOfForwarded, hopsOfXForwarded, type Hop } from '../../app/http/forwarded-fields.ts'

/** [rule, the field, node, protocol and host of each hop, the nearest proxy's first]. */
const FORWARDED: readonly (readonly [string, string | undefined, readonly (readonly [string, string, string])[]])[] = [
  ['no field', undefined, []],
  ['an empty field', '', []],
  ['RFC 7239 §4: one pair', 'for=192.0.2.43', [['192.0.2.43', '', '']]],
  ['§4: names in any case', 'For="192.0.2.43";PROTO=http;hOst=a', [['192.0.2.43', 'http', 'a']]],
  ['§4: several pairs, one unknown', 'for=192.0.2.60;proto=http;by=203.0.113.43;secret=x', [['192.0.2.60', 'http', '']]],
  [
    '§4: several elements',
    'for=192.0.2.43, for=198.51.100.17;proto=https',
    [
      ['198.51.100.17', 'https', ''],
      ['192.0.2.43', '', ''],
    ],
  ],
  ['§6: IPv6 with a port', 'for="[2001:db8:cafe::17]:4711"', [['[2001:db8:cafe::17]:4711', '', '']]],
  [
    '§6.2, §6.3: unknown and hidden ones',
    'for=unknown, for=_hidden',
    [
      ['_hidden', '', ''],
      ['unknown', '', ''],
    ],
  ],
  ['escapes in a string', String.raw`for="a\"b\\c"`, [[String.raw`a"b\c`, '', '']]],
  ['a comma and a semicolon in a string', 'for=1.1.1.1;host="a, for=6.6.6.6;proto=https"', [['1.1.1.1', '', 'a, for=6.6.6.6;proto=https']]],
  ['an escaped quote before a comma in a string', String.raw`for=1.1.1.1;host="a\", for=6.6.6.6"`, [['1.1.1.1', '', 'a", for=6.6.6.6']]],
  [
    'spaces and tabs around elements and pairs',
    ' for=a \t;\tproto=http ,\tfor=b ',
    [
      ['b', '', ''],
      ['a', 'http', ''],
    ],
  ],
  [
    'RFC 9110 §5.6.1.2: empty elements',
    ',for=a,, ,for=b,',
    [
      ['b', '', ''],
      ['a', '', ''],
    ],
  ],
  ['the last of a pair that stands twice', 'for=a;for=b', [['b', '', '']]],
  ['a malformed element ends it', 'for=a, for, for=b', [['b', '', '']]],
  ['IPv6 without a string', 'for=a, for=[::1], for=b', [['b', '', '']]],
  ['a space around the equals sign', 'for = a, for=b', [['b', '', '']]],
  ['a malformed element at the end leaves nothing', 'for=a, for=', []],
  ['a quote that a client has left open takes nothing from its proxy', 'for="6.6.6.6, for=b', [['b', '', '']]],
  ['nor with strings behind it', 'for="6.6.6.6, for="[::1]";host="h"', [['[::1]', '', 'h']]],
]

describe('hops of Forwarded:', () => {
  for (const [rule, field, expected] of FORWARDED) it(rule, () => assert.deepEqual(tuples(hopsOfForwarded(field)), expected))

  it('are read in reasonable time, whatever a client sends', () => {
    for (const part of [',', 'a="', ',a="', 'a=b;', 'for="\\', ' , ', ';']) tuples(hopsOfForwarded(part.repeat(16_384 / part.length)))
  })
})

function tuples(hops: Iterable<Hop>): [string, string, string][] {
  return Array.from(hops, ({ node, protocol, host }) => [node, protocol, host])
}

/** [rule, X-Forwarded-For, -Proto, -Host, the hops]. */
const X_FORWARDED: readonly (readonly [
  string,
  string | undefined,
  string | undefined,
  string | undefined,
  readonly (readonly [string, string, string])[],
])[] = [
  ['no field', undefined, undefined, undefined, [['', '', '']]],
  ['one of each', '1.1.1.1', 'https', 'a', [['1.1.1.1', 'https', 'a']]],
  [
    'several, from the right',
    '3.3.3.3,2.2.2.2 , 1.1.1.1',
    undefined,
    undefined,
    [
      ['1.1.1.1', '', ''],
      ['2.2.2.2', '', ''],
      ['3.3.3.3', '', ''],
    ],
  ],
  [
    'several of each, in step',
    'b, a',
    'https, http',
    'h2, h1',
    [
      ['a', 'http', 'h1'],
      ['b', 'https', 'h2'],
    ],
  ],
  [
    'one that was replaced speaks for all',
    'b, a',
    'https',
    'h',
    [
      ['a', 'https', 'h'],
      ['b', 'https', 'h'],
    ],
  ],
  ['more than there are addresses: those at the right', 'a', 'https, http', undefined, [['a', 'http', '']]],
  ['no address', undefined, 'https, http', 'h', [['', 'http', 'h']]],
  [
    'empty elements are elements',
    'b,,a',
    undefined,
    undefined,
    [
      ['a', '', ''],
      ['', '', ''],
      ['b', '', ''],
    ],
  ],
]

describe('hops of X-Forwarded-For and its like:', () => {
  for (const [rule, nodes, protocols, hosts, expected] of X_FORWARDED)
    it(rule, () => assert.deepEqual(tuples(hopsOfXForwarded({ nodes, protocols, hosts })), expected))
})

const NODES: readonly (readonly [string, string])[] = [
  ['192.0.2.1', '192.0.2.1'],
  ['192.0.2.1:80', '192.0.2.1'],
  ['192.0.2.1:_port', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[2001:db8::1]:65535', '2001:db8::1'],
  ['unknown', 'unknown'],
  ['_hidden', '_hidden'],
  ['192.0.2.1:', '192.0.2.1:'],
  ['192.0.2.1:123456', '192.0.2.1:123456'],
  ['[::1', '[::1'],
  ['', ''],
]

describe('the address of a node', () => {
  for (const [node, expected] of NODES) it(JSON.stringify(node), () => assert.equal(addressOfNode(node), expected))
})
