import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { ENGINE_TRANSPORTS, type EngineProcess, startEngine } from '../support/engine-process.ts'
import { rawClient } from '../support/raw-client.ts'

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
const IDLE_CLIENTS = 100
/** Share of a processor. */
const IDLE = 0.02

describe('the event loop around the engine', () => {
  it('uses no processor while 100 connections are idle', async (context) => {
    const engines: EngineProcess[] = []
    context.after(() => {
      for (const engine of engines) engine.kill()
    })
    for (const kind of ENGINE_TRANSPORTS) {
      const engine = await startEngine(kind)
      engines.push(engine)
      for (let count = 0; count < IDLE_CLIENTS; count++) {
        const client = await rawClient(context, engine.port)
        assert.equal((await client.send(get('/hello')).answer()).status, 200)
      }
      await engine.ask('look') // Collects, so that the collector has nothing left to do.
    }
    await sleep(500) // The compiler finishes what the requests have left it.
    const loads = await Promise.all(engines.map((engine) => engine.load(() => sleep(2000))))
    for (const [index, kind] of ENGINE_TRANSPORTS.entries())
      assert.ok((loads[index] ?? 1) < IDLE, `${kind}: ${loads[index]} of a processor`)
  })

  for (const kind of ENGINE_TRANSPORTS) {
    it(`runs timers, promises, fetch and files of handlers on ${kind}`, async (context) => {
      const engine = await startEngine(kind)
      context.after(() => engine.kill())
      await engine.begin()
      const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(context, engine.port)))
      for (const client of clients) client.send(get('/mixed').repeat(2))
      for (const client of clients) {
        for (const answer of await client.answers(2)) {
          assert.deepEqual(JSON.parse(answer.body.toString()), { file: true, fetched: 'Hello World!', promise: 'kept' })
        }
        client.socket.destroy()
      }
    })
  }
})
