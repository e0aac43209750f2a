import { Limits } from '../shared/limits.ts'
import { Figure, FIGURES, HISTOGRAM_BUCKETS, rowAt, ServiceRow } from './scoreboard-layout.ts'

/** What all processes together have told of a service since the scoreboard was made. */
export interface ServiceReading {
  /** '' for the services that have no row of their own. */
  readonly name: string
  readonly calls: number
  readonly errors: number
  readonly timeouts: number
  readonly retries: number
  /** Bytes of the inputs and of the results. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Calls that wait in the engines for room in the queue, now. */
  readonly backlog: number
  /** Time from the call to its start in a service, and from there to its end. */
  readonly wait: HistogramReading
  readonly run: HistogramReading
}

export interface HistogramReading {
  readonly totalMicros: number
  /** Calls by bucket: the upper bound of bucket b is 2^b microseconds, exclusive; the last one has none. */
  readonly buckets: readonly number[]
}

const ROW_FREE = 0
const ROW_READY = 1
/** The row of services for which there was no other: it has no name, and every scoreboard has it from the start. */
export const OTHER_SERVICES = 0

/** The bucket of a histogram that a duration is counted in. */
export function bucketOf(micros: number): number {
  return micros >= 2 ** (HISTOGRAM_BUCKETS - 2) ? HISTOGRAM_BUCKETS - 1 : 32 - Math.clz32(micros)
}

/** The rows of services on a scoreboard, by name. A row is taken once and for good, so that its number never means another service. */
export class ServiceTable {
  readonly #words: Int32Array
  readonly #bytes: Buffer
  readonly #figures: BigInt64Array
  readonly #isAlive: (pid: number) => boolean

  constructor(memory: ArrayBuffer, isAlive: (pid: number) => boolean) {
    this.#words = new Int32Array(memory)
    this.#bytes = Buffer.from(memory)
    this.#figures = new BigInt64Array(memory)
    this.#isAlive = isAlive
  }

  /** Once, where the memory is zero. */
  format(): void {
    Atomics.store(this.#words, stateIndex(OTHER_SERVICES), ROW_READY)
  }

  /**
   * The row of a service, taken by `pid` where it has none. Two processes that ask for a new name at the same moment may get two rows; whoever
   * reads adds them up. OTHER_SERVICES where all rows are taken, or the name is too long.
   */
  rowOf(name: string, pid: number): number {
    const found = this.#find(name)
    if (found !== undefined) return found
    if (name === '' || Buffer.byteLength(name) > Limits.serviceNameBytes) return OTHER_SERVICES
    for (let row = 1; row < Limits.scoreboardServices; row++) {
      const index = stateIndex(row)
      const state = Atomics.load(this.#words, index)
      if (state === ROW_READY || (state !== ROW_FREE && this.#isAlive(-state))) continue
      if (Atomics.compareExchange(this.#words, index, state, -pid) !== state) continue
      Atomics.store(this.#words, index + 1, this.#bytes.write(name, rowAt(row) + ServiceRow.name, Limits.serviceNameBytes))
      Atomics.store(this.#words, index, ROW_READY)
      return row
    }
    return OTHER_SERVICES
  }

  /** The name of a row; '' where it has none. */
  nameOf(row: number): string {
    if (row < 0 || row >= Limits.scoreboardServices || Atomics.load(this.#words, stateIndex(row)) !== ROW_READY) return ''
    const length = Math.min(Math.max(Atomics.load(this.#words, stateIndex(row) + 1), 0), Limits.serviceNameBytes)
    const at = rowAt(row) + ServiceRow.name
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** How many calls of a service wait in an engine: a row and an engine have one writer. */
  setBacklog(row: number, engine: number, calls: number): void {
    Atomics.store(this.#words, backlogIndex(row) + engine, calls)
  }

  /** Nothing waits in an engine that has just started, whatever the one before it left. */
  clearBacklogs(engine: number): void {
    for (let row = 0; row < Limits.scoreboardServices; row++) this.setBacklog(row, engine, 0)
  }

  /** Adds to a figure; from any process. */
  add(row: number, figure: number, amount: number): void {
    Atomics.add(this.#figures, figuresIndex(row) + figure, BigInt(Math.round(amount)))
  }

  read(): ServiceReading[] {
    const byName = new Map<string, { figures: number[]; backlog: number }>()
    for (let row = 0; row < Limits.scoreboardServices; row++) {
      if (Atomics.load(this.#words, stateIndex(row)) !== ROW_READY) continue
      const name = this.nameOf(row)
      const sum = byName.get(name) ?? { figures: Array.from({ length: FIGURES }, () => 0), backlog: 0 }
      byName.set(name, sum)
      for (let figure = 0; figure < FIGURES; figure++)
        sum.figures[figure] = (sum.figures[figure] ?? 0) + Number(Atomics.load(this.#figures, figuresIndex(row) + figure))
      for (let engine = 0; engine < Limits.engines; engine++) sum.backlog += Atomics.load(this.#words, backlogIndex(row) + engine)
    }
    return [...byName].map(([name, { figures, backlog }]) => toReading(name, figures, backlog))
  }

  #find(name: string): number | undefined {
    for (let row = 1; row < Limits.scoreboardServices; row++) {
      const state = Atomics.load(this.#words, stateIndex(row))
      if (state === ROW_FREE) return undefined
      if (state === ROW_READY && this.nameOf(row) === name) return row
    }
    return undefined
  }
}

function stateIndex(row: number): number {
  return rowAt(row) / Int32Array.BYTES_PER_ELEMENT
}

function backlogIndex(row: number): number {
  return (rowAt(row) + ServiceRow.backlogs) / Int32Array.BYTES_PER_ELEMENT
}

function figuresIndex(row: number): number {
  return (rowAt(row) + ServiceRow.figures) / BigInt64Array.BYTES_PER_ELEMENT
}

function toReading(name: string, figures: readonly number[], backlog: number): ServiceReading {
  const figure = (index: number): number => figures[index] ?? 0
  return {
    name,
    calls: figure(Figure.Calls),
    errors: figure(Figure.Errors),
    timeouts: figure(Figure.Timeouts),
    retries: figure(Figure.Retries),
    bytesIn: figure(Figure.BytesIn),
    bytesOut: figure(Figure.BytesOut),
    backlog,
    wait: {
      totalMicros: figure(Figure.WaitMicros),
      buckets: figures.slice(Figure.WaitBuckets, Figure.WaitBuckets + HISTOGRAM_BUCKETS),
    },
    run: {
      totalMicros: figure(Figure.RunMicros),
      buckets: figures.slice(Figure.RunBuckets, Figure.RunBuckets + HISTOGRAM_BUCKETS),
    },
  }
}

/**
 * What one process has to tell of services, collected in memory of its own: a few additions a call. `flush` adds it to the scoreboard, some
 * microseconds a service; who is killed takes what he collected since the last flush with him.
 */
export class ServiceFigures {
  readonly #table: ServiceTable
  readonly #pid: number
  readonly #rows = new Map<string, number>()
  readonly #collected = new Float64Array(Limits.scoreboardServices * FIGURES)
  readonly #touched = new Uint8Array(Limits.scoreboardServices)
  #isTouched = false

  constructor(table: ServiceTable, pid: number) {
    this.#table = table
    this.#pid = pid
  }

  /** The row of a service, which the other methods take: ask once a name, not once a call. */
  rowOf(name: string): number {
    let row = this.#rows.get(name)
    if (row === undefined) {
      row = this.#table.rowOf(name, this.#pid)
      this.#rows.set(name, row)
    }
    return row
  }

  /** A call was run to its end; times in microseconds, sizes in bytes. */
  finished(row: number, waitMicros: number, runMicros: number, bytesIn: number, bytesOut: number, failed: boolean): void {
    const figures = this.#collected
    const base = this.#touch(row)
    figures[base + Figure.Calls]! += 1
    if (failed) figures[base + Figure.Errors]! += 1
    figures[base + Figure.BytesIn]! += bytesIn
    figures[base + Figure.BytesOut]! += bytesOut
    figures[base + Figure.WaitMicros]! += waitMicros
    figures[base + Figure.RunMicros]! += runMicros
    figures[base + Figure.WaitBuckets + bucketOf(waitMicros)]! += 1
    figures[base + Figure.RunBuckets + bucketOf(runMicros)]! += 1
  }

  /** A call got no reply before its deadline. */
  timedOut(row: number): void {
    this.#collected[this.#touch(row) + Figure.Timeouts]! += 1
  }

  /** A call was lost with the process that had it: it counts as one that failed, of which nobody knows the times. */
  died(row: number): void {
    const base = this.#touch(row)
    this.#collected[base + Figure.Calls]! += 1
    this.#collected[base + Figure.Errors]! += 1
  }

  /** A call was sent again, its service having died. */
  retried(row: number): void {
    this.#collected[this.#touch(row) + Figure.Retries]! += 1
  }

  /** Sets how many calls of a service wait in this engine; seen at once. */
  setBacklog(row: number, engine: number, calls: number): void {
    this.#table.setBacklog(row, engine, calls)
  }

  flush(): void {
    if (!this.#isTouched) return
    this.#isTouched = false
    for (let row = 0; row < Limits.scoreboardServices; row++) {
      if (this.#touched[row] === 0) continue
      this.#touched[row] = 0
      for (let figure = 0; figure < FIGURES; figure++) {
        const amount = this.#collected[row * FIGURES + figure] ?? 0
        if (amount !== 0) this.#table.add(row, figure, amount)
      }
      this.#collected.fill(0, row * FIGURES, (row + 1) * FIGURES)
    }
  }

  #touch(row: number): number {
    this.#touched[row] = 1
    this.#isTouched = true
    return row * FIGURES
  }
}
