import { setTimeout as sleep } from 'node:timers/promises'
import { service } from '../../dist/svc/index.js'
import { mirrorBytes, mirroredText } from './soak-payloads.mjs'

const dozeMs = 300
const collectMs = 20

// Calls that were to send no reply.
let notes = 0

const mirror = ({ id, text }) => ({ id, text: mirroredText(text) })

export const soakServices = {
  mirror,
  mirrorAgain: service({ idempotent: true }, mirror),
  mirrorBytes,
  mirrorBytesAgain: service({ idempotent: true }, mirrorBytes),
  doze: async () => {
    await sleep(dozeMs)
    return null
  },
  fail: (id) => {
    throw new Error(`call ${id} is to fail`)
  },
  note: () => {
    notes++
  },
  // Waits besides, so that the next of these calls goes to another process.
  collect: () => {
    globalThis.gc?.()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, collectMs)
    return { pid: process.pid, notes, hasCollected: globalThis.gc !== undefined }
  },
}
