import { setTimeout as sleep } from 'node:timers/promises'
import { html, type Html } from 'npp/app'
import { layout } from './layout.ts'

/** The page that shows what `/time/events` sends. */
export function timePage(): Html {
  return layout(
    'The time',
    html`<h1><time id="now">…</time></h1>
      <p class="lead">The server says it once a second, on one connection, for as long as this page is open.</p>
      <script>
        new EventSource('/time/events').onmessage = ({ data }) => {
          document.getElementById('now').textContent = data
        }
      </script>`,
  )
}

/**
 * Server-sent events: a message a second, until the signal says that nobody listens any more. A blank line ends a message. EventSource in the
 * browser comes back by itself when the connection ends.
 */
export async function* ticks(signal: AbortSignal): AsyncGenerator<string> {
  while (!signal.aborted) {
    yield `data: ${new Date().toUTCString()}\n\n`
    // Wakes up early, by an exception, when the signal is aborted; the loop sees it and ends.
    await sleep(1000, undefined, { signal }).catch(() => undefined)
  }
}
