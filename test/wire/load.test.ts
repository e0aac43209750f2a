import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ENGINE_TRANSPORTS, startEngine, value, type EngineProcess } from '../support/engine-process.ts'
import { programFor, run } from '../support/programs.ts'
import { folder } from '../support/transport-host.ts'

/** Requests that h2load makes in all. */
const COUNT = 5000

/** For wrk: 16 different requests in one write, again and again. */
const PIPELINE = `
local batch
function init()
  local requests = {}
  for number = 1, 16 do
    requests[number] = number % 4 == 0 and wrk.format('POST', '/echo', nil, ('x'):rep(number * 100)) or wrk.format('GET', '/id/' .. number)
  end
  batch = table.concat(requests)
end
function request()
  return batch
end
`

for (const kind of ENGINE_TRANSPORTS) {
  describe(`engine on ${kind}: generators of load`, () => {
    let engine: EngineProcess

    before(async () => {
      engine = await startEngine(kind)
      await engine.begin()
    })

    after(() => engine.kill())

    for (const [rule, inFlight, ...body] of [
      ['a request at a time on each connection', 1],
      ['16 requests in flight on each connection', 16],
      ['16 requests with a body in flight on each connection', 16, '-d'],
    ] as const) {
      it(`h2load by HTTP/1.1 is answered all, with ${rule}`, async (context) => {
        const program = programFor(context, 'h2load')
        if (program === undefined) return
        const file = join(folder(context), 'body')
        writeFileSync(file, 'x'.repeat(3000))
        const payload = body.length > 0 ? ['-d', file] : []
        const path = body.length > 0 ? 'echo' : 'hello'
        const numbers = ['-n', String(COUNT), '-c', '25', '-m', String(inFlight)]
        const before = await engine.ask('brief')
        const { stdout } = await run(context, program, ['--h1', ...numbers, ...payload, `http://127.0.0.1:${engine.port}/${path}`])
        assert.match(
          stdout,
          new RegExp(`requests: ${COUNT} total, ${COUNT} started, ${COUNT} done, ${COUNT} succeeded, 0 failed, 0 errored, 0 timeout`),
        )
        assert.match(stdout, new RegExp(`status codes: ${COUNT} 2xx, 0 3xx, 0 4xx, 0 5xx`))
        const gauges = await engine.isEmpty()
        assert.equal(gauges['openings'], value(before, 'openings') + 25)
      })
    }

    for (const [rule, script, path] of [
      ['a request at a time', '', 'hello'],
      ['16 requests in one write', PIPELINE, 'hello'],
    ] as const) {
      it(`wrk sees no error, with ${rule}`, async (context) => {
        const program = programFor(context, 'wrk')
        if (program === undefined) return
        const file = join(folder(context), 'script.lua')
        writeFileSync(file, script)
        const before = await engine.ask('brief')
        const args = ['-t', '1', '-c', '50', '-d', '1s', ...(script === '' ? [] : ['-s', file])]
        const { stdout } = await run(context, program, [...args, `http://127.0.0.1:${engine.port}/${path}`])
        // wrk names both only where there are some.
        assert.doesNotMatch(stdout, /Socket errors|Non-2xx/)
        const [, answers = '0'] = /(\d+) requests in/.exec(stdout) ?? []
        assert.ok(Number(answers) > 50, stdout)
        const gauges = await engine.isEmpty()
        // A connection that had been lost would have been made again.
        assert.ok(value(gauges, 'openings') <= value(before, 'openings') + 51, stdout)
        if (script !== '') assert.ok(value(gauges, 'reads') - value(before, 'reads') < Number(answers))
      })
    }
  })
}
