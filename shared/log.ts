import { createRequire } from 'node:module'
import { pino } from 'pino'
import type * as PinoPretty from 'pino-pretty'
import type { Config, LogLevel } from './config.ts'
import { Limits } from './limits.ts'
import { openLogOutput, type WriteNow } from './log-output.ts'
import { LogWriter } from './log-writer.ts'

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
  /** writeNow of native/index: without it a socket is written to as it is set, which may wait for its reader. */
  readonly writeNow?: WriteNow
}

interface Sink {
  write(line: string): void
  flush(): void
  flushSync(): void
  /** Writes what there is, or gives it up: the process ends. */
  end(): void
  close(): void
}

/** Opens the log: pino, JSON lines through a writer of ours that writes when it has enough, every half second, on a warning and at the end. */
export function openLog(options: LogOptions): ProcessLog {
  const descriptor = options.descriptor ?? 1
  const pretty = options.pretty ?? (descriptor === 1 && process.stdout.isTTY && process.env['NODE_ENV'] !== 'production')
  const level = options.level === 'none' ? 'silent' : options.level
  const sink = pretty ? prettySink() : jsonSink(options, descriptor)
  const logger = pino({ name: options.name, level, base: { pid: process.pid } }, sink)
  const timer = setInterval(() => sink.flush(), Limits.logFlushMs)
  timer.unref()
  const flushAtExit = (): void => sink.end()
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
    line: (json) => sink.write(json),
    flush: () => sink.flushSync(),
    close() {
      clearInterval(timer)
      process.removeListener('exit', flushAtExit)
      sink.close()
    },
  }
}

function jsonSink({ name, level, writeNow }: LogOptions, descriptor: number): Sink {
  const writer = new LogWriter(openLogOutput(descriptor, writeNow), lossNotice(name, level !== 'none' && level !== 'error'))
  return {
    write: (line) => writer.write(line),
    flush: () => writer.flush(),
    flushSync: () => writer.flushSync(),
    end: () => writer.flushSync(true),
    close: () => writer.close(),
  }
}

/** A line of level warn, where such are written: put together here, as the logger would put it behind what is lost next. */
function lossNotice(name: string, isWritten: boolean): (lost: number) => string {
  return (lost) =>
    isWritten
      ? `${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, name, lost, msg: `${lost} lines of the log were lost here: they could not be written in time` })}\n`
      : ''
}

/** A terminal gets each line at once: a person is watching. */
function prettySink(): Sink {
  // Loaded where somebody watches only: it is a fifth of what a service process loads, whose successor is waited for when it was killed.
  const pretty: typeof PinoPretty = createRequire(import.meta.url)('pino-pretty')
  const stream = pretty.build({ sync: true, colorize: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' })
  return { write: (line) => void stream.write(line), flush: nothing, flushSync: nothing, end: nothing, close: nothing }
}

function nothing(): void {}

/** The log of a process by its configuration. */
export function openProcessLog(name: string, config: Pick<Config, 'logLevel'>, writeNow: WriteNow): ProcessLog {
  return openLog({ name, level: config.logLevel, writeNow })
}
