import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export class BenchError extends Error {}

/** What cannot be measured on this machine, which is nobody's failure. */
export class Unavailable extends BenchError {}

export function isInstalled(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => isExecutable(join(folder, name)))
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export function requirePinning() {
  const missing = ['taskset', 'setpriv'].filter((name) => !isInstalled(name))
  if (missing.length > 0) {
    throw new BenchError(
      `${missing.join(' and ')} not found: install the package util-linux (Debian: apt install util-linux, Fedora: dnf install util-linux)`,
    )
  }
}
