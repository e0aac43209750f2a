import { lstatSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { errnoOf } from '../../shared/errors.ts'

/** Removes a socket file that nobody listens on; whatever else is there stays, and listening will say so. */
export async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(false)).once('error', (error) => resolve(errnoOf(error) === 'ECONNREFUSED'))
    probe.once('connect', () => probe.destroy())
  })
  if (isStale) rmSync(path, { force: true })
}
