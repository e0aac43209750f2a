// An echo of 200 bytes in a worker thread, by piscina: node echo-piscina.mjs <seconds> <calls in flight>
import { isMainThread } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { isTextOf, textOf } from '../echo-text.mjs'
import { measureWindow } from '../echo-window.mjs'

// What the thread runs.
export function echo(text) {
  return text
}

if (isMainThread) measure(Number(process.argv[2]), Number(process.argv[3]))

function measure(seconds, inFlight) {
  // All calls may be with the thread: with one at a time, piscina's default, they would wait for each other.
  const concurrentTasksPerWorker = inFlight
  const pool = new Piscina({ filename: import.meta.filename, minThreads: 1, maxThreads: 1, concurrentTasksPerWorker, recordTiming: false })
  let sent = 0
  let received = 0
  let wrong = 0
  const call = async () => {
    for (;;) {
      const id = sent++
      if (!isTextOf(await pool.run(textOf(id), { name: 'echo' }), id)) wrong++
      received++
    }
  }
  for (let count = 0; count < inFlight; count++) void call()
  measureWindow(
    seconds,
    [process.pid],
    () => ({ received, wrong }),
    () => process.exit(0),
  )
}
