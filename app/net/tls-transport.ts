import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { resolve } from 'node:path'
import { createSecureContext, createServer } from 'node:tls'
import type { Config } from '../../shared/config.ts'
import { messageOf, NppError } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { NodeTransport, type Wire } from './node-transport.ts'
import type { TransportEvents, TransportOptions } from './transport.ts'

/** What a server shows and what it keeps, as PEM. */
export interface Secrets {
  /** The certificate, and those between it and its authority. */
  readonly cert: string
  readonly key: string
}

const OLDEST_VERSION = 'TLSv1.2'

/** Reads the key and the certificates of HTTPS; undefined without an httpsPort. Throws NPP_TLS_INVALID. */
export function readSecrets(
  config: Pick<Config, 'httpsPort' | 'certFile' | 'certChainFile' | 'keyFile'>,
  folder: string,
): Secrets | undefined {
  if (config.httpsPort === undefined) return undefined
  const certificate = read('certFile', config.certFile, folder)
  const chain = config.certChainFile === '' ? '' : read('certChainFile', config.certChainFile, folder)
  const key = read('keyFile', config.keyFile, folder)
  const leaf = parse('certFile', config.certFile, 'a certificate', () => new X509Certificate(certificate))
  if (chain !== '') parse('certChainFile', config.certChainFile, 'certificates', () => new X509Certificate(chain))
  const secret = parse('keyFile', config.keyFile, 'a private key without a passphrase', () => createPrivateKey(key))
  if (!leaf.checkPrivateKey(secret))
    throw new NppError('NPP_TLS_INVALID', `certFile = ${config.certFile} and keyFile = ${config.keyFile} do not belong together`)
  const secrets = { cert: `${certificate}\n${chain}`, key }
  // What the server would do later, and not know which file it was.
  parse('certFile', config.certFile, 'certificates that TLS takes', () => createSecureContext({ ...secrets, minVersion: OLDEST_VERSION }))
  return secrets
}

function read(key: string, path: string, folder: string): string {
  if (path === '') throw new NppError('NPP_TLS_INVALID', `httpsPort is set and ${key} is not: name the PEM file`)
  try {
    return readFileSync(resolve(folder, path), 'utf8')
  } catch (cause) {
    throw new NppError('NPP_TLS_INVALID', `${key} = ${path} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

function parse<T>(key: string, path: string, what: string, how: () => T): T {
  try {
    return how()
  } catch (cause) {
    throw new NppError('NPP_TLS_INVALID', `${key} = ${path} does not hold ${what} in PEM: ${messageOf(cause)}`, { cause })
  }
}

export interface TlsOptions extends TransportOptions {
  readonly secrets: Secrets
  /** Milliseconds in which a client has to be through with the handshake. */
  readonly handshakeTimeout: number
  /** A client did not get through the handshake, which is its own affair. */
  readonly handshakeFailed: (reason: string) => void
  /** Memory of another transport from which answers may be written. */
  readonly borrowed?: Buffer | undefined
}

/** The transport on node:tls. A connection is told of, and counts, from the end of its handshake on. */
export function openTlsTransport(events: TransportEvents, options: TlsOptions): NodeTransport {
  return new NodeTransport(events, options, new TlsWire(options))
}

class TlsWire implements Wire {
  readonly isDeferred = true
  readonly isSecure = true
  readonly borrowed: Buffer | undefined
  readonly #options: TlsOptions
  /** Connections in their handshake. */
  readonly #shaking = new Set<Socket>()

  constructor(options: TlsOptions) {
    this.#options = options
    this.borrowed = options.borrowed
  }

  createServer(accept: (socket: Socket) => void): ReturnType<typeof createServer> {
    const { secrets, handshakeTimeout, handshakeFailed, maxConnections } = this.#options
    const server = createServer({
      ...secrets,
      minVersion: OLDEST_VERSION,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout,
      allowHalfOpen: true,
      noDelay: true,
    })
    // Those in their handshake have no slot yet, and must not be without bound.
    server.maxConnections = maxConnections + Limits.tlsHandshakes
    server.on('connection', (raw: Socket) => {
      this.#shaking.add(raw)
      raw.on('close', () => this.#shaking.delete(raw))
    })
    server.on('secureConnection', (socket) => {
      // What is detached later is not ours to close.
      const raw: unknown = Reflect.get(socket, '_parent')
      if (raw instanceof Socket) this.#shaking.delete(raw)
      accept(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      handshakeFailed(messageOf(error))
      socket.destroy()
    })
    return server
  }

  stopListening(): void {
    for (const raw of this.#shaking) raw.destroy()
  }
}
