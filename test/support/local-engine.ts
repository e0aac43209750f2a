import type { TestContext } from 'node:test'
import type { Engine } from '../../app/engine.ts'
import { METHODS } from '../../app/http/parser.ts'
import { JoinedTransport } from '../../app/net/joined-transport.ts'
import { NativeTransport } from '../../app/net/native-transport.ts'
import { NodeTransport } from '../../app/net/node-transport.ts'
import { openTlsTransport } from '../../app/net/tls-transport.ts'
import { Router, type HandlerTarget } from '../../app/route/router.ts'
import { bareEngine } from './bare-engine.ts'
import { CERTIFICATE, KEY } from './certificate.ts'
import type { RecordedLog } from './recorded-log.ts'

export interface LocalEngine {
  readonly http: number
  readonly https: number
  readonly engine: Engine
  readonly transport: JoinedTransport
  readonly log: RecordedLog
  /** Reasons of handshakes that failed. */
  readonly failures: string[]
}

export interface LocalOptions {
  readonly handshakeTimeout?: number
  /** Configuration, as environment variables. */
  readonly settings?: Readonly<Record<string, string>>
  readonly notFound?: HandlerTarget['handle']
  /** Bytes of a body, for routes that have a limit of their own. */
  readonly bodyLimits?: Readonly<Record<string, number>>
}

/** An engine in this process, plain and with TLS. A route is a path, for GET, or a method and a path. */
export async function localEngine(
  context: TestContext,
  plain: 'node' | 'epoll' | 'poll' | 'select',
  routes: Readonly<Record<string, HandlerTarget['handle']>>,
  { handshakeTimeout = 300, settings = {}, notFound, bodyLimits = {} }: LocalOptions = {},
): Promise<LocalEngine> {
  const router = new Router()
  for (const [route, handle] of Object.entries(routes)) {
    const [path = '', verb = 'GET'] = route.split(' ').toReversed()
    const method = METHODS.find((name) => name === verb)
    if (method === undefined) throw new Error(`no method ${verb}`)
    router.add(method, path, { handle }, bodyLimits[route])
  }
  if (notFound !== undefined) router.notFound = { handle: notFound }
  const { engine, log } = bareEngine(context, router, { settings: { NPP_HTTPS_PORT: '0', ...settings } })
  const options = { maxConnections: 20, maxBuffered: 1024 * 1024, refusal: Buffer.from('no') }
  const failures: string[] = []
  const transport = new JoinedTransport(
    engine,
    (events) => (plain === 'node' ? new NodeTransport(events, options) : new NativeTransport(events, { ...options, polling: plain })),
    (events, borrowed) =>
      openTlsTransport(events, {
        ...options,
        secrets: { cert: CERTIFICATE, key: KEY },
        handshakeTimeout,
        handshakeFailed: (reason) => failures.push(reason),
        borrowed,
      }),
  )
  engine.attach(transport)
  context.after(() => transport.close())
  const http = await transport.listen({ host: '127.0.0.1', port: 0 })
  const https = await transport.secure.listen({ host: '127.0.0.1', port: 0 })
  return { http: http.port, https: https.port, engine, transport, log, failures }
}
