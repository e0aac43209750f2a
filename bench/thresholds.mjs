const cpuRatio = (one, other) => one.cpuMicros / other.cpuMicros

function against(server, scenario, limit, relation = '<=', contender = 'npp') {
  return {
    what: `${scenario}: CPU of ${contender} / ${server}`,
    of: [
      [scenario, contender],
      [scenario, server],
    ],
    value: cpuRatio,
    relation,
    limit,
    unit: '',
  }
}

function ofOne(scenario, what, value, relation, limit, unit = '') {
  return { what: `${scenario}: ${what}`, of: [[scenario, 'npp']], value, relation, limit, unit }
}

function ofCalls(scenario, what, competitor, value, relation, limit, unit = '') {
  return { what: `${scenario}: ${what}, ${competitor}`, of: [[scenario, competitor]], value, relation, limit, unit }
}

function whileIdle(scenario) {
  return [
    ofOne(scenario, 'RSS of an idle connection', ({ bytesEach }) => bytesEach, '<=', 600, 'bytes'),
    ofOne(scenario, 'p99 of busy ones, with idle / without', ({ p99Ratio }) => p99Ratio, '<=', 1.2),
  ]
}

function parserOf(client) {
  const scenario = `parser-${client}`
  return {
    what: `${scenario}: npp / llhttp`,
    of: [
      [scenario, 'npp'],
      [scenario, 'llhttp'],
    ],
    value: (one, other) => one.nanos / other.nanos,
    relation: '<',
    limit: 1,
    unit: '',
  }
}

/**
 * What npp has to reach. Each figure is of one run; `of` names the results (scenario, server) that `value` is computed from. One with `or` is met
 * when either of both is, and one without a limit is there for comparison.
 */
export const thresholds = [
  against('floor', 'hello', 1.1),
  against('bun', 'hello', 1, '<'),
  against('node-http', 'hello', 0.55),
  against('floor', 'headers', 1.3),
  against('floor', 'many', 1.15),
  against('floor', 'huge', 1.15),
  {
    what: 'pipeline: requests/s of npp / node-http',
    of: [
      ['pipeline', 'npp'],
      ['pipeline', 'node-http'],
    ],
    value: (one, other) => one.requestsPerSecond / other.requestsPerSecond,
    relation: '>=',
    limit: 4,
    unit: '',
  },
  against('node-http', 'page', 1, '<', 'npp-template'),
  against('bun', 'page', 1, '<', 'npp-template'),
  {
    what: 'log: CPU of the access log',
    of: [
      ['log', 'npp-log'],
      ['log', 'npp'],
    ],
    value: (one, other) => one.cpuMicros - other.cpuMicros,
    relation: '<=',
    limit: 0.5,
    unit: 'µs',
  },
  ...whileIdle('idle-10000'),
  ...whileIdle('idle-50000'),
  ...['wrk', 'curl', 'chrome'].map(parserOf),
  ofCalls('call-echo', 'round trips/s', 'coalesced, 256 in flight', ({ 'round trips/s': value }) => value, '>=', 600_000),
  ofCalls('call-echo', 'round trips/s', 'raw, 64 in flight', ({ 'round trips/s': value }) => value, '>=', 200_000),
  {
    what: 'call-echo: round trips/s, raw / the same in C',
    of: [
      ['call-echo', 'raw, 64 in flight'],
      ['call-echo', 'C, raw, 64 in flight'],
    ],
    value: (own, its) => own['round trips/s'] / its['round trips/s'],
    unit: '',
  },
  ...['piscina', 'process.send, json', 'process.send, advanced', 'posix-mq'].flatMap((name) =>
    ['single', 'coalesced'].map((way) => ({
      what: `call-echo: round trips/s, ${way} / ${name}`,
      of: [
        ['call-echo', `${way}, 64 in flight`],
        ['call-echo', `${name}, 64 in flight`],
      ],
      value: (own, its) => own['round trips/s'] / its['round trips/s'],
      unit: '',
    })),
  ),
  {
    ...ofCalls('call-http', 'CPU', '/async/hello, 64 connections', ({ 'CPU µs/request': value }) => value, '<=', 12, 'µs'),
    or: { value: ({ 'requests/s': value }) => value, relation: '>=', limit: 85_000, unit: 'requests/s' },
  },
  {
    what: 'call-http: requests/s at 256 / at 64 connections',
    of: [
      ['call-http', '/async/hello, 256 connections'],
      ['call-http', '/async/hello, 64 connections'],
    ],
    value: (many, few) => many['requests/s'] / few['requests/s'],
    relation: '>=',
    limit: 1,
    unit: '',
  },
  {
    what: 'call-http: CPU of npp / node:http + piscina',
    of: [
      ['call-http', '/async/hello, 64 connections'],
      ['call-http', 'node:http + piscina, 64 connections'],
    ],
    value: (own, its) => own['CPU µs/request'] / its['CPU µs/request'],
    unit: '',
  },
  {
    what: "call-single: p50 above /hello's",
    of: [
      ['call-single', '/async/hello'],
      ['call-single', '/hello'],
    ],
    value: (call, plain) => call['p50 µs'] - plain['p50 µs'],
    relation: '<=',
    limit: 60,
    unit: 'µs',
  },
  ofCalls('call-idle', 'CPU', '100 calls pending', ({ 'CPU %': value }) => value, '<', 1, '%'),
  ...['at full load', 'at 6,400 requests/s'].map((load) =>
    ofCalls('call-busy', '/hello p99, services busy / idle', load, ({ 'busy / idle': value }) => value, '<=', 1.5),
  ),
  ...['one after the other, one core', '4 in flight, one core'].map((way) =>
    ofCalls('call-large', '1 MiB replies', way, ({ 'MB/s': value }) => value, '>=', 500, 'MB/s'),
  ),
  {
    what: 'call-two: requests/s of two services / of one',
    of: [
      ['call-two', '2 service(s)'],
      ['call-two', '1 service(s)'],
    ],
    value: (two, one) => two['requests/s'] / one['requests/s'],
    relation: '>=',
    limit: 1.9,
    unit: '',
  },
  ofOne('heap', 'allocated', ({ allocated }) => allocated, '<=', 64, 'bytes a request'),
  ofOne('heap', 'retained', ({ retained }) => retained, '<=', 64, 'bytes a request'),
  ofOne('heap', 'major collections in 1,000,000 requests', ({ majors }) => majors, '<=', 0),
]
