import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BenchError, isInstalled } from './commands.mjs'

const source = join(import.meta.dirname, 'floor.c')
const folder = join(import.meta.dirname, 'build')
const binary = join(folder, 'floor')

export async function buildFloor() {
  if (!isInstalled('cc')) throw new BenchError('cc not found: install gcc (Debian: apt install build-essential, Fedora: dnf install gcc)')
  mkdirSync(folder, { recursive: true })
  try {
    await promisify(execFile)('cc', ['-O2', '-Wall', '-Wextra', '-o', binary, source])
  } catch (error) {
    throw new BenchError(`floor.c did not compile: ${error.stderr || error.message}`)
  }
}

export function floorCommand({ name, type, body }) {
  const file = join(folder, `${name}.reply`)
  const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  writeFileSync(file, head + body)
  return [binary, [file]]
}
