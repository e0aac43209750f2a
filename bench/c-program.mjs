import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BenchError, isInstalled } from './commands.mjs'

export const buildFolder = join(import.meta.dirname, 'build')

// A program of one C file beside this one.
export class CProgram {
  constructor(name) {
    this.name = name
    this.binary = join(buildFolder, name)
  }

  async build() {
    if (!isInstalled('cc')) throw new BenchError('cc not found: install gcc (Debian: apt install build-essential, Fedora: dnf install gcc)')
    mkdirSync(buildFolder, { recursive: true })
    const source = join(import.meta.dirname, `${this.name}.c`)
    try {
      await promisify(execFile)('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', this.binary, source])
    } catch (error) {
      throw new BenchError(`${this.name}.c did not compile: ${error.stderr || error.message}`)
    }
  }
}
