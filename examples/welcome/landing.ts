import { html, type Html } from 'npp/app'
import { layout } from './layout.ts'

/** A page of this site: where it leads, and what it shows. */
interface Sight {
  readonly href: string
  /** The path as app.ts writes it. */
  readonly path: string
  readonly shows: string
}

const ANSWERED: readonly Sight[] = [
  { href: '/hello', path: '/hello', shows: 'Twelve bytes of text: the shortest way through the engine.' },
  { href: '/hello/Ada', path: '/hello/:name', shows: 'A part of the path on a page. Try a name with <angle brackets>.' },
  { href: '/welcome', path: '/welcome', shows: 'A form that says what it did not understand and keeps what you typed.' },
  { href: '/echo', path: '/echo', shows: 'Any method. A body that you send comes back, byte for byte.' },
  { href: '/time', path: '/time', shows: 'Server-sent events: one answer that goes on for as long as you look at it.' },
  { href: '/page', path: '/page', shows: 'A table of 100 rows, rendered anew for each request.' },
]

const HANDED_OVER: readonly Sight[] = [
  { href: '/async/hello', path: '/async/hello', shows: 'A service’s answer as JSON, with the number of the process that made it.' },
  { href: '/async/report', path: '/async/report', shows: 'A page that a service wrote from the first byte to the last.' },
  { href: '/async/sum?upTo=10000000', path: '/async/sum?upTo=N', shows: 'A long loop. Other requests do not wait for it.' },
]

// An array in a template is joined: a list is a map over its items.
function list(sights: readonly Sight[]): Html {
  return html`<ul>
    ${sights.map(
      ({ href, path, shows }) =>
        html`<li>
          <a href="${href}"><code>${path}</code><span>${shows}</span></a>
        </li>`,
    )}
  </ul>`
}

/** The page that `/` answers with; `pid` is the process that renders it. */
export function landingPage(pid: number): Html {
  return layout(
    'A first site',
    html`<h1>One process answers. Others do the slow work.</h1>
      <p class="lead">
        npp_app reads your request and writes the answer. What would hold it up goes through a queue of the kernel to a service process, and
        comes back through another.
      </p>
      <div class="way" role="img" aria-label="npp_app sends calls to npp_svc through one message queue and gets replies through another">
        <div class="process app"><b>npp_app</b>process ${pid}</div>
        <div class="queues"><span>calls</span><i class="queue"></i><i class="queue back"></i><span>replies</span></div>
        <div class="process svc"><b>npp_svc</b>one or many</div>
      </div>
      <div class="sights">
        <section class="app">
          <h2>Answered by npp_app</h2>
          ${list(ANSWERED)}
        </section>
        <section class="svc">
          <h2>Handed to npp_svc</h2>
          ${list(HANDED_OVER)}
        </section>
      </div>
      <p class="note">
        This site is made to be read. Begin with <code>examples/welcome/app.ts</code>, then see <code>svc.ts</code> beside it. Any other
        address, such as <code>/nowhere</code>, gets its 404 page.
      </p>`,
  )
}
