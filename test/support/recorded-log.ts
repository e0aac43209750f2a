import type { ProcessLog } from '../../shared/log.ts'

export interface LogLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug'
  readonly fields: object
  readonly message: string
}

/** A log that keeps what it is given. */
export class RecordedLog implements ProcessLog {
  readonly writesInfo = true
  readonly lines: LogLine[] = []
  /** Ready-made lines. */
  readonly raw: string[] = []

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message })
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message })
  }

  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields, message })
  }

  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', fields, message })
  }

  line(json: string): void {
    this.raw.push(json)
  }

  flush(): void {}
  close(): void {}

  /** Messages of one level. */
  messages(level: LogLine['level']): string[] {
    return this.lines.flatMap((line) => (line.level === level ? [line.message] : []))
  }
}
