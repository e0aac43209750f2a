import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it, mock, type TestContext } from 'node:test'
import { Limits } from '../../shared/limits.ts'
import type { LogOutput } from '../../shared/log-output.ts'
import { LogWriter } from '../../shared/log-writer.ts'
import { eventually } from '../support/eventually.ts'

const { EAGAIN, EBADF, EIO, ENOSPC, EPIPE } = constants.errno

/** Takes as many bytes as there is room for, or fails. */
class FakeOutput implements LogOutput {
  readonly atMost: number = Limits.logPipeBytes
  readonly taken: Buffer[] = []
  tries = 0
  room = Infinity
  failure = 0

  write(bytes: Uint8Array, end: number): number {
    this.tries++
    if (this.failure !== 0) return -this.failure
    const count = Math.min(end, this.room)
    if (count === 0) return -EAGAIN
    this.room -= count
    this.taken.push(Buffer.from(bytes.subarray(0, count)))
    return count
  }

  size(): number {
    return this.taken.reduce((sum, { length }) => sum + length, 0)
  }

  close(): void {}

  get text(): string {
    return Buffer.concat(this.taken).toString()
  }
}

/** A file: what is written beside the loop is written when the test says so. */
class FakeFile extends FakeOutput {
  override readonly atMost = Limits.logWriteBytes
  readonly pending: (() => void)[] = []
  told: (() => void)[] = []

  writeBeside(bytes: Uint8Array, end: number, done: (taken: number) => void): void {
    this.pending.push(() => {
      const taken = this.write(bytes, end)
      this.told.push(() => done(taken))
    })
  }

  /** The thread writes; the event loop has yet to hear of it. */
  threadWrites(): void {
    for (const write of this.pending.splice(0)) write()
  }

  tell(): void {
    for (const done of this.told.splice(0)) done()
  }
}

const notice = (lost: number): string => `lost ${lost}\n`

function given(output: FakeOutput = new FakeOutput()): { readonly output: FakeOutput; readonly writer: LogWriter } {
  return { output, writer: new LogWriter(output, notice) }
}

/** Time that passes when the test says so, and a little whenever somebody looks, so that a wait comes to its end. */
function withTime(context: TestContext): { pass(milliseconds: number): void } {
  let now = 1000
  mock.timers.enable({ apis: ['setTimeout'] })
  const clock = mock.method(performance, 'now', () => (now += 0.01))
  context.after(() => {
    mock.timers.reset()
    clock.mock.restore()
  })
  return {
    pass(milliseconds) {
      now += milliseconds
      mock.timers.tick(milliseconds)
    },
  }
}

function lines(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => `${from + index} ä€😀\n`).join('')
}

describe('a log writer', () => {
  it('collects lines until they are worth a write', () => {
    const { output, writer } = given()
    writer.write('a\n')
    assert.equal(output.tries, 0)
    writer.write(`${'b'.repeat(Limits.logBufferLength)}\n`)
    assert.equal(output.text, `a\n${'b'.repeat(Limits.logBufferLength)}\n`)
  })

  it('goes on where the output took a part only, within a character too', (context) => {
    const time = withTime(context)
    const { output, writer } = given()
    output.room = 0
    const text = lines(0, 30)
    writer.write(text)
    writer.flush()
    for (let taken = 0; taken < Buffer.byteLength(text); taken++) {
      output.room = 1
      time.pass(Limits.logRetryMs)
    }
    assert.ok(output.taken.every(({ length }) => length === 1))
    assert.equal(output.text, text)
  })

  it('writes whole lines at a time to what others write to as well', () => {
    const { output, writer } = given()
    writer.write(lines(0, 5000) + `${'x'.repeat(3 * Limits.logPipeBytes)}\n`)
    writer.flushSync()
    assert.ok(output.taken.every((bytes) => bytes.at(-1) === 10))
    assert.deepEqual(
      output.taken.map(({ length }) => length).filter((length) => length > Limits.logPipeBytes),
      [3 * Limits.logPipeBytes + 1],
    )
  })

  for (const [name, errno] of Object.entries({ EPIPE, EBADF, EIO })) {
    it(`drops everything after ${name}, and tries no more`, () => {
      const { output, writer } = given()
      output.failure = errno
      writer.write('a\n')
      writer.flushSync()
      assert.equal(output.tries, 1)
      for (let count = 0; count < 100; count++) writer.write(`${'b'.repeat(Limits.logBufferLength)}\n`)
      writer.flushSync()
      writer.flush()
      writer.close()
      assert.equal(output.tries, 1)
    })
  }

  it('waits for a reader that does not read once, not each time, and again after it has read all', () => {
    const { output, writer } = given()
    output.room = 0
    const timed = (): number => {
      const began = performance.now()
      writer.write('a\n')
      writer.flushSync()
      return performance.now() - began
    }
    assert.ok(timed() >= Limits.logStallMs)
    const before = output.tries
    for (let count = 0; count < 50; count++) timed()
    assert.equal(output.tries, before + 50, 'one try for each')
    output.room = Infinity
    timed()
    assert.equal(output.text, 'a\n'.repeat(52))
    output.room = 0
    assert.ok(timed() >= Limits.logStallMs)
    output.room = Infinity
    writer.flushSync()
  })

  it('at the end gives up what nobody takes', () => {
    const { output, writer } = given()
    output.room = 0
    writer.write('a\n')
    writer.flushSync(true)
    output.room = Infinity
    writer.flushSync(true)
    assert.equal(output.text, '')
  })

  it('keeps a bounded part of what nobody reads, and says how many lines were lost', (context) => {
    const { output, writer } = given()
    const time = withTime(context)
    output.room = 5
    writer.write('first line\n')
    writer.flush()
    const line = `${'b'.repeat(999)}\n`
    const total = 2 * Math.ceil(Limits.logWaitingBytes / line.length)
    for (let count = 0; count < total; count++) writer.write(line)
    output.room = Infinity
    // Turn by turn: the reader is back.
    for (let turn = 0; turn < 200; turn++) time.pass(Limits.logRetryMs)
    writer.flush()
    const written = output.text.split('\n').slice(0, -1)
    const notices = written.flatMap((text) => /^lost (\d+)$/.exec(text)?.[1] ?? []).map(Number)
    assert.ok(output.size() < Limits.logWaitingBytes + 4 * Limits.logBufferLength)
    assert.equal(written[0], 'first line')
    assert.equal(notices.length, 1)
    assert.equal(written.length - 2 + (notices[0] ?? 0), total)
    assert.ok(written.every((text) => text.length === 999 || /^(?:first line|lost \d+)$/.test(text)))
  })

  it('drops and counts what a full disk does not take, tries again rarely, and ends a line that was begun', (context) => {
    const time = withTime(context)
    const { output, writer } = given(new FakeOutput())
    output.room = 3
    writer.write('abcdef\nlost 1st\nlost 2nd\n')
    writer.flush()
    output.failure = ENOSPC
    time.pass(Limits.logRetryMs)
    const before = output.tries
    for (let count = 0; count < 10; count++) {
      writer.write('lost, too\n')
      writer.flush()
      writer.flushSync()
    }
    assert.equal(output.tries, before)
    time.pass(Limits.logFlushMs)
    writer.write('not yet\n')
    writer.flush()
    assert.equal(output.tries, before + 1)
    output.failure = 0
    output.room = Infinity
    time.pass(Limits.logFlushMs)
    writer.write('again\n')
    writer.flush()
    writer.flush()
    const [begun, ...others] = output.text.split('\n')
    assert.equal(begun, 'abcdef')
    const told = others.flatMap((text) => /^lost (\d+)$/.exec(text)?.[1] ?? []).map(Number)
    const kept = others.filter((text) => /^(?:again|not yet|lost, too)$/.test(text)).length
    assert.equal(told.reduce((sum, count) => sum + count, 0) + kept, 2 + 10 + 2)
    assert.ok(others.includes('again'))
  })
})

describe('a log writer of a file', () => {
  it('has one write beside the loop at a time, of bounded size, in order', () => {
    const file = new FakeFile()
    const { writer } = given(file)
    const text = lines(0, 100_000)
    writer.write(text)
    for (let count = 0; count < 5; count++) writer.flush()
    for (let turn = 0; file.pending.length > 0; turn++) {
      assert.equal(file.pending.length, 1)
      file.threadWrites()
      if (turn < 5) writer.write(`${turn}\n`)
      file.tell()
    }
    writer.flushSync()
    assert.ok(file.taken.every(({ length }) => length <= Limits.logWriteBytes))
    assert.ok(file.text.startsWith(text))
  })

  it('writes a warning behind what a thread has taken, when the thread is done', () => {
    const file = new FakeFile()
    const { writer } = given(file)
    writer.write('taken\n')
    writer.flush()
    writer.write('warning\n')
    file.threadWrites()
    writer.flushSync()
    assert.equal(file.text, 'taken\nwarning\n', 'before the event loop has heard of it')
    file.tell()
    writer.flushSync()
    assert.equal(file.text, 'taken\nwarning\n')
  })

  it('leaves it to the event loop when the thread takes long', async () => {
    const file = new FakeFile()
    const { writer } = given(file)
    writer.write('taken\n')
    writer.flush()
    writer.write('warning\n')
    writer.flushSync()
    assert.equal(file.text, '')
    file.threadWrites()
    file.tell()
    await eventually('the rest is on its way', () => file.pending.length === 1)
    file.threadWrites()
    file.tell()
    assert.equal(file.text, 'taken\nwarning\n')
  })

  it('goes on behind the part that a thread has written', () => {
    const file = new FakeFile()
    const { writer } = given(file)
    writer.write('taken\n')
    writer.flush()
    writer.write('more\n')
    file.room = 2
    file.threadWrites()
    file.tell()
    file.room = Infinity
    for (let turn = 0; turn < 3; turn++) {
      file.threadWrites()
      file.tell()
    }
    assert.equal(file.text, 'taken\nmore\n')
  })
})
