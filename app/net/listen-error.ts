import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { NppError, errnoOf, messageOf } from '../../shared/errors.ts'
import type { ListenAddress } from './transport.ts'

/** unix(7): sun_path has 108 bytes, the last a zero. */
const SOCKET_PATH_BYTES = 107

/** Throws NPP_LISTEN_FAILED for a path that the system would cut short or refuse without a reason that helps. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes > SOCKET_PATH_BYTES)
    throw new NppError(
      'NPP_LISTEN_FAILED',
      `cannot listen on ${path}: the path of a Unix socket has ${SOCKET_PATH_BYTES} bytes at the most, this one ${bytes}`,
    )
  if (!existsSync(dirname(path))) throw new NppError('NPP_LISTEN_FAILED', `cannot listen on ${path}: there is no folder ${dirname(path)}`)
}

/** What a failed listen says, whichever transport it was. */
export function listenError(cause: unknown, { host, port }: ListenAddress): NppError {
  const isPath = host.startsWith('/')
  const where = isPath ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`
  switch (errnoOf(cause)) {
    case 'EADDRINUSE':
      return new NppError(
        'NPP_PORT_IN_USE',
        isPath
          ? `another process listens on ${host}, or the file is no socket`
          : `port ${port} is in use on ${host}: stop the other process, or set NPP_HTTP_PORT to another port`,
        { cause },
      )
    case 'EACCES':
    case 'EPERM':
      return new NppError(
        'NPP_PORT_PERMISSION',
        isPath
          ? `no permission to listen on ${host}: the user needs write permission in its folder`
          : `no permission to listen on ${where}: ports below 1024 need CAP_NET_BIND_SERVICE; set NPP_HTTP_PORT to a higher port`,
        { cause },
      )
    default:
      return new NppError('NPP_LISTEN_FAILED', `cannot listen on ${where}: ${messageOf(cause)}`, { cause })
  }
}
