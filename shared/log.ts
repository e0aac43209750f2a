import { createRequire } from 'node:module'
import { pino } from 'pino'
import type * as PinoPretty from 'pino-pretty'
import type { Config, LogLevel } from './config.ts'
import { Limits } from './limits.ts'

/** What a module needs to log. Fields come first and are machine-readable; the message is for people. */
export interface Log {
  error(fields: object, message: string): void
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
  debug(fields: object, message: string): void
}

/** The log of a process: who opens it closes it. */
export interface ProcessLog extends Log {
  /** True when lines of level info are written. */
  readonly writesInfo: boolean
  /** Puts a ready-made line, JSON and its newline, among the others: the access log, which must cost nearly nothing. */
  line(json: string): void
  /** Writes out what is buffered, before this returns. */
  flush(): void
  close(): void
}

export interface LogOptions {
  /** `name` of every line: npp_app or npp_svc. */
  readonly name: string
  readonly level: LogLevel
  /** Readable lines instead of JSON; without it, when standard output is a terminal and NODE_ENV is not production. */
  readonly pretty?: boolean
  /** Descriptor to write to; 1 without it. */
  readonly descriptor?: number
}

interface Sink {
  write(line: string): unknown
  flush(): void
  flushSync(): void
}

/** Opens the log: pino, JSON lines through a buffer that is written when it is full, every half second, on a warning and at the end. */
export function openLog(options: LogOptions): ProcessLog {
  const descriptor = options.descriptor ?? 1
  const pretty = options.pretty ?? (descriptor === 1 && process.stdout.isTTY && process.env['NODE_ENV'] !== 'production')
  const sink = pretty ? prettySink() : bufferedSink(descriptor)
  const level = options.level === 'none' ? 'silent' : options.level
  const logger = pino({ name: options.name, level, base: { pid: process.pid } }, sink)
  const timer = setInterval(() => sink.flush(), Limits.logFlushMs)
  timer.unref()
  const flushAtExit = (): void => sink.flushSync()
  process.on('exit', flushAtExit)
  return {
    writesInfo: logger.isLevelEnabled('info'),
    error(fields, message) {
      logger.error(fields, message)
      sink.flushSync()
    },
    warn(fields, message) {
      logger.warn(fields, message)
      sink.flushSync()
    },
    info: (fields, message) => logger.info(fields, message),
    debug: (fields, message) => logger.debug(fields, message),
    line: (json) => void sink.write(json),
    flush: () => sink.flushSync(),
    close() {
      clearInterval(timer)
      process.removeListener('exit', flushAtExit)
      sink.flushSync()
    },
  }
}

/**
 * Lines are collected here before pino's destination gets them: that one measures all it has with each line it is given, which at its largest
 * buffer costs more than a request.
 */
function bufferedSink(descriptor: number): Sink {
  // Only `flush` begins a write: one that is on its way already is not waited for by flushSync.
  const destination = pino.destination({
    dest: descriptor,
    sync: false,
    minLength: Limits.logWriteBytes - 1,
    maxWrite: Limits.logWriteBytes,
  })
  let lines = ''
  const handOver = (): void => {
    if (lines !== '') destination.write(lines)
    lines = ''
  }
  const flush = (): void => {
    handOver()
    destination.flush()
  }
  return {
    write(line) {
      lines += line
      if (lines.length >= Limits.logBufferLength) flush()
    },
    flush,
    flushSync() {
      handOver()
      destination.flushSync()
    },
  }
}

/** A terminal gets each line at once: a person is watching. */
function prettySink(): Sink {
  // Loaded where somebody watches only: it is a fifth of what a service process loads, whose successor is waited for when it was killed.
  const pretty: typeof PinoPretty = createRequire(import.meta.url)('pino-pretty')
  const stream = pretty.build({ sync: true, colorize: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' })
  return { write: (line) => stream.write(line), flush: () => undefined, flushSync: () => undefined }
}

/** The log of a process by its configuration. */
export function openProcessLog(name: string, config: Pick<Config, 'logLevel'>): ProcessLog {
  return openLog({ name, level: config.logLevel })
}
