import { defineServices, html, page } from 'npp/svc'

/** Work that would hold the engine up. It runs in the npp_svc processes: start more of them and more of it runs at once. */
export default defineServices({
  hello: () => ({ message: 'Hello from a service', pid: process.pid }),

  sum: ({ upTo }: { upTo: number }) => {
    let sum = 0
    for (let number = 1; number <= upTo; number++) sum += number
    return { sum, pid: process.pid }
  },

  report: page((req, res) => {
    res.html(html`<h1>Report</h1><p>For ${req.ip}, written wholly by process ${process.pid}.</p>`)
  }),
})
