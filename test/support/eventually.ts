import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 10

/** Waits until the condition holds. The deadline is generous: it tells a stall from a slow machine, not a fast one from a slow one. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`did not come true within ${withinMs} ms: ${what}`)
    await sleep(POLL_MS)
  }
}
