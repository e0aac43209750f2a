import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { LOG_LEVELS, type LogLevel } from '../../shared/config.ts'
import { openLog, type ProcessLog } from '../../shared/log.ts'
import { eventually } from '../support/eventually.ts'

const CHILD = fileURLToPath(new URL('../support/log-child.js', import.meta.url))

function parse(text: string): Map<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const value: unknown = JSON.parse(line)
      assert.ok(typeof value === 'object' && value !== null)
      return new Map(Object.entries(value))
    })
}

interface Given {
  readonly log: ProcessLog
  /** What has been written so far. */
  readonly text: () => string
}

function open(context: TestContext, level: LogLevel): Given {
  const folder = mkdtempSync(join(tmpdir(), 'npp-log-'))
  const path = join(folder, 'log')
  const descriptor = openSync(path, 'a')
  const log = openLog({ name: 'npp_test', level, pretty: false, descriptor })
  context.after(() => {
    log.close()
    closeSync(descriptor)
    rmSync(folder, { recursive: true })
  })
  return { log, text: () => readFileSync(path, 'utf8') }
}

function writeAll(log: ProcessLog): void {
  log.error({ a: 1 }, 'an error')
  log.warn({ a: 2 }, 'a warning')
  log.info({ a: 3 }, 'a message')
  log.debug({ a: 4 }, 'a detail')
  log.flush()
}

describe('the log', () => {
  for (const [count, level] of LOG_LEVELS.entries()) {
    it(`of level ${level} writes ${count} of the four levels`, async (context) => {
      const { log, text } = open(context, level)
      writeAll(log)
      await eventually('the lines are written', () => parse(text()).length >= count)
      // Sorted: a line that is written at once may still be under way when the flush writes those after it.
      const lines = parse(text()).map((line) => `${String(line.get('level'))} ${String(line.get('a'))} ${String(line.get('msg'))}`)
      assert.deepEqual(
        lines.toSorted().toReversed(),
        ['50 1 an error', '40 2 a warning', '30 3 a message', '20 4 a detail'].slice(0, count),
      )
      assert.equal(log.writesInfo, count >= 3)
    })
  }

  it('writes a JSON object a line, with time, pid and name', (context) => {
    const { log, text } = open(context, 'info')
    log.info({ text: 'a\n"b"' }, 'one\nmessage')
    log.flush()
    const [line, ...others] = parse(text())
    assert.equal(others.length, 0)
    assert.deepEqual(
      [line?.get('name'), line?.get('pid'), line?.get('text'), line?.get('msg')],
      ['npp_test', process.pid, 'a\n"b"', 'one\nmessage'],
    )
    assert.equal(typeof line?.get('time'), 'number')
  })

  it('puts ready-made lines among the others, in order', (context) => {
    const { log, text } = open(context, 'info')
    log.info({}, '1')
    log.line('{"msg":"2"}\n')
    log.info({}, '3')
    log.flush()
    assert.deepEqual(
      parse(text()).map((line) => line.get('msg')),
      ['1', '2', '3'],
    )
  })

  it('gathers lines of level info, and writes a warning or an error at once with all before it', async (context) => {
    for (const level of ['warn', 'error'] as const) {
      const { log, text } = open(context, 'info')
      log.info({}, 'gathered')
      assert.equal(text(), '')
      log[level]({}, 'urgent')
      await eventually('it is written', () => parse(text()).length === 2)
    }
  })

  it('writes what it has gathered when it is closed', (context) => {
    const { log, text } = open(context, 'info')
    log.info({}, 'last')
    log.close()
    assert.equal(parse(text())[0]?.get('msg'), 'last')
  })

  it('loses and mixes up nothing of many lines', (context) => {
    const { log, text } = open(context, 'info')
    for (let number = 0; number < 20_000; number++) {
      if (number % 2 === 0) log.info({ number }, 'x'.repeat(number % 200))
      else log.line(`{"number":${number}}\n`)
    }
    log.flush()
    assert.deepEqual(
      parse(text()).map((line) => line.get('number')),
      Array.from({ length: 20_000 }, (_, number) => number),
    )
  })
})

describe('the log of a process that ends', () => {
  const endings: readonly (readonly [string, string, number, readonly string[]])[] = [
    ['by process.exit', 'exit', 3, ['first', 'ready-made']],
    ['by itself', 'end', 0, ['first', 'ready-made']],
    ['after closing it', 'close', 0, ['first', 'ready-made']],
    ['by a crash that it logs', 'crash', 70, ['first', 'ready-made', 'crashed']],
    ['by an exception that nobody hears of', 'uncaught', 1, ['first', 'ready-made']],
  ]
  for (const [rule, ending, code, messages] of endings) {
    it(`${rule} has every line`, () => {
      const { status, stdout } = spawnSync(process.execPath, [CHILD, ending], { encoding: 'utf8' })
      assert.equal(status, code)
      assert.deepEqual(
        parse(stdout).map((line) => line.get('msg')),
        messages,
      )
    })
  }
})

describe('the log of a process that goes on', () => {
  it('is written though the buffer is not full', async (context) => {
    const child = spawn(process.execPath, [CHILD, 'later'], { stdio: ['ignore', 'pipe', 'inherit'] })
    context.after(() => child.kill('SIGKILL'))
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    await eventually('both lines are written', () => text.endsWith('"ready-made"}\n'))
    assert.equal(parse(text).length, 2)
  })
})
