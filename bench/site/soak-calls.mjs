import { bytesOf, isMirrored, mirroredText, textOf } from './soak-payloads.mjs'

const KiB = 1024
const timeoutMs = 5
const abortMs = 3

// By the rest that the id leaves: what the call is, and whether it needs large payloads. All others mirror a text.
const kinds = [
  { every: 500, rest: 7, isLarge: true, make: (callAsync, id) => bytes(callAsync, 'mirrorBytes', id, 20 * KiB) },
  { every: 1000, rest: 8, make: (callAsync, id) => callAsync.noReply('note', id).then(() => 'note') },
  { every: 2000, rest: 6, isLarge: true, make: (callAsync, id) => bytes(callAsync, 'mirrorBytesAgain', id, 100 * KiB) },
  { every: 10_000, rest: 1, make: (callAsync, id) => refused(callAsync('doze', id, { timeoutMs }), 'NPP_CALL_TIMEOUT', 'timed out') },
  {
    every: 10_000,
    rest: 2,
    make: (callAsync, id) => cancelled(callAsync, 'doze', id, (controller) => setTimeout(() => controller.abort(), abortMs)),
  },
  { every: 10_000, rest: 3, make: (callAsync, id) => cancelled(callAsync, 'doze', id, (controller) => controller.abort()) },
  { every: 10_000, rest: 4, isLarge: true, make: (callAsync, id) => cancelledOrMirrored(callAsync, id, 100 * KiB) },
  { every: 50_000, rest: 5, make: failing },
]

/** Makes all calls at a time, checks each answer against its own request, and counts what came of them; the first complaints are told. */
export async function soakBatch(callAsync, from, count, withLarge) {
  const counts = {}
  const complaints = []
  const make = async (id) => {
    const kind = kinds.find(({ every, rest, isLarge }) => id % every === rest && (withLarge || isLarge !== true))
    const outcome = await (kind === undefined ? text(callAsync, id) : kind.make(callAsync, id)).catch(
      (error) => new Error(`${error.code ?? error.name}: ${error.message}`),
    )
    const isWrong = outcome instanceof Error
    const name = isWrong ? 'wrong' : outcome
    counts[name] = (counts[name] ?? 0) + 1
    if (isWrong && complaints.length < 5) complaints.push(`call ${id}: ${outcome.message}`)
  }
  await Promise.all(Array.from({ length: count }, (_, at) => make(from + at)))
  return { counts, complaints }
}

/** One call, whose answer the client checks. */
export function soakOne(callAsync, id) {
  return callAsync(id % 2 === 0 ? 'mirror' : 'mirrorAgain', { id, text: textOf(id) })
}

async function text(callAsync, id) {
  const sent = textOf(id)
  const reply = await callAsync(id % 2 === 0 ? 'mirror' : 'mirrorAgain', { id, text: sent })
  return reply.id === id && reply.text === mirroredText(sent) ? 'text' : new Error(`the answer is that of ${String(reply.id)}`)
}

async function bytes(callAsync, service, id, length) {
  return isMirrored(await callAsync(service, bytesOf(id, length)), id, length) ? `${length / KiB} KiB` : new Error('other bytes came back')
}

async function refused(called, code, outcome) {
  try {
    await called
    return new Error(`it was answered in place of ${code}`)
  } catch (error) {
    return error.code === code ? outcome : error
  }
}

function cancelled(callAsync, service, id, later) {
  const controller = new AbortController()
  const called = callAsync(service, id, { signal: controller.signal })
  later(controller)
  return refused(called, 'NPP_CALL_CANCELLED', 'cancelled')
}

// Nobody knows which comes first.
async function cancelledOrMirrored(callAsync, id, length) {
  const controller = new AbortController()
  const called = callAsync('mirrorBytes', bytesOf(id, length), { signal: controller.signal })
  setImmediate(() => controller.abort())
  try {
    return isMirrored(await called, id, length) ? 'cancelled, large' : new Error('other bytes came back')
  } catch (error) {
    return error.code === 'NPP_CALL_CANCELLED' ? 'cancelled, large' : error
  }
}

async function failing(callAsync, id) {
  try {
    await callAsync('fail', id)
    return new Error('it was answered in place of failing')
  } catch (error) {
    return error.code === 'NPP_SERVICE_FAILED' && error.message.includes(`call ${id} `) ? 'failed' : error
  }
}

/** Collects the engine's garbage, and that of services by calls that each hold a process for a while. */
export async function soakCollect(callAsync, services) {
  globalThis.gc?.()
  const found = await Promise.all(Array.from({ length: services * 4 }, () => callAsync('collect')))
  return { hasCollected: globalThis.gc !== undefined && found.every(({ hasCollected }) => hasCollected), services: found }
}
