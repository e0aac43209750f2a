import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { defineServices, page, service } from 'npp/svc'
import { evenSchema } from './even-schema.ts'

const notes: string[] = []
let together = 0
let mostTogether = 0

/** A process that has been asked to hang says so by its pid. */
export default defineServices({
  identity: (input: { readonly token: string }) => ({ token: input.token, pid: process.pid }),
  slow: async ({ token, ms }: { readonly token: string; readonly ms: number }) => {
    await sleep(ms)
    return { token, pid: process.pid }
  },
  again: service({ idempotent: true }, async ({ token, ms }: { readonly token: string; readonly ms: number }) => {
    await sleep(ms)
    return { token, pid: process.pid }
  }),
  busyAgain: service({ idempotent: true }, ({ token, ms }: { readonly token: string; readonly ms: number }) => {
    const end = performance.now() + ms
    while (performance.now() < end) continue
    return { token, pid: process.pid }
  }),
  busy: ({ ms }: { readonly ms: number }) => {
    const end = performance.now() + ms
    while (performance.now() < end) continue
    return { pid: process.pid }
  },
  // Waits for a moment, and so has others of its message wait for it.
  brief: async ({ token }: { readonly token: string }) => {
    await nextTurn()
    return { token, pid: process.pid }
  },
  // Computes for a while, and says whose call it was.
  work: ({ token, ms }: { readonly token: string; readonly ms: number }) => {
    const end = performance.now() + ms
    while (performance.now() < end) continue
    return { token, pid: process.pid }
  },
  // Ends its process, by itself.
  dies: (how: string) => {
    if (how === 'exit') process.exit(1)
    process.kill(process.pid, 'SIGSEGV')
  },
  note: (text: string) => {
    notes.push(text)
  },
  notes: () => notes,
  // Waits, unless nobody waits for it.
  noted: async ({ text, ms }: { readonly text: string; readonly ms: number }, { signal }) => {
    notes.push(text)
    await sleep(ms, undefined, { signal }).catch(() => notes.push(`${text}: ${String(signal.reason?.code)}`))
    return notes
  },
  notedPage: page((req, res) => {
    notes.push(req.path)
    res.text('noted')
  }),
  together: async (ms: number) => {
    mostTogether = Math.max(mostTogether, ++together)
    await sleep(ms)
    together--
    return mostTogether
  },
  half: service({ input: evenSchema, idempotent: true }, (even) => even / 2),
  impatient: service({ timeoutMs: 50 }, async (ms: number) => {
    await sleep(ms)
  }),
  throwing: () => {
    throw Object.assign(new Error('secret of the service'), { code: 'E_SITE' })
  },
  rejecting: async () => {
    await sleep(1)
    throw new Error('late secret of the service')
  },
  large: ({ bytes }: { readonly bytes: number }) => 'x'.repeat(bytes),
  bytes: (input: Uint8Array) => input,
  nothing: () => undefined,
  unsendable: () => ({ callback: () => 1 }),
  page: page((req, res) => {
    res.status(201).header('X-From', String(process.pid)).html(`<p>${req.method} ${req.path} ${req.body.toString()}</p>`)
  }),
  emptyPage: page(() => undefined),
  twicePage: page((req, res) => {
    res.html('first')
    res.json({ second: true })
  }),
  movePage: page((req, res) => res.redirect('/hello?ü=1', 308)),
  badPage: page((req, res) => {
    res.header('X-Bad', 'a\r\nSet-Cookie: stolen=1').text('never')
  }),
})
