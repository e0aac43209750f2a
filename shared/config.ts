import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { NppError, errnoOf, messageOf } from './errors.ts'

/** Levels as people write them, quietest first: the index is the number that Node++ uses. */
export const LOG_LEVELS = ['none', 'error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How bytes come and go: npp's own socket layer, or node:net. */
const TRANSPORTS = ['node', 'native'] as const
/** How the native one finds out which sockets are ready. */
const POLLINGS = ['epoll', 'poll', 'select'] as const

/** RFC 7034 §2.1, and no field at all. */
const FRAME_OPTIONS = ['SAMEORIGIN', 'DENY', 'none'] as const
/** Referrer Policy §3. */
const REFERRER_POLICIES = [
  'no-referrer',
  'no-referrer-when-downgrade',
  'same-origin',
  'origin',
  'strict-origin',
  'origin-when-cross-origin',
  'strict-origin-when-cross-origin',
  'unsafe-url',
] as const
/** The fields by which proxies say who asks. */
const PROXY_FIELDS = ['x-forwarded', 'forwarded'] as const
/** The word for proxies that come by the Unix socket. */
const UNIX_PEERS = 'unix'

/** The configuration of one instance. Times are in seconds, as in Node++, and may have decimals, where their names do not say otherwise. */
export interface Config {
  readonly httpPort: number
  readonly httpAddress: readonly string[]
  /** Undefined without HTTPS. */
  readonly httpsPort: number | undefined
  readonly certFile: string
  readonly certChainFile: string
  readonly keyFile: string
  readonly httpSocket: string
  /** In octal digits. */
  readonly httpSocketMode: string
  readonly transport: (typeof TRANSPORTS)[number]
  readonly polling: (typeof POLLINGS)[number]
  readonly maxConnections: number
  readonly maxBufferedPerConnection: number
  readonly logLevel: LogLevel
  readonly accessLog: boolean
  readonly ASYNCId: string
  readonly ASYNCSvcProcesses: number
  readonly ASYNCSvcConcurrency: number
  readonly ASYNCDefTimeout: number
  /** Milliseconds; 0 for never. */
  readonly svcHangMs: number
  readonly maxBacklog: number
  readonly maxBacklogBytes: number
  readonly maxPerService: number
  readonly maxCallBytes: number
  readonly maxTargetBytes: number
  readonly maxHeaderBytes: number
  readonly maxHeaderFields: number
  readonly maxBodyBytes: number
  readonly headerTimeout: number
  readonly bodyTimeout: number
  readonly minBodyRate: number
  readonly keepAliveTimeout: number
  readonly writeTimeout: number
  readonly minSendRate: number
  readonly handlerTimeout: number
  readonly drainTimeout: number
  readonly nosniff: boolean
  readonly frameOptions: (typeof FRAME_OPTIONS)[number]
  /** Seconds; 0 sends no Strict-Transport-Security. */
  readonly hstsMaxAge: number
  readonly hstsIncludeSubDomains: boolean
  /** '' for none. */
  readonly contentSecurityPolicy: string
  /** '' for none. */
  readonly referrerPolicy: '' | (typeof REFERRER_POLICIES)[number]
  /** Addresses, nets as address/bits, and 'unix'. */
  readonly trustedProxies: readonly string[]
  readonly proxyFields: (typeof PROXY_FIELDS)[number]
}

export type ConfigKey = keyof Config

interface Kind<T> {
  /** What is allowed, to finish the sentence "allowed: …". */
  readonly allowed: string
  /** The value, or undefined when the text is not one. */
  readonly parse: (text: string) => T | undefined
}

interface Setting<T> extends Kind<T> {
  readonly initial: T
  readonly about: string
}

function whole(from: number, to: number, unit: string): Kind<number> {
  return {
    allowed: `a whole number from ${from} to ${to}${unit === '' ? '' : ` (${unit})`}`,
    parse: (text) => (/^\d{1,15}$/.test(text) && Number(text) >= from && Number(text) <= to ? Number(text) : undefined),
  }
}

function seconds(from: number, to: number): Kind<number> {
  return {
    allowed: `seconds from ${from} to ${to}, decimals allowed`,
    parse: (text) => (/^\d{1,9}(\.\d{1,6})?$/.test(text) && Number(text) >= from && Number(text) <= to ? Number(text) : undefined),
  }
}

const level: Kind<LogLevel> = {
  allowed: `${LOG_LEVELS.join(', ')}, or 0 to 4`,
  parse: (text) => LOG_LEVELS.find((name, index) => name === text || String(index) === text),
}

function oneOf<T extends string>(names: readonly T[]): Kind<T> {
  return { allowed: names.join(', '), parse: (text) => names.find((name) => name === text) }
}

const yesOrNo: Kind<boolean> = {
  allowed: '0 or 1',
  parse: (text) => (text === '1' ? true : text === '0' ? false : undefined),
}

const instanceId: Kind<string> = {
  allowed: '1 to 64 of the characters a-z A-Z 0-9 . _ -, not beginning with a dot',
  parse: (text) => (/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(text) ? text : undefined),
}

/** RFC 1123 §2.1; a last label of digits alone would be a mistyped address. */
const HOST_NAME = /^(?!.*(?:^|\.)\d+$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/

const addresses: Kind<readonly string[]> = {
  allowed: 'addresses or names of this machine with commas between them, for example 127.0.0.1, ::1',
  parse: (text) => {
    const list = text.split(',').map((word) => word.trim())
    return list.every((word) => isIP(word) !== 0 || HOST_NAME.test(word)) ? list : undefined
  },
}

const absolutePath: Kind<string> = {
  allowed: 'an absolute path',
  parse: (text) => (text.startsWith('/') && !text.includes('\0') ? text : undefined),
}

const path: Kind<string> = { allowed: 'a path', parse: (text) => (text === '' || text.includes('\0') ? undefined : text) }

const fileMode: Kind<string> = {
  allowed: 'three octal digits, with or without a 0 before them',
  parse: (text) => (/^0?[0-7]{3}$/.test(text) ? text : undefined),
}

/** Characters of a policy: what a connection above maxConnections is told has to fit into 4 KiB with it. */
const LONGEST_POLICY = 2048

const policy: Kind<string> = {
  allowed: `visible ASCII and spaces, ${LONGEST_POLICY} characters at the most`,
  parse: (text) => (text.length <= LONGEST_POLICY && /^[\x20-\x7e]+$/.test(text) ? text : undefined),
}

const peers: Kind<readonly string[]> = {
  allowed: `addresses, nets such as 10.0.0.0/8 or fd00::/8, and the word ${UNIX_PEERS}, with commas between them`,
  parse: (text) => {
    const list = text.split(',').map((word) => word.trim())
    return list.every((word) => word === UNIX_PEERS || isAddressOrNet(word)) ? list : undefined
  },
}

function isAddressOrNet(word: string): boolean {
  const [address = '', bits, ...rest] = word.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

type Settings = { readonly [K in ConfigKey]: Setting<Config[K]> }

const SETTINGS: Settings = {
  httpPort: { ...whole(0, 65535, '0 picks a free one'), initial: 8080, about: 'Port of HTTP.' },
  httpAddress: {
    ...addresses,
    initial: [],
    about: 'Addresses to listen on; without them :: , or 0.0.0.0 where there is no IPv6, or httpSocket alone.',
  },
  httpsPort: {
    ...whole(0, 65535, '0 picks a free one'),
    initial: undefined,
    about: 'Port of HTTPS, on the same addresses; without it there is none. It takes maxConnections connections of its own.',
  },
  certFile: { ...path, initial: '', about: "PEM file of the certificate, seen from the site's folder." },
  certChainFile: {
    ...path,
    initial: '',
    about: 'PEM file of the certificates between that one and its authority, where certFile holds it alone.',
  },
  keyFile: { ...path, initial: '', about: 'PEM file of the private key, without a passphrase.' },
  httpSocket: { ...absolutePath, initial: '', about: 'Unix socket to listen on, beside the addresses of httpAddress.' },
  httpSocketMode: { ...fileMode, initial: '0660', about: 'Mode of the socket file: who may connect needs to write to it.' },
  transport: { ...oneOf(TRANSPORTS), initial: 'native', about: "Socket layer: npp's own, or node:net." },
  polling: {
    ...oneOf(POLLINGS),
    initial: 'epoll',
    about: 'System call by which the native transport waits; select has 1,024 descriptors.',
  },
  maxConnections: { ...whole(1, 1_000_000, 'connections'), initial: 10_000, about: 'Connections at a time; one more is answered 503.' },
  maxBufferedPerConnection: {
    ...whole(65_536, 1_073_741_824, 'bytes'),
    initial: 1_048_576,
    about: 'Small answers that may wait for one client to read them; it is cut off where more would.',
  },
  logLevel: { ...level, initial: 'info', about: 'How much is logged.' },
  accessLog: { ...yesOrNo, initial: true, about: 'A line a request, at level info.' },
  ASYNCId: {
    ...instanceId,
    initial: '',
    about: 'Name of the instance, part of its queue names; without it made of the site folder and the user.',
  },
  ASYNCSvcProcesses: {
    ...whole(0, 64, 'processes'),
    initial: 1,
    about: 'Service processes that npp start runs; 0 under pm2, which runs them itself.',
  },
  ASYNCSvcConcurrency: {
    ...whole(1, 64, 'calls'),
    initial: 1,
    about: 'Calls that a service process runs at a time while they wait for something, where svc does not say it.',
  },
  ASYNCDefTimeout: { ...seconds(0.001, 1800), initial: 60, about: 'Deadline of a call that names none.' },
  svcHangMs: {
    ...whole(0, 86_400_000, 'milliseconds'),
    initial: 10_000,
    about:
      'How long past its deadline a call may block its service process before that is killed and replaced, and keep its place there when it awaits something; 0: as long as it likes.',
  },
  maxBacklog: { ...whole(0, 1_000_000, 'calls'), initial: 10_000, about: 'Calls that may wait for room in the request queue.' },
  // Ten thousand calls of 6 KiB, and no more memory than the smallest machine can spare.
  maxBacklogBytes: {
    ...whole(0, 1_073_741_824, 'bytes'),
    initial: 67_108_864,
    about: 'Bytes of the calls that may wait for room in the request queue.',
  },
  maxPerService: {
    ...whole(1, 100, 'per cent'),
    initial: 50,
    about: 'Share of maxBacklog and maxBacklogBytes that the calls of one service may take, so that others still get in.',
  },
  // What a container gives /dev/shm by default: more would not fit anyway.
  maxCallBytes: {
    ...whole(0, 1_073_741_824, 'bytes'),
    initial: 67_108_864,
    about: 'Size of the input of a call, and of its result, as they travel: above a message through /dev/shm.',
  },
  // RFC 9110 §4.1 wants at least 8,000 octets for a target; nginx and Apache allow 8 KiB a header line, browsers send up to 2 KiB.
  maxTargetBytes: { ...whole(64, 65_536, 'bytes'), initial: 8000, about: 'Length of a request target; a longer one is answered 414.' },
  maxHeaderBytes: {
    ...whole(1024, 1_048_576, 'bytes'),
    initial: 16_384,
    about: 'Start line and fields of a request together; more is answered 431.',
  },
  maxHeaderFields: { ...whole(8, 1000, 'fields'), initial: 100, about: 'Fields of a request; more is answered 431.' },
  maxBodyBytes: {
    ...whole(0, 1_073_741_824, 'bytes'),
    initial: 1_048_576,
    about: 'Size of a request body; a larger one is answered 413. A route may have a limit of its own.',
  },
  headerTimeout: { ...seconds(0.001, 3600), initial: 10, about: 'Time for a request header to arrive, from its first byte.' },
  bodyTimeout: {
    ...seconds(0.001, 3600),
    initial: 20,
    about: 'Time over which the rate of a request body is looked at: again and again until it is complete.',
  },
  minBodyRate: {
    ...whole(0, 1_000_000, 'bytes a second'),
    initial: 500,
    about: 'A body that arrives slower than this, over bodyTimeout, is answered 408.',
  },
  keepAliveTimeout: { ...seconds(0.001, 86_400), initial: 60, about: 'Time a connection may stay idle between requests.' },
  writeTimeout: {
    ...seconds(0.001, 3600),
    initial: 60,
    about: 'Time over which the rate is looked at with which a client takes the answer that waits for it.',
  },
  minSendRate: {
    ...whole(0, 1_000_000, 'bytes a second'),
    initial: 240,
    about: 'A client that takes its answer slower than this, over writeTimeout, is cut off; with 0, one that takes nothing.',
  },
  handlerTimeout: {
    ...seconds(0.001, 3600),
    initial: 75,
    about: 'Time for a handler to answer; above ASYNCDefTimeout, so that it can answer for a late call.',
  },
  drainTimeout: { ...seconds(0, 10), initial: 10, about: 'Time for requests in flight to finish when the engine stops.' },
  nosniff: { ...yesOrNo, initial: true, about: 'X-Content-Type-Options: nosniff on every answer.' },
  frameOptions: { ...oneOf(FRAME_OPTIONS), initial: 'SAMEORIGIN', about: 'X-Frame-Options on every answer; none leaves it out.' },
  // Two years, which browsers ask of the sites that they ship as HTTPS only, are the longest that is of use.
  hstsMaxAge: {
    ...whole(0, 63_072_000, 'seconds'),
    initial: 31_536_000,
    about: 'Strict-Transport-Security on every answer to a client that came by HTTPS; 0 leaves it out.',
  },
  hstsIncludeSubDomains: { ...yesOrNo, initial: false, about: 'includeSubDomains in Strict-Transport-Security.' },
  contentSecurityPolicy: { ...policy, initial: '', about: 'Content-Security-Policy on every answer.' },
  referrerPolicy: { ...oneOf(REFERRER_POLICIES), initial: '', about: 'Referrer-Policy on every answer.' },
  trustedProxies: { ...peers, initial: [], about: 'Peers whose word on the address, protocol and host of a client is taken.' },
  proxyFields: {
    ...oneOf(PROXY_FIELDS),
    initial: 'x-forwarded',
    about: 'Fields that trusted proxies set: X-Forwarded-For, -Proto and -Host, or Forwarded; the others are not looked at.',
  },
}

function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(SETTINGS, name)
}

export const CONFIG_KEYS: readonly ConfigKey[] = Object.keys(SETTINGS).filter(isConfigKey)

/** `ASYNCSvcProcesses` → `ASYNC_SVC_PROCESSES`. */
function upperSnake(key: string): string {
  return key
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase()
}

/** Name of the environment variable of a key: httpPort → NPP_HTTP_PORT. */
export function environmentNameOf(key: ConfigKey): string {
  return `NPP_${upperSnake(key)}`
}

/** Name of the flag of a key: httpPort → --http-port. */
export function flagNameOf(key: ConfigKey): string {
  return `--${upperSnake(key).toLowerCase().replaceAll('_', '-')}`
}

/** What docs/CONFIG.md says of a key; a test compares the two. */
export function describeSetting(key: ConfigKey): { initial: string; allowed: string; about: string } {
  const { initial, allowed, about } = SETTINGS[key]
  return { initial: typeof initial === 'boolean' ? (initial ? '1' : '0') : String(initial ?? ''), allowed, about }
}

export interface ConfigSources {
  /** Folder of the site; its npp.conf is read when there is one. */
  readonly siteFolder: string
  /** A configuration file to read instead, which must exist. */
  readonly file?: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  /** [flag, value] as given on the command line, for example ['--http-port', '9000']. */
  readonly flags: readonly (readonly [string, string])[]
}

interface Entry {
  readonly where: string
  readonly name: string
  readonly key: ConfigKey | undefined
  readonly value: string
  /** Names that may stand in this place: of keys in a file, of variables in the environment, of flags on the command line. */
  readonly allowed: () => string
}

/**
 * Defaults < npp.conf < environment < flags. Throws one NppError NPP_CONFIG that lists every unknown key and every wrong value with the place
 * it stands in and what is allowed there.
 */
export function loadConfig(sources: ConfigSources): Config {
  const faults: string[] = []
  const texts = new Map<ConfigKey, string>()
  const entries = [...fileEntries(sources, faults), ...environmentEntries(sources.environment), ...flagEntries(sources.flags)]
  for (const { where, name, key, value, allowed } of entries) {
    if (key === undefined) faults.push(`${where}: ${name} = ${value}: unknown key; allowed: ${allowed()}`)
    else if (SETTINGS[key].parse(value) === undefined) faults.push(`${where}: ${name} = ${value}: allowed: ${SETTINGS[key].allowed}`)
    else texts.set(key, value)
  }
  if (faults.length > 0) {
    const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`
    throw new NppError('NPP_CONFIG', `the configuration has ${count}:\n  ${faults.join('\n  ')}`)
  }
  const value = <K extends ConfigKey>(key: K): Config[K] => {
    const setting: Setting<Config[K]> = SETTINGS[key]
    const text = texts.get(key)
    return (text === undefined ? undefined : setting.parse(text)) ?? setting.initial
  }
  return {
    httpPort: value('httpPort'),
    httpAddress: value('httpAddress'),
    httpsPort: value('httpsPort'),
    certFile: value('certFile'),
    certChainFile: value('certChainFile'),
    keyFile: value('keyFile'),
    httpSocket: value('httpSocket'),
    httpSocketMode: value('httpSocketMode'),
    transport: value('transport'),
    polling: value('polling'),
    maxConnections: value('maxConnections'),
    maxBufferedPerConnection: value('maxBufferedPerConnection'),
    logLevel: value('logLevel'),
    accessLog: value('accessLog'),
    ASYNCId: value('ASYNCId'),
    ASYNCSvcProcesses: value('ASYNCSvcProcesses'),
    ASYNCSvcConcurrency: value('ASYNCSvcConcurrency'),
    ASYNCDefTimeout: value('ASYNCDefTimeout'),
    svcHangMs: value('svcHangMs'),
    maxBacklog: value('maxBacklog'),
    maxBacklogBytes: value('maxBacklogBytes'),
    maxPerService: value('maxPerService'),
    maxCallBytes: value('maxCallBytes'),
    maxTargetBytes: value('maxTargetBytes'),
    maxHeaderBytes: value('maxHeaderBytes'),
    maxHeaderFields: value('maxHeaderFields'),
    maxBodyBytes: value('maxBodyBytes'),
    headerTimeout: value('headerTimeout'),
    bodyTimeout: value('bodyTimeout'),
    minBodyRate: value('minBodyRate'),
    keepAliveTimeout: value('keepAliveTimeout'),
    writeTimeout: value('writeTimeout'),
    minSendRate: value('minSendRate'),
    handlerTimeout: value('handlerTimeout'),
    drainTimeout: value('drainTimeout'),
    nosniff: value('nosniff'),
    frameOptions: value('frameOptions'),
    hstsMaxAge: value('hstsMaxAge'),
    hstsIncludeSubDomains: value('hstsIncludeSubDomains'),
    contentSecurityPolicy: value('contentSecurityPolicy'),
    referrerPolicy: value('referrerPolicy'),
    trustedProxies: value('trustedProxies'),
    proxyFields: value('proxyFields'),
  }
}

function fileEntries(sources: ConfigSources, faults: string[]): Entry[] {
  const path = sources.file ?? join(sources.siteFolder, 'npp.conf')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && sources.file === undefined) return []
    faults.push(`${path}: cannot be read: ${messageOf(error)}`)
    return []
  }
  const entries: Entry[] = []
  const seen = new Map<string, number>()
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(^|\s)#.*$/, '').trim()
    if (line === '') continue
    const where = `${path}:${index + 1}`
    const match = /^([^\s=]+)\s*=\s*(.*)$/.exec(line)
    const [, name, value] = match ?? []
    if (name === undefined || value === undefined) {
      faults.push(`${where}: ${line}: allowed: key = value, or # and a comment`)
      continue
    }
    const before = seen.get(name)
    if (before !== undefined) faults.push(`${where}: ${name} = ${value}: stands in line ${before} already; allowed: once`)
    seen.set(name, index + 1)
    entries.push({ where, name, key: isConfigKey(name) ? name : undefined, value, allowed: () => CONFIG_KEYS.join(', ') })
  }
  return entries
}

function environmentEntries(environment: ConfigSources['environment']): Entry[] {
  const keys = new Map<string, ConfigKey>(CONFIG_KEYS.map((key) => [environmentNameOf(key), key]))
  const allowed = (): string => [...keys.keys()].join(', ')
  return Object.entries(environment).flatMap(([name, value]) =>
    name.startsWith('NPP_') && value !== undefined
      ? [{ where: 'environment', name, key: keys.get(name), value: value.trim(), allowed }]
      : [],
  )
}

function flagEntries(flags: ConfigSources['flags']): Entry[] {
  const keys = new Map<string, ConfigKey>(CONFIG_KEYS.map((key) => [flagNameOf(key), key]))
  const allowed = (): string => [...keys.keys()].join(', ')
  return flags.map(([name, value]) => ({ where: 'command line', name, key: keys.get(name), value, allowed }))
}
