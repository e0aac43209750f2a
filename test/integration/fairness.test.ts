import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { attachedServices } from '../support/attached.ts'
import { CallLoad, percentile } from '../support/call-load.ts'
import { eventually } from '../support/eventually.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'

const FLOOD = 200
const FLOOD_MS = 10
const PROCESSES = 2
const PROBES = 30
/** Messages that a queue holds: those that are in it go before whatever comes later with the same priority. */
const DEPTH = 10

async function start(context: TestContext, settings: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const npp = await startInstance(`${SITES}chaos`, { NPP_ASYNC_SVC_PROCESSES: String(PROCESSES), NPP_LOG_LEVEL: 'warn', ...settings })
  context.after(() => npp.stop('SIGKILL'))
  await eventually('all are attached', () => attachedServices(npp.id).length === PROCESSES)
  return npp
}

interface Flooded {
  /** Milliseconds that each probe took, and the median of the calls of the flood. */
  readonly probes: number[]
  readonly flood: number
  /** Milliseconds in which the services were done with one call of the flood, together. */
  readonly each: number
}

/** Makes calls one after the other while many clients call a service that computes. */
async function flooded(npp: Instance, probe: (token: string) => string): Promise<Flooded> {
  let ending = false
  const load = new CallLoad({ url: npp.url, clients: FLOOD, next: (token) => (ending ? undefined : `/compute/${token}?ms=${FLOOD_MS}`) })
  // By now the queue is full, and so is the backlog.
  await eventually('the flood is there', () => load.answered.length >= FLOOD)
  const before = load.answered.length
  const start = performance.now()
  const probes: number[] = []
  for (let count = 0; count < PROBES; count++) {
    const token = `probe-${count}`
    const asked = performance.now()
    const response = await fetch(npp.url + probe(token))
    assert.equal(response.status, 200)
    assert.match(await response.text(), new RegExp(`"token":"${token}"`))
    probes.push(performance.now() - asked)
  }
  // Short probes are over before the flood has shown its pace.
  await eventually('the flood goes on', () => load.answered.length >= before + FLOOD * 2)
  const each = (performance.now() - start) / (load.answered.length - before)
  ending = true
  await load.ended
  for (const one of load.answered) assert.deepEqual([one.status, one.answeredToken], [200, one.token])
  return {
    probes,
    flood: percentile(
      load.answered.slice(FLOOD).map((one) => one.end - one.start),
      0.5,
    ),
    each,
  }
}

function say({ probes, flood, each }: Flooded): string {
  return `probes p50 ${percentile(probes, 0.5).toFixed()} ms, max ${Math.max(...probes).toFixed()} ms; flood p50 ${flood.toFixed()} ms, one each ${each.toFixed(1)} ms`
}

suite('a service that is flooded', () => {
  test('does not hold up another: its calls wait for what is in the queue, not for what waits for it', async (context) => {
    const npp = await start(context)
    const result = await flooded(npp, (token) => `/computeAgain/${token}`)
    context.diagnostic(say(result))
    // A call of the flood travels alone, as it takes longer than a message may: so what is in the queue is DEPTH of them, and each process has one.
    // Twice that for the machine: a turn of the scheduler is as long as a call.
    const bound = 2 * (DEPTH + PROCESSES) * result.each
    assert.ok(percentile(result.probes, 0.5) <= bound, say(result))
    assert.ok(percentile(result.probes, 0.5) < result.flood / 4, say(result))
    assert.ok(Math.max(...result.probes) < result.flood, say(result))
  })

  test('has calls of a higher priority before all others, its own too', async (context) => {
    const npp = await start(context)
    const result = await flooded(npp, (token) => `/compute/${token}?priority=31`)
    context.diagnostic(say(result))
    // Nothing is before it but what runs.
    assert.ok(percentile(result.probes, 0.5) <= 2 * 2 * PROCESSES * result.each, say(result))
    assert.ok(Math.max(...result.probes) < result.flood, say(result))
  })

  test('is refused calls beyond maxBacklog at once, others are not, and all is well afterwards', async (context) => {
    const npp = await start(context, { NPP_MAX_BACKLOG: '20' })
    const asked = 20
    let started = 0
    const load = new CallLoad({
      url: npp.url,
      clients: FLOOD,
      next: (token) => (started++ < FLOOD * asked ? `/compute/${token}?ms=${FLOOD_MS}` : undefined),
    })
    await eventually('calls are refused', () => load.count(503) > 0)
    const refused = await refusedOf(npp)
    assert.equal(refused.headers.get('retry-after'), '1')
    for (let count = 0; count < 10; count++) {
      const response = await fetch(`${npp.url}/waitAgain/other-${count}`)
      assert.equal(response.status, 200, 'maxPerService keeps room for other services')
      await response.text()
    }
    await load.ended
    assert.equal(load.count(200) + load.count(503), FLOOD * asked)
    for (const one of load.answered) if (one.status === 200) assert.equal(one.answeredToken, one.token)
    const tookOf = (status: number): number =>
      percentile(
        load.answered.filter((one) => one.status === status).map((one) => one.end - one.start),
        0.5,
      )
    assert.ok(tookOf(503) < tookOf(200), `${tookOf(503)} ms to refuse, ${tookOf(200)} ms to answer`)
    for (let round = 0; round < 20; round++) assert.equal((await fetch(`${npp.url}/compute/after-${round}`)).status, 200)
    assert.equal(await npp.stop(), 0)
  })
})

/** A call that is refused; one that is not is made again. */
async function refusedOf(npp: Instance): Promise<Response> {
  for (let count = 0; count < 1000; count++) {
    const response = await fetch(`${npp.url}/compute/refused-${count}?ms=${FLOOD_MS}`)
    await response.text()
    if (response.status === 503) return response
  }
  return assert.fail('nothing was refused')
}
