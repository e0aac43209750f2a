import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, it } from 'node:test'
import { ENGINE_TRANSPORTS, type EngineProcess, startEngine, value } from '../support/engine-process.ts'
import { eventually } from '../support/eventually.ts'
import { rawClient } from '../support/raw-client.ts'
import { REFUSED } from '../support/transport-host.ts'

const GET = 'GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'
const ENOUGH = 200
/** Below what the process has open: it gets none, and none that it gives up comes back. */
const NONE = 8
/** Share of a processor, far above what looking again now and then costs, and below a loop that does nothing else. */
const SPINNING = 0.5

async function acceptFailures(engine: EngineProcess): Promise<number> {
  return value(await engine.ask('brief'), 'acceptFailures')
}

for (const kind of ENGINE_TRANSPORTS) {
  describe(`engine on ${kind}: without descriptors`, () => {
    let engine: EngineProcess

    before(async () => {
      engine = await startEngine(kind)
      engine.limit(ENOUGH)
      await engine.begin()
    })

    after(() => engine.kill())

    it('turns clients away with its spare one, without spinning, and serves again', async (context) => {
      const early = await rawClient(context, engine.port)
      assert.equal((await early.send(GET).answer()).status, 200)
      await engine.ask('fill')
      for (let round = 0; round < 5; round++) {
        const refused = await rawClient(context, engine.port)
        const said = await refused.rest()
        if (kind !== 'node') assert.equal(said, REFUSED)
      }
      const load = await engine.load(() => sleep(500))
      assert.ok(load < SPINNING, `${load} of a processor`)
      assert.equal((await early.send(GET).answer()).status, 200, 'who was there before is served')
      await engine.ask('free')
      const late = await rawClient(context, engine.port)
      assert.equal((await late.send(GET).answer()).status, 200)
      for (const client of [early, late]) client.socket.destroy()
      await engine.isEmpty()
    })

    it('lets clients wait when even the spare one is gone, without spinning, and serves them later', async (context) => {
      const early = await rawClient(context, engine.port)
      assert.equal((await early.send(GET).answer()).status, 200)
      for (let round = 0; round < 2; round++) {
        const before = await acceptFailures(engine)
        engine.limit(NONE)
        const waiting = await rawClient(context, engine.port)
        waiting.send(GET)
        // libuv, once it has lost its spare one, tries again all the time and tells nothing of it: node:net has no means against that.
        if (kind !== 'node') {
          await eventually('it is told', async () => (await acceptFailures(engine)) > before)
          const load = await engine.load(() => sleep(500))
          assert.ok(load < SPINNING, `${load} of a processor`)
        }
        assert.equal((await early.send(GET).answer()).status, 200, 'who was there before is served')
        assert.equal(waiting.chunks.length, 0)
        assert.equal(await acceptFailures(engine), before + (kind === 'node' ? 0 : 1), 'told once')
        engine.limit(ENOUGH)
        assert.equal((await waiting.answer()).status, 200)
        waiting.socket.destroy()
        const late = await rawClient(context, engine.port)
        assert.equal((await late.send(GET).answer()).status, 200)
        late.socket.destroy()
      }
      early.socket.destroy()
      await engine.isEmpty()
    })
  })
}
