import { BenchError } from './commands.mjs'
import { Server } from './server.mjs'

const warmupMs = 1000

/** MB/s of replies of 1 MiB through callAsync, as the engine itself counts them: no HTTP is in the figure. */
export async function largeReplies(contender, scenario, core, inFlight, { seconds }) {
  const server = new Server(contender, scenario, core)
  try {
    await server.listening()
    await server.check()
    await ask(server.port, inFlight, warmupMs)
    const { replies, bytes, seconds: elapsed, wrong } = await ask(server.port, inFlight, seconds * 1000)
    return { megabytes: bytes / elapsed / 1e6, micros: (elapsed * 1e6) / replies, errors: wrong > 0 ? { wrong } : {} }
  } finally {
    await server.end()
  }
}

async function ask(port, inFlight, milliseconds) {
  const reply = await fetch(`http://127.0.0.1:${port}/large/${inFlight}/${milliseconds}`)
  const found = await reply.json()
  if (found.failure !== undefined) throw new BenchError(found.failure)
  return found
}
