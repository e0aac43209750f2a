import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import {
  CONFIG_KEYS,
  describeSetting,
  environmentNameOf,
  flagNameOf,
  loadConfig,
  type Config,
  type ConfigKey,
} from '../../shared/config.ts'
import { NppError } from '../../shared/errors.ts'

interface Given {
  readonly file?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly flags?: readonly (readonly [string, string])[]
}

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'npp-config-'))
  context.after(() => rmSync(path, { recursive: true }))
  return path
}

function load(
  context: TestContext,
  { file, environment = {}, flags = [] }: Given,
): { readonly config: Config; readonly siteFolder: string } {
  const siteFolder = folder(context)
  if (file !== undefined) writeFileSync(join(siteFolder, 'npp.conf'), file)
  return { config: loadConfig({ siteFolder, environment, flags }), siteFolder }
}

/** The lines of the message of NPP_CONFIG, the folder taken out. */
function faultsOf(context: TestContext, { file, environment = {}, flags = [] }: Given): string[] {
  const siteFolder = folder(context)
  if (file !== undefined) writeFileSync(join(siteFolder, 'npp.conf'), file)
  try {
    loadConfig({ siteFolder, environment, flags })
  } catch (error) {
    if (!(error instanceof NppError)) throw error
    assert.equal(error.code, 'NPP_CONFIG')
    assert.equal(error.exitCode, 78)
    return error.message.replaceAll(`${siteFolder}/`, '').split('\n').slice(1)
  }
  return []
}

const NAMES: readonly (readonly [ConfigKey, string, string])[] = [
  ['httpPort', 'NPP_HTTP_PORT', '--http-port'],
  ['logLevel', 'NPP_LOG_LEVEL', '--log-level'],
  ['ASYNCId', 'NPP_ASYNC_ID', '--async-id'],
  ['ASYNCSvcProcesses', 'NPP_ASYNC_SVC_PROCESSES', '--async-svc-processes'],
  ['ASYNCDefTimeout', 'NPP_ASYNC_DEF_TIMEOUT', '--async-def-timeout'],
  ['maxBodyBytes', 'NPP_MAX_BODY_BYTES', '--max-body-bytes'],
]

describe('the names of a key', () => {
  for (const [key, environment, flag] of NAMES)
    it(key, () => assert.deepEqual([environmentNameOf(key), flagNameOf(key)], [environment, flag]))

  it('are different for all keys', () => {
    assert.equal(new Set(CONFIG_KEYS.map(environmentNameOf)).size, CONFIG_KEYS.length)
    assert.equal(new Set(CONFIG_KEYS.map(flagNameOf)).size, CONFIG_KEYS.length)
  })
})

/** [key, texts and the values they stand for, texts that are refused]. */
const KINDS: readonly (readonly [ConfigKey, readonly (readonly [string, Config[ConfigKey]])[], readonly string[]])[] = [
  [
    'httpPort',
    [
      ['0', 0],
      ['80', 80],
      ['65535', 65_535],
    ],
    ['', '-1', '65536', '80a', '0x50', '8.5', '1e3', ' ', '８０', 'http'],
  ],
  [
    'httpAddress',
    [
      ['127.0.0.1', ['127.0.0.1']],
      ['::', ['::']],
      ['fe80::1%eth0', ['fe80::1%eth0']],
      ['localhost', ['localhost']],
      ['127.0.0.1, ::1,a-b.example', ['127.0.0.1', '::1', 'a-b.example']],
    ],
    ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', ':::', '[::1]', 'a b', '127.0.0.1,', ',', '-a', 'a..b'],
  ],
  [
    'httpsPort',
    [
      ['0', 0],
      ['443', 443],
    ],
    ['', '-1', '65536'],
  ],
  ['certFile', [['tls/cert.pem', 'tls/cert.pem']], ['']],
  ['certChainFile', [['/etc/chain.pem', '/etc/chain.pem']], ['']],
  ['keyFile', [['key.pem', 'key.pem']], ['']],
  [
    'httpSocket',
    [
      ['/run/npp.sock', '/run/npp.sock'],
      ['/a b', '/a b'],
    ],
    ['', 'npp.sock', './npp.sock'],
  ],
  [
    'httpSocketMode',
    [
      ['0660', '0660'],
      ['600', '600'],
    ],
    ['', '8', '0o660', '1777', '66', '0999', 'rw'],
  ],
  [
    'logLevel',
    [
      ['none', 'none'],
      ['error', 'error'],
      ['warn', 'warn'],
      ['info', 'info'],
      ['debug', 'debug'],
      ['0', 'none'],
      ['1', 'error'],
      ['2', 'warn'],
      ['3', 'info'],
      ['4', 'debug'],
    ],
    ['', '5', '-1', 'INFO', 'trace', '1.0', 'silent'],
  ],
  [
    'accessLog',
    [
      ['0', false],
      ['1', true],
    ],
    ['', 'true', 'yes', '2', '01'],
  ],
  [
    'ASYNCId',
    [
      ['a', 'a'],
      ['A-b_c.9', 'A-b_c.9'],
      ['x'.repeat(64), 'x'.repeat(64)],
    ],
    ['', '.a', 'a/b', 'a b', 'ü', 'x'.repeat(65), '..'],
  ],
  [
    'ASYNCSvcProcesses',
    [
      ['0', 0],
      ['64', 64],
    ],
    ['', '-1', '65', 'many'],
  ],
  [
    'ASYNCDefTimeout',
    [
      ['0.001', 0.001],
      ['60', 60],
      ['2.5', 2.5],
      ['1800', 1800],
    ],
    ['', '0', '1800.1', '-1', '1s', '.5', '1.', 'Infinity', 'NaN'],
  ],
  [
    'svcHangMs',
    [
      ['0', 0],
      ['86400000', 86_400_000],
    ],
    ['86400001', '-1', '1.5'],
  ],
  [
    'maxBacklog',
    [
      ['0', 0],
      ['1000000', 1_000_000],
    ],
    ['1000001', '-1'],
  ],
  [
    'ASYNCSvcConcurrency',
    [
      ['1', 1],
      ['64', 64],
    ],
    ['0', '65', '-1'],
  ],
  [
    'maxBacklogBytes',
    [
      ['0', 0],
      ['1073741824', 1_073_741_824],
    ],
    ['1073741825', '-1', '64M'],
  ],
  [
    'maxPerService',
    [
      ['1', 1],
      ['100', 100],
    ],
    ['0', '101', '50%'],
  ],
  [
    'maxCallBytes',
    [
      ['0', 0],
      ['1073741824', 1_073_741_824],
    ],
    ['1073741825', '64M', '-1'],
  ],
  [
    'maxBodyBytes',
    [
      ['0', 0],
      ['1073741824', 1_073_741_824],
    ],
    ['1073741825', '1M', '-1'],
  ],
  [
    'headerTimeout',
    [
      ['0.5', 0.5],
      ['3600', 3600],
    ],
    ['0', '3601'],
  ],
  [
    'maxTargetBytes',
    [
      ['64', 64],
      ['65536', 65_536],
    ],
    ['63', '65537', '8k'],
  ],
  [
    'maxHeaderBytes',
    [
      ['1024', 1024],
      ['1048576', 1_048_576],
    ],
    ['1023', '1048577'],
  ],
  [
    'maxHeaderFields',
    [
      ['8', 8],
      ['1000', 1000],
    ],
    ['7', '1001'],
  ],
  [
    'minBodyRate',
    [
      ['0', 0],
      ['1000000', 1_000_000],
    ],
    ['1000001', '-1', '0.5'],
  ],
  [
    'minSendRate',
    [
      ['0', 0],
      ['1000000', 1_000_000],
    ],
    ['1000001', '-1', '0.5'],
  ],
  [
    'bodyTimeout',
    [
      ['0.5', 0.5],
      ['3600', 3600],
    ],
    ['0', '3601'],
  ],
  [
    'keepAliveTimeout',
    [
      ['0.5', 0.5],
      ['86400', 86_400],
    ],
    ['0', '86401'],
  ],
  [
    'handlerTimeout',
    [
      ['0.5', 0.5],
      ['3600', 3600],
    ],
    ['0', '3601'],
  ],
  [
    'transport',
    [
      ['native', 'native'],
      ['node', 'node'],
    ],
    ['', 'net', 'Native'],
  ],
  [
    'polling',
    [
      ['epoll', 'epoll'],
      ['poll', 'poll'],
      ['select', 'select'],
    ],
    ['kqueue', '0'],
  ],
  [
    'maxConnections',
    [
      ['1', 1],
      ['1000000', 1_000_000],
    ],
    ['0', '1000001', '-1', '1.5'],
  ],
  [
    'maxBufferedPerConnection',
    [
      ['65536', 65_536],
      ['1073741824', 1_073_741_824],
    ],
    ['65535', '1073741825', '1M', '-1'],
  ],
  [
    'writeTimeout',
    [
      ['0.5', 0.5],
      ['3600', 3600],
    ],
    ['0', '3601'],
  ],
  [
    'drainTimeout',
    [
      ['0', 0],
      ['10', 10],
    ],
    ['10.1', '11', '-1'],
  ],
  ['nosniff', [['0', false]], ['', 'nosniff', 'true']],
  [
    'frameOptions',
    [
      ['DENY', 'DENY'],
      ['SAMEORIGIN', 'SAMEORIGIN'],
      ['none', 'none'],
    ],
    ['', 'deny', 'ALLOW-FROM https://a', 'SAMEORIGIN, DENY'],
  ],
  [
    'hstsMaxAge',
    [
      ['0', 0],
      ['63072000', 63_072_000],
    ],
    ['63072001', '-1', '1y'],
  ],
  ['hstsIncludeSubDomains', [['1', true]], ['', 'yes']],
  [
    'contentSecurityPolicy',
    [
      ["default-src 'self'; img-src *", "default-src 'self'; img-src *"],
      ['y'.repeat(2048), 'y'.repeat(2048)],
    ],
    ['', 'a\tb', "default-src 'self' ü", 'a\u007f', 'x'.repeat(2049)],
  ],
  [
    'referrerPolicy',
    [
      ['no-referrer', 'no-referrer'],
      ['strict-origin-when-cross-origin', 'strict-origin-when-cross-origin'],
    ],
    ['', 'none', 'No-Referrer', 'origin, no-referrer'],
  ],
  [
    'trustedProxies',
    [
      ['127.0.0.1', ['127.0.0.1']],
      ['10.0.0.0/8, fd00::/8,unix', ['10.0.0.0/8', 'fd00::/8', 'unix']],
      ['0.0.0.0/0', ['0.0.0.0/0']],
      ['::/128', ['::/128']],
    ],
    [
      '',
      'localhost',
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/',
      '10/8',
      '10.0.0.0/8/8',
      '10.0.0.0/-1',
      'Unix',
      '127.0.0.1,',
      'fe80::1%eth0',
      '*',
    ],
  ],
  [
    'proxyFields',
    [
      ['forwarded', 'forwarded'],
      ['x-forwarded', 'x-forwarded'],
    ],
    ['', 'both', 'Forwarded'],
  ],
]

describe('the key', () => {
  for (const [key, good, bad] of KINDS) {
    it(`${key} takes ${good.map(([text]) => text.slice(0, 20)).join(', ')} from any place`, (context) => {
      for (const [text, value] of good) {
        assert.deepEqual(load(context, { file: `${key} = ${text}` }).config[key], value)
        assert.deepEqual(load(context, { environment: { [environmentNameOf(key)]: text } }).config[key], value)
        assert.deepEqual(load(context, { flags: [[flagNameOf(key), text]] }).config[key], value)
      }
    })

    it(`${key} refuses ${JSON.stringify(bad.map((text) => text.slice(0, 20)))} in any place, and says what is allowed`, (context) => {
      for (const text of bad) {
        const { allowed } = describeSetting(key)
        const shown = text.trim()
        assert.deepEqual(faultsOf(context, { file: `${key} = ${text}` }), [`  npp.conf:1: ${key} = ${shown}: allowed: ${allowed}`])
        const variable = environmentNameOf(key)
        assert.deepEqual(faultsOf(context, { environment: { [variable]: text } }), [
          `  environment: ${variable} = ${shown}: allowed: ${allowed}`,
        ])
        const flag = flagNameOf(key)
        assert.deepEqual(faultsOf(context, { flags: [[flag, text]] }), [`  command line: ${flag} = ${text}: allowed: ${allowed}`])
      }
    })
  }

  it('has its kinds in this table', () => assert.deepEqual(KINDS.map(([key]) => key).toSorted(), CONFIG_KEYS.toSorted()))
})

describe('the configuration', () => {
  it('is made of the defaults where nobody says otherwise', (context) => {
    const { config } = load(context, {})
    for (const key of CONFIG_KEYS) {
      const value = config[key]
      assert.equal(typeof value === 'boolean' ? (value ? '1' : '0') : String(value ?? ''), describeSetting(key).initial)
    }
    assert.equal(config.httpPort, 8080)
  })

  it('is of the file over the defaults, of the environment over the file, of the flags over the environment', (context) => {
    const file = 'httpPort = 1\nmaxBacklog = 1\nlogLevel = error\n'
    const environment = { NPP_HTTP_PORT: '2', NPP_MAX_BACKLOG: '2' }
    const { config } = load(context, { file, environment, flags: [['--http-port', '3']] })
    assert.deepEqual([config.httpPort, config.maxBacklog, config.logLevel, config.maxBodyBytes], [3, 2, 'error', 1_048_576])
  })

  it('takes a value that equals nothing: false, and 0', (context) => {
    const { config } = load(context, { file: 'accessLog = 0\nASYNCSvcProcesses = 0\n' })
    assert.deepEqual([config.accessLog, config.ASYNCSvcProcesses], [false, 0])
  })

  it('takes comments, empty lines, spaces and CR LF in the file', (context) => {
    const file =
      '# a comment\r\n\r\n  httpPort=1   # inline\r\n\tmaxBacklog \t=\t 2\r\nASYNCId = a#b\t# c\r\n#logLevel = wrong\r\n   # = \r\n'
    const { config } = load(context, { file: file.replace('a#b', 'ab') })
    assert.deepEqual([config.httpPort, config.maxBacklog, config.ASYNCId, config.logLevel], [1, 2, 'ab', 'info'])
    // Only a # after a space begins a comment.
    assert.match(faultsOf(context, { file })[0] ?? '', /npp\.conf:5: ASYNCId = a#b: allowed/)
  })

  it('looks at no variable of another program', (context) => {
    assert.equal(load(context, { environment: { HTTP_PORT: 'x', npp_http_port: 'x', XNPP_HTTP_PORT: 'x' } }).config.httpPort, 8080)
  })

  it('takes the last of a flag that is given twice', (context) => {
    assert.equal(
      load(context, {
        flags: [
          ['--http-port', '1'],
          ['--http-port', '2'],
        ],
      }).config.httpPort,
      2,
    )
  })

  it('reads the file that is named instead of npp.conf, and wants it to be there', (context) => {
    const siteFolder = folder(context)
    writeFileSync(join(siteFolder, 'npp.conf'), 'httpPort = 1')
    const file = join(siteFolder, 'other.conf')
    const sources = { siteFolder, file, environment: {}, flags: [] }
    assert.throws(() => loadConfig(sources), /other\.conf: cannot be read: ENOENT/)
    writeFileSync(file, 'maxBacklog = 2')
    assert.deepEqual([loadConfig(sources).httpPort, loadConfig(sources).maxBacklog], [8080, 2])
  })

  it('says so when npp.conf cannot be read', (context) => {
    const siteFolder = folder(context)
    assert.throws(() => loadConfig({ siteFolder, file: siteFolder, environment: {}, flags: [] }), /cannot be read: EISDIR/)
  })
})

describe('the faults of a configuration', () => {
  it('are listed all at once, each with its place', (context) => {
    const file = 'httpPort = 99999\nhttpport = 1\nno line\n= 1\nlogLevel =\nmaxBacklog = 1\nmaxBacklog = 2\n'
    const environment = { NPP_ASYNC_DEF_TIMEOUT: 'x', NPP_NOTHING: '1' }
    const flags: [string, string][] = [
      ['--drain-timeout', '11'],
      ['--nothing', '1'],
    ]
    const faults = faultsOf(context, { file, environment, flags })
    const places = faults.map((fault) => fault.slice(2).split(/[:;] allowed/)[0] ?? '')
    assert.deepEqual(places.toSorted(), [
      'command line: --drain-timeout = 11',
      'command line: --nothing = 1: unknown key',
      'environment: NPP_ASYNC_DEF_TIMEOUT = x',
      'environment: NPP_NOTHING = 1: unknown key',
      'npp.conf:1: httpPort = 99999',
      'npp.conf:2: httpport = 1: unknown key',
      'npp.conf:3: no line',
      'npp.conf:4: = 1',
      'npp.conf:5: logLevel = ',
      'npp.conf:7: maxBacklog = 2: stands in line 6 already',
    ])
  })

  it('name the keys that are allowed, as they are written in that place', (context) => {
    const [file = '', environment = '', flag = ''] = faultsOf(context, {
      file: 'x = 1',
      environment: { NPP_X: '1' },
      flags: [['--x', '1']],
    })
    assert.ok(file.endsWith(`unknown key; allowed: ${CONFIG_KEYS.join(', ')}`))
    assert.ok(environment.endsWith(`unknown key; allowed: ${CONFIG_KEYS.map(environmentNameOf).join(', ')}`))
    assert.ok(flag.endsWith(`unknown key; allowed: ${CONFIG_KEYS.map(flagNameOf).join(', ')}`))
  })

  it('count no name of objects as a key', (context) => {
    assert.equal(faultsOf(context, { file: '__proto__ = 1\nconstructor = 1\ntoString = 1' }).length, 3)
  })

  it('are faults even where a place of a higher rank overrides them', (context) => {
    assert.equal(faultsOf(context, { file: 'httpPort = x', flags: [['--http-port', '1']] }).length, 1)
  })
})
