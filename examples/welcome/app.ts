/**
 * A site for npp, written to be read: it uses everything a first site needs, and nothing but 'npp/app' and the files beside it.
 * This module runs in npp_app, the one process that answers. svc.ts runs in npp_svc, where work may take its time.
 */
import { defineApp, forward, html } from 'npp/app'
import { landingPage } from './landing.ts'
import { layout } from './layout.ts'
import { style } from './style.ts'
import { tablePage } from './table.ts'
import { ticks, timePage } from './time.ts'
import { emptyForm, readForm, welcomePage } from './welcome-form.ts'
import { wholeNumber } from './whole-number.ts'
// The type only: svc.ts never runs in this process, but thanks to it a wrong service name or input below does not compile.
import type services from './svc.ts'

export default defineApp<typeof services>({
  routes(route) {
    // A route is a method, a path and a handler. It answers at once, so no promise is made.
    route.get('/', (req, res) => res.html(landingPage(process.pid)))

    route.get('/hello', (req, res) => res.text('Hello World!'))

    // ':name' takes one part of the path. What you put into html`…` is escaped, so nobody's name is a script on your page.
    route.get('/hello/:name', (req, res) => {
      const { name } = req.params
      res.html(layout(`Hello ${name}`, html`<h1>Hello ${name}</h1>`))
    })

    // A form that is answered by the page it stands on. req.form() refuses, with 400, a body that is not of a form.
    route.get('/welcome', (req, res) => res.html(welcomePage(emptyForm)))
    route.post('/welcome', (req, res) => {
      const form = readForm(req.form())
      if (!form.valid) res.status(400)
      res.html(welcomePage(form))
    })

    // Any method. req.body is complete when the handler runs: a Buffer, empty when nothing was sent. The bytes are a stranger's: every
    // answer of npp says nosniff, so that no browser finds a page in what says it is none.
    route.all('/echo', (req, res) => {
      if (req.body.length === 0 && (req.method === 'GET' || req.method === 'HEAD')) {
        res.text('Send me something, and it comes back: curl --data-binary @file -H "Content-Type: image/png" this-address\n')
      } else {
        res.type(req.header('content-type') ?? 'application/octet-stream').send(req.body)
      }
    })

    // A stream: what the generator yields goes out as it comes, for as long as somebody listens.
    route.get('/time', (req, res) => res.html(timePage()))
    route.get('/time/events', (req, res) => {
      res.type('text/event-stream').header('Cache-Control', 'no-store')
      res.stream(ticks(req.signal))
    })

    // Rendered anew for each request.
    route.get('/page', (req, res) => res.html(tablePage()))

    // callAsync hands work to a service process. While it is at it, npp_app goes on answering everybody else.
    route.get('/async/hello', async (req, res) => res.json(await req.callAsync('hello')))

    // A call that fails needs no code here: no service running answers 503, a deadline that passes 504, a service that throws 500.
    route.get('/async/sum', async (req, res) => {
      const upTo = wholeNumber(req.query.get('upTo'), 0, 1e9)
      if (upTo === undefined) {
        res.status(400).json({ error: 'upTo must be a whole number from 0 to 1000000000, as in /async/sum?upTo=10000000' })
        return
      }
      res.json(await req.callAsync('sum', { upTo }, { timeoutMs: 30_000 }))
    })

    // forward passes the request on, and the service writes the whole answer.
    route.get('/async/report', forward('report'))

    // Between two versions of a site a browser need not ask again for an hour.
    route.get('/style.css', (req, res) => {
      res.header('Cache-Control', 'public, max-age=3600')
      res.type('text/css; charset=utf-8').text(style)
    })

    // Where npp answers with an error itself, the page can still be the site's own. The id leads to the line in the log.
    route.error(500, (problem, res) =>
      res.html(layout(problem.title, html`<h1>That was us</h1><p>It is noted as ${problem.requestId}.</p>`)),
    )

    // Whatever no route above matches. The status is 404 already.
    route.notFound((req, res) => {
      const content = html`<h1>Nothing here</h1>
        <p>This site has no page <code>${req.path}</code>. <a href="/">All that it has</a></p>`
      res.html(layout('Nothing here', content))
    })
  },
})
