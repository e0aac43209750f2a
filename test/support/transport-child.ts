// A process of its own for the transport tests: node transport-child.js <kind> <role>. It reports lines through process.send.
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { messageOf, NppError } from '../../shared/errors.ts'
import { eventually } from './eventually.ts'
import { Client, isTransportKind, TransportHost, type Hooks, type TransportKind } from './transport-host.ts'

const NOBODY = 65534

function report(line: string): void {
  process.send?.(line)
}

function leave(): void {
  if (process.connected) process.disconnect()
}

const ECHO: Hooks = {
  received: (transport, slot, bytes) => transport.write(slot, bytes, 0, bytes.byteLength),
  ended: (transport, slot) => transport.end(slot),
}

async function listen(host: TransportHost): Promise<void> {
  const { port } = await host.transport.listen({ host: '127.0.0.1', port: 0 })
  host.port = port
}

/** Milliseconds of CPU, user and system, that all threads of this process have used. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

async function idle(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, ECHO)
  await listen(host)
  const one = new Client({ port: host.port })
  await eventually('the client is taken in', () => host.open.size === 1)
  one.socket.write('hello')
  await one.says('hello')
  await sleep(500) // The compiler and the collector finish what the start has left them.
  const before = cpuMs()
  await sleep(1000)
  report(String(cpuMs() - before))
  one.socket.destroy()
  host.transport.close()
  leave()
}

/** Uses up all descriptors, so that further clients are turned away; gives some back, and new ones are served again. */
async function exhaust(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, ECHO)
  await listen(host)
  const taken: number[] = []
  // The client that waits in the backlog has its descriptor; the engine finds none for its end of the connection.
  const waiting = new Client({ port: host.port })
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    report('exhausted')
  }
  await eventually('the first client is refused or left waiting', () => waiting.closed || waiting.ended || waiting.connected)
  const before = cpuMs()
  await sleep(1000)
  report(`cpu ${cpuMs() - before}`)
  for (const descriptor of taken.splice(0)) closeSync(descriptor)
  const later = new Client({ port: host.port })
  later.socket.write('again')
  await later.says('again')
  report('served again')
  later.socket.destroy()
  waiting.socket.destroy()
  await eventually('all are gone', () => host.open.size === 0)
  host.transport.close()
  leave()
}

/** Refused clients linger; with no descriptor left, their ends are given to a client for which there is room again. */
async function linger(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, ECHO, { maxConnections: 1 })
  await listen(host)
  const first = new Client({ port: host.port })
  await eventually('one is taken in', () => host.open.size === 1)
  const refused = Array.from({ length: 5 }, () => new Client({ port: host.port }))
  await eventually('the others are refused', () => refused.every((one) => one.ended))
  const { transport } = host
  if (!(transport instanceof NativeTransport)) throw new Error('only the native one counts')
  report(`lingering ${transport.counters.lingering}`)
  first.socket.destroy()
  await eventually('there is room', () => host.open.size === 0)
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    // One for the client's end, none for the other.
    closeSync(taken.pop() ?? -1)
  }
  const next = new Client({ host: '127.0.0.1', port: host.port })
  await eventually('the next is taken in', () => host.open.size === 1)
  report(`opened ${host.slots.length}, lingering ${transport.counters.lingering}`)
  for (const one of [...refused, next]) one.socket.destroy()
  for (const descriptor of taken) closeSync(descriptor)
  transport.close()
  leave()
}

/** Each of the first events throws; the exception comes out at the top, and the others of the batch are not lost. */
async function throwing(kind: TransportKind): Promise<void> {
  const caught: string[] = []
  process.on('uncaughtException', (error) => caught.push(error.message))
  const host = new TransportHost(kind, {
    received: (transport, slot, bytes) => {
      transport.write(slot, bytes, 0, bytes.byteLength)
      if (bytes.toString() === 'throw') throw new Error(`received ${slot}`)
    },
    closed: (_, slot) => {
      throw new Error(`closed ${slot}`)
    },
  })
  await listen(host)
  const clients = Array.from({ length: 8 }, () => new Client({ port: host.port }))
  await eventually('all are taken in', () => host.open.size === 8)
  for (const [index, one] of clients.entries()) one.socket.write(index % 2 === 0 ? 'throw' : 'calm')
  await eventually('all are answered', () => clients.every((one) => one.bytes > 0))
  for (const one of clients) one.reset()
  await eventually('all are told closed', () => host.open.size === 0)
  await eventually('all exceptions', () => caught.length === 12)
  report(
    caught
      .map((message) => message.split(' ')[0] ?? '')
      .toSorted((one, other) => one.localeCompare(other))
      .join(' '),
  )
  host.transport.close()
  leave()
}

function fail(word: string): void {
  throw new Error(word)
}

/** Every event throws, always. The parent is the client; at its word it is told what was told here, and what was thrown. */
async function throwingAlways(kind: TransportKind): Promise<void> {
  const thrown = new Set<string>()
  process.on('uncaughtException', (error) => thrown.add(error.message))
  const piece = Buffer.alloc(10_000)
  const host = new TransportHost(
    kind,
    {
      opened: () => fail('opened'),
      received: (transport, slot, bytes) => {
        transport.write(slot, bytes, 0, bytes.byteLength)
        // More than the kernel takes, in writes that are copied where there are copies: a stall, and later a drain.
        if (bytes.toString() === 'big')
          for (let round = 0; round < 1200; round++) transport.write(slot, Buffer.from(piece), 0, piece.byteLength)
        fail('received')
      },
      ended: (transport, slot) => {
        transport.end(slot)
        fail('ended')
      },
      stalled: () => fail('stalled'),
      drained: () => fail('drained'),
      closed: () => fail('closed'),
      turnBegan: () => fail('turnBegan'),
      turnEnded: () => fail('turnEnded'),
      acceptFailed: () => fail('acceptFailed'),
    },
    { maxBuffered: 2 * 1200 * piece.byteLength },
  )
  await listen(host)
  process.on('message', (word) => {
    if (word === 'thrown') report([...thrown].toSorted((one, other) => one.localeCompare(other)).join(' '))
    else if (word === 'open') report(String(host.open.size))
    else {
      host.transport.close()
      leave()
    }
  })
  report(String(host.port))
}

async function unheard(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, {
    received: () => {
      throw new Error('nobody listens')
    },
  })
  await listen(host)
  new Client({ port: host.port }).socket.write('x')
}

async function adopt(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, ECHO)
  const { port } = await host.transport.adopt(3)
  report(String(port))
  await eventually('one has come and gone', () => host.slots.length === 1 && host.open.size === 0)
  await host.transport.adopt(99).catch((error: unknown) => report(error instanceof NppError ? error.code : 'no error'))
  host.transport.close()
  leave()
}

/** Listens on a Unix socket in a folder that this user may not write to. */
async function noPermission(kind: TransportKind): Promise<void> {
  const { transport } = new TransportHost(kind, {})
  const folder = mkdtempSync(join(tmpdir(), 'npp-'))
  try {
    chmodSync(folder, 0o555)
    if (process.getuid?.() === 0) process.seteuid?.(NOBODY)
    await transport
      .listenUnix(join(folder, 'npp.sock'), 0o600)
      .catch((error: unknown) => report(error instanceof NppError ? `${error.code} ${error.message}` : messageOf(error)))
  } finally {
    if (process.geteuid?.() === NOBODY) process.seteuid?.(0)
    rmSync(folder, { recursive: true })
  }
  transport.close()
  leave()
}

/** With descriptors up to FD_SETSIZE in use, select takes no further ones, and says so. */
async function beyondSelect(): Promise<void> {
  const host = new TransportHost('select', ECHO)
  await listen(host)
  const taken: number[] = []
  while ((taken.at(-1) ?? 0) < 1023) taken.push(openSync('/dev/null', 'r'))
  const refused = new Client({ port: host.port })
  await eventually('the client is told', () => refused.ended || refused.closed)
  report(refused.text.split('\r\n')[0] ?? '')
  await host.transport.listen({ host: '127.0.0.1', port: 0 }).catch((error: unknown) => report(messageOf(error)))
  try {
    new TransportHost('select', ECHO).transport.close()
  } catch (error) {
    report(error instanceof NppError ? `${error.code} ${error.message}` : messageOf(error))
  }
  for (const descriptor of taken) closeSync(descriptor)
  const { transport } = host
  report(transport instanceof NativeTransport ? String(transport.counters.refused) : '')
  transport.close()
  leave()
}

/** Listens, stops, and ends: nothing of the transport may hold the process. */
async function ends(kind: TransportKind): Promise<void> {
  const host = new TransportHost(kind, ECHO)
  await listen(host)
  host.transport.stopListening()
  leave()
}

async function main(): Promise<void> {
  const [kind = '', role = ''] = process.argv.slice(2)
  if (!isTransportKind(kind)) throw new Error(`no transport ${kind}`)
  switch (role) {
    case 'idle':
      return idle(kind)
    case 'exhaust':
      return exhaust(kind)
    case 'linger':
      return linger(kind)
    case 'throw':
      return throwing(kind)
    case 'throw-always':
      return throwingAlways(kind)
    case 'unheard':
      return unheard(kind)
    case 'adopt':
      return adopt(kind)
    case 'beyond-select':
      return beyondSelect()
    case 'no-permission':
      return noPermission(kind)
    case 'ends':
      return ends(kind)
    default:
      throw new Error(`no role ${role}`)
  }
}

await main()
