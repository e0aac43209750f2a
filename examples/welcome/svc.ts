/**
 * The services of the site: work that would hold npp_app up. It runs in npp_svc processes, one call at a time in each;
 * start more of them (npx npp svc) and more runs at once. What a service takes and returns travels as a message of at most 8,192 bytes.
 */
import { defineServices, page } from 'npp/svc'
import { reportPage } from './report.ts'

/** Doubles count exactly to 2^53; this leaves room for one more number to be added. */
const CARRY_FROM = 2 ** 52

export default defineServices({
  // A service is a function. app.ts reaches it by its name: callAsync('hello').
  hello: () => ({ message: 'Hello from a service', pid: process.pid }),

  // It takes one value of your choice. Long loops are welcome here.
  sum: ({ upTo }: { upTo: number }) => {
    let carried = 0n
    let rest = 0
    for (let number = 1; number <= upTo; number++) {
      rest += number
      if (rest >= CARRY_FROM) {
        carried += BigInt(rest)
        rest = 0
      }
    }
    return { sum: Number(carried + BigInt(rest)), pid: process.pid }
  },

  // A page writes a whole answer, as a handler in app.ts does. app.ts reaches it by forward('report').
  report: page((req, res) => {
    res.header('Cache-Control', 'no-store')
    res.html(reportPage(req.ip))
  }),
})
