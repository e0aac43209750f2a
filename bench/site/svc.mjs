import { setTimeout as sleep } from 'node:timers/promises'
import { defineServices } from '../../dist/svc/index.js'

export default defineServices({
  busy: (milliseconds) => {
    const end = performance.now() + milliseconds
    while (performance.now() < end) continue
    return { pid: process.pid }
  },
  slow: async (milliseconds) => {
    await sleep(milliseconds)
    return { pid: process.pid }
  },
})
