import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineServices, service } from 'npp/svc'

export interface Input {
  readonly token: string
  readonly ms: number
}

/** Where each process writes which calls it begins, so that a test can tell whose hand they were in. */
const begun = openSync(process.env['TEST_BEGUN'] ?? '/dev/null', 'a')

function begin(token: string): void {
  writeSync(begun, `${token} ${process.pid}\n`)
}

function compute({ token, ms }: Input): { readonly token: string; readonly pid: number } {
  begin(token)
  const end = performance.now() + ms
  while (performance.now() < end) continue
  return { token, pid: process.pid }
}

async function wait({ token, ms }: Input): Promise<{ readonly token: string; readonly pid: number }> {
  begin(token)
  await sleep(ms)
  return { token, pid: process.pid }
}

export default defineServices({
  compute,
  wait,
  computeAgain: service({ idempotent: true }, compute),
  waitAgain: service({ idempotent: true }, wait),
})
