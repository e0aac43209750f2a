import { html, type Html } from 'npp/svc'
import { layout } from './layout.ts'

const THROWS = 250_000
const SUMS = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

/** Times that each sum of two dice came up. */
function throwDice(): Map<number, number> {
  const counts = new Map<number, number>()
  for (let thrown = 0; thrown < THROWS; thrown++) {
    const sum = 2 + Math.floor(Math.random() * 6) + Math.floor(Math.random() * 6)
    counts.set(sum, (counts.get(sum) ?? 0) + 1)
  }
  return counts
}

/** A small report. The whole answer travels as one message, so it stays well below 8,192 bytes. */
export function reportPage(ip: string): Html {
  const start = performance.now()
  const counts = throwDice()
  const took = performance.now() - start
  const most = Math.max(...counts.values())
  const megabytes = process.memoryUsage.rss() / 2 ** 20
  return layout(
    'Report',
    html`<h1>A quarter of a million throws</h1>
      <p class="lead">A service process threw two dice 250,000 times and wrote this page about it.</p>
      <table class="bars">
        <thead>
          <tr>
            <th>Sum</th>
            <th>How often</th>
            <th>Share</th>
          </tr>
        </thead>
        <tbody>
          ${SUMS.map((sum) => {
            const count = counts.get(sum) ?? 0
            const width = ((count / most) * 100).toFixed(1)
            const share = ((count / THROWS) * 100).toFixed(2)
            return html`<tr>
              <th>${sum}</th>
              <td><i style="width:${width}%"></i></td>
              <td>${share} %</td>
            </tr>`
          })}
        </tbody>
      </table>
      <dl>
        <div>
          <dt>Process</dt>
          <dd>${process.title} ${process.pid}</dd>
        </div>
        <div>
          <dt>Took</dt>
          <dd>${took.toFixed(1)} ms</dd>
        </div>
        <div>
          <dt>Memory</dt>
          <dd>${megabytes.toFixed(0)} MiB</dd>
        </div>
        <div>
          <dt>Running for</dt>
          <dd>${process.uptime().toFixed(0)} s</dd>
        </div>
        <div>
          <dt>Node</dt>
          <dd>${process.versions.node}</dd>
        </div>
        <div>
          <dt>For</dt>
          <dd>${ip}</dd>
        </div>
      </dl>`,
  )
}
