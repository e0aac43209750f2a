import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { Unavailable } from './commands.mjs'

// The packages that hold the binary, without the package bun, whose install script moves files about or downloads them.
const packages = { x64: '@oven/bun-linux-x64', arm64: '@oven/bun-linux-aarch64' }

const binary = join(import.meta.dirname, 'node_modules', packages[process.arch] ?? '@oven/none', 'bin', 'bun')

export async function findBun() {
  try {
    accessSync(binary, constants.X_OK)
  } catch {
    const reason =
      process.arch in packages ? `${packages[process.arch]} is not installed` : `there is no package with its binary for ${process.arch}`
    throw new Unavailable(reason)
  }
}

export function bunCommand() {
  return [binary, [join(import.meta.dirname, 'peers', 'bun.mjs')]]
}
