/**
 * The one table of everything that npp reports. A code never changes its meaning; docs/ERRORS.md explains each of them, and a test compares
 * the two. `status` is the HTTP status a request ends with when the error reaches its client, `exit` the exit code when it ends a process.
 */
interface ErrorRow {
  readonly status: number
  readonly exit: number
  readonly summary: string
}

const ERRORS = {
  // Start and configuration. Exit codes follow sysexits.h where it has one: 78 is EX_CONFIG, 66 EX_NOINPUT, 70 EX_SOFTWARE, 71 EX_OSERR.
  NPP_CONFIG: { status: 500, exit: 78, summary: 'The configuration has unknown or wrong keys.' },
  NPP_USAGE: { status: 500, exit: 64, summary: 'The command line was not understood.' },
  NPP_NATIVE_MISSING: { status: 500, exit: 71, summary: 'The native addon is not built or does not load.' },
  NPP_SITE_NOT_FOUND: { status: 500, exit: 66, summary: 'The site folder has no app module.' },
  NPP_SITE_INVALID: {
    status: 500,
    exit: 70,
    summary: 'The site module does not export a definition made by defineApp or defineServices, or failed to load.',
  },
  NPP_ROUTE_INVALID: { status: 500, exit: 70, summary: 'A route was defined twice or its path is not valid.' },
  NPP_PORT_IN_USE: { status: 500, exit: 71, summary: 'Another process listens on the address.' },
  NPP_PORT_PERMISSION: { status: 500, exit: 77, summary: 'The user may not listen on the address.' },
  NPP_LISTEN_FAILED: { status: 500, exit: 71, summary: 'Listening on the address failed.' },
  NPP_TLS_INVALID: { status: 500, exit: 78, summary: 'The key or the certificates of HTTPS are missing or do not fit.' },
  NPP_NET_ARGUMENT: { status: 500, exit: 70, summary: 'The socket layer was called with an argument that it cannot take.' },
  NPP_NET_CLOSED: { status: 500, exit: 70, summary: 'The socket layer was closed before this use.' },
  NPP_INSTANCE_RUNNING: { status: 500, exit: 75, summary: 'Another living npp_app owns the queues of this instance.' },
  NPP_NO_INSTANCE: { status: 500, exit: 75, summary: 'No living npp_app was found for this instance.' },
  NPP_CRASHED: { status: 500, exit: 70, summary: 'An exception reached the top of the process.' },

  // Queues.
  NPP_QUEUE_LIMIT: { status: 500, exit: 71, summary: 'The system allows no further message queue of this size.' },
  NPP_QUEUE_PERMISSION: { status: 500, exit: 77, summary: 'The queue belongs to another user or may not be opened.' },
  NPP_QUEUE_MISSING: { status: 500, exit: 71, summary: 'There is no queue of this name.' },
  NPP_QUEUE_EXISTS: { status: 500, exit: 71, summary: 'A queue of this name exists already.' },
  NPP_QUEUE_ARGUMENT: { status: 500, exit: 70, summary: 'A queue was called with an argument that it cannot take.' },
  NPP_QUEUE_CLOSED: { status: 500, exit: 70, summary: 'The queue was closed before this use.' },
  NPP_QUEUE_FAILED: { status: 500, exit: 71, summary: 'The system refused an operation on a queue.' },
  NPP_BAD_FRAME: { status: 500, exit: 70, summary: 'A message on a queue is not a frame of this version of npp.' },

  // Shared memory and processes.
  NPP_SHM_PERMISSION: { status: 500, exit: 77, summary: 'The shared memory belongs to another user or may not be opened.' },
  NPP_SHM_MISSING: { status: 500, exit: 71, summary: 'There is no shared memory of this name.' },
  NPP_SHM_EXISTS: { status: 500, exit: 71, summary: 'Shared memory of this name exists already.' },
  NPP_SHM_FULL: { status: 500, exit: 71, summary: 'The system has no room left for shared memory.' },
  NPP_SHM_INVALID: { status: 500, exit: 70, summary: 'The shared memory is not one of this version of npp.' },
  NPP_SHM_ARGUMENT: { status: 500, exit: 70, summary: 'Shared memory was called with an argument that it cannot take.' },
  NPP_SHM_CLOSED: { status: 500, exit: 70, summary: 'The shared memory was closed before this use.' },
  NPP_SHM_FAILED: { status: 500, exit: 71, summary: 'The system refused an operation on shared memory.' },
  NPP_SCOREBOARD_FULL: { status: 500, exit: 71, summary: 'The instance has as many processes as its scoreboard has slots.' },
  NPP_PROCESS_ARGUMENT: { status: 500, exit: 70, summary: 'A process was watched with an argument that it cannot take.' },
  NPP_WRITE_ARGUMENT: { status: 500, exit: 70, summary: 'Bytes were written with an argument that cannot be taken.' },

  // Calls.
  NPP_CALL_INPUT: { status: 500, exit: 70, summary: 'The input or output of a call cannot be encoded.' },
  NPP_INPUT_INVALID: { status: 400, exit: 70, summary: 'The input of a call is not what its schema allows.' },
  NPP_CALL_TOO_LARGE: { status: 413, exit: 70, summary: 'The input of a call is larger than maxCallBytes.' },
  NPP_REPLY_TOO_LARGE: { status: 500, exit: 70, summary: 'The result of a service is larger than maxCallBytes.' },
  NPP_CALL_NO_MEMORY: { status: 503, exit: 70, summary: 'The system has no room in /dev/shm for the large input of a call.' },
  NPP_CALL_TIMEOUT: { status: 504, exit: 70, summary: 'The service did not reply before the deadline of the call.' },
  NPP_CALL_CANCELLED: { status: 503, exit: 70, summary: 'The call was given up, by its signal or because the engine stops.' },
  NPP_BACKLOG_FULL: {
    status: 503,
    exit: 70,
    summary: 'More calls wait for room in the queue than maxBacklog, maxBacklogBytes or maxPerService allow.',
  },
  NPP_NO_SERVICE: { status: 503, exit: 70, summary: 'No service process is running.' },
  NPP_NO_SUCH_SERVICE: { status: 500, exit: 70, summary: 'The service processes know no service of this name.' },
  NPP_SERVICE_DIED: { status: 502, exit: 70, summary: 'The service process ended while it had the call in hand.' },
  NPP_SERVICE_FAILED: { status: 500, exit: 70, summary: 'The service threw or rejected.' },

  // Requests.
  NPP_BAD_REQUEST: { status: 400, exit: 70, summary: 'The request is malformed.' },
  NPP_BAD_BODY: { status: 400, exit: 70, summary: 'The body is not what the handler asked for.' },
  NPP_NOT_FOUND: { status: 404, exit: 70, summary: 'No route matches the path.' },
  NPP_METHOD_NOT_ALLOWED: { status: 405, exit: 70, summary: 'The path has no route for this method.' },
  NPP_REQUEST_TIMEOUT: { status: 408, exit: 70, summary: 'The request did not arrive in time.' },
  NPP_BODY_TOO_LARGE: { status: 413, exit: 70, summary: 'The body is larger than maxBodyBytes.' },
  NPP_TARGET_TOO_LONG: { status: 414, exit: 70, summary: 'The request target is longer than the limit.' },
  NPP_EXPECTATION_FAILED: { status: 417, exit: 70, summary: 'The expectation of the Expect field is not supported.' },
  NPP_HEADER_TOO_LARGE: { status: 431, exit: 70, summary: 'The header has more bytes or more fields than the limits.' },
  NPP_NOT_IMPLEMENTED: { status: 501, exit: 70, summary: 'The method or the transfer coding is not implemented.' },
  NPP_HTTP_VERSION: { status: 505, exit: 70, summary: 'The HTTP version is not supported.' },
  NPP_HANDLER_FAILED: { status: 500, exit: 70, summary: 'The handler threw or rejected.' },
  NPP_HANDLER_TIMEOUT: { status: 504, exit: 70, summary: 'The handler did not answer before its deadline.' },
  NPP_ALREADY_ANSWERED: { status: 500, exit: 70, summary: 'The handler answered a request that had been answered.' },
  NPP_CLIENT_GONE: { status: 500, exit: 70, summary: 'The client closed the connection before its request was answered.' },
  NPP_STOPPING: { status: 503, exit: 70, summary: 'npp stops, and what would go on without end is asked to end.' },
  NPP_HEADER_INVALID: { status: 500, exit: 70, summary: 'The handler set a header, cookie or status that may not stand in a response.' },
} as const satisfies Record<string, ErrorRow>

export type NppCode = keyof typeof ERRORS

export function isNppCode(value: string): value is NppCode {
  return Object.hasOwn(ERRORS, value)
}

export const NPP_CODES: readonly NppCode[] = Object.keys(ERRORS).filter(isNppCode)

/** HTTP status that a request ends with when this error reaches its client. */
export function statusOf(code: NppCode): number {
  return ERRORS[code].status
}

/** What the code means, in one sentence. */
export function summaryOf(code: NppCode): string {
  return ERRORS[code].summary
}

/**
 * The error npp throws. `message` says what was wrong and what to do; `code` is stable; `status` is the HTTP status a request ends with when
 * the error reaches its client; `exitCode` ends a process that cannot go on.
 */
export class NppError extends Error {
  override readonly name: string = 'NppError'
  readonly code: NppCode
  readonly status: number
  readonly exitCode: number

  constructor(code: NppCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.status = ERRORS[code].status
    this.exitCode = ERRORS[code].exit
  }
}

/** The message of whatever was thrown; a site may throw anything. */
export function messageOf(thrown: unknown): string {
  return textOf(() => (thrown instanceof Error ? thrown.message : thrown))
}

/** The stack of whatever was thrown, for the log, never for a client. */
export function stackOf(thrown: unknown): string {
  return textOf(() => (thrown instanceof Error ? (thrown.stack ?? thrown.message) : thrown))
}

/** A site throws what it likes: an object without a text, an error whose message is no text, or that throws when it is asked. */
function textOf(read: () => unknown): string {
  try {
    return String(read())
  } catch {
    return 'something that has no text'
  }
}

/** The `code` of a system error such as EADDRINUSE, or '' where there is none. */
export function errnoOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
}

/** The code of an npp error, also of one thrown by another copy of npp; NPP_HANDLER_FAILED for whatever else a site throws. */
export function codeOf(error: unknown): NppCode {
  return error instanceof Error && error.name === 'NppError' && 'code' in error && typeof error.code === 'string' && isNppCode(error.code)
    ? error.code
    : 'NPP_HANDLER_FAILED'
}
