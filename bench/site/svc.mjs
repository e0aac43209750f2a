import { setTimeout as sleep } from 'node:timers/promises'
import { defineServices } from '../../dist/svc/index.js'
import { largeReply } from './large.mjs'
import { soakServices } from './soak-services.mjs'

export default defineServices({
  // Always the same work, about so many milliseconds: by the clock, a process that has to wait for its core would do less.
  busy: (milliseconds) => {
    let sum = 0
    for (let step = 0; step < milliseconds * 1e6; step++) sum = (Math.imul(sum, 31) + step) | 0
    return { pid: process.pid, sum }
  },
  slow: async (milliseconds) => {
    await sleep(milliseconds)
    return { pid: process.pid }
  },
  large: largeReply,
  ...soakServices,
})
