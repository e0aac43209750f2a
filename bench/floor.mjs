import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildFolder, CProgram } from './c-program.mjs'

const program = new CProgram('floor')

export async function buildFloor() {
  await program.build()
}

export function floorCommand({ name, type, body }) {
  const file = join(buildFolder, `${name}.reply`)
  // The lines of npp, so that both send as many bytes; the date is canned as well.
  const lines = [
    'HTTP/1.1 200 OK',
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${type}; charset=utf-8`,
    'X-Content-Type-Options: nosniff',
    'X-Frame-Options: SAMEORIGIN',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  writeFileSync(file, `${lines.join('\r\n')}\r\n\r\n${body}`)
  return [program.binary, [file]]
}
