import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineServices, page, service } from 'npp/svc'
import { patternOf } from './pattern.ts'

export interface Slow {
  readonly token: string
  readonly ms: number
  readonly bytes: Uint8Array
}

async function slowly({ token, ms, bytes }: Slow) {
  await sleep(ms)
  return { token, pid: process.pid, digest: createHash('sha1').update(bytes).digest('hex') }
}

let noted = 0

export default defineServices({
  identity: (token: string) => ({ token, pid: process.pid }),
  echo: (bytes: Uint8Array) => bytes,
  echoObject: (input: { readonly token: string; readonly text: string }) => input,
  make: ({ bytes, seed }: { readonly bytes: number; readonly seed: number }) => patternOf(bytes, seed),
  makeBytes: ({ bytes, seed }: { readonly bytes: number; readonly seed: number }) => new Uint8Array(patternOf(bytes, seed)),
  makeObject: ({ bytes, seed }: { readonly bytes: number; readonly seed: number }) => ({ seed, bytes: patternOf(bytes, seed) }),
  later: async ({ bytes, seed, ms }: { readonly bytes: number; readonly seed: number; readonly ms: number }) => {
    await sleep(ms)
    return patternOf(bytes, seed)
  },
  again: service({ idempotent: true }, slowly),
  once: slowly,
  note: (bytes: Uint8Array) => {
    noted += bytes.byteLength
  },
  noted: () => noted,
  page: page((req, res) => res.type('application/octet-stream').send(req.body)),
})
