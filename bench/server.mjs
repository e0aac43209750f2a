import { Agent, request } from 'node:http'
import { BenchError } from './commands.mjs'
import { PinnedProcess } from './pinned-process.mjs'
import { listeningPort } from './tcp-sockets.mjs'

const startLimitMs = 15_000
// npp drains for at most 10 s, and gives services 2 s more.
const endGraceMs = 15_000
const replyLimitMs = 5000
const pageTolerance = 0.15

export class StartError extends BenchError {}

export class Server {
  constructor(contender, scenario, core) {
    const [command, words] = contender.command(scenario)
    this.contender = contender
    this.scenario = scenario
    this.process = new PinnedProcess(core, command, words, { env: contender.env, discardsOutput: contender.discardsOutput })
  }

  async listening() {
    // The line is complete once something follows the port.
    const address = /https?:\/\/[^\s"]*:(\d+)[^\d]/
    const found = this.contender.discardsOutput
      ? await this.process.until(() => listeningPort(this.process.pid), startLimitMs)
      : (await this.process.said(address, startLimitMs))?.[1]
    if (found !== undefined) {
      this.port = Number(found)
      return
    }
    const reason = this.process.isAlive ? `listened on no port within ${startLimitMs / 1000} s` : 'ended at its start'
    throw new StartError(`did not start: ${reason}${this.lastWords()}`)
  }

  // Resolves to the sizes of head and body, after the reply was found to be the right one.
  async check() {
    const { path, body, type, headers } = this.scenario
    const reply = await fetchReply(this.port, path, headers)
    const wrong = (what) => new BenchError(`answered GET ${path} wrongly: ${what}`)
    if (reply.status !== 200) throw wrong(`status ${reply.status}`)
    if (!reply.type.startsWith(type)) throw wrong(`content-type ${reply.type || 'missing'}, not ${type}`)
    const sizes = { head: reply.head, body: reply.body.length, note: '' }
    if (body === null || reply.body.equals(Buffer.from(body))) return sizes
    if (!this.contender.ownPage || this.scenario.name !== 'page') throw wrong(`a body of ${sizes.body} bytes that is not the expected one`)
    const expected = Buffer.byteLength(body)
    const isFair = Math.abs(sizes.body - expected) <= expected * pageTolerance
    return { ...sizes, note: `its page has ${sizes.body} bytes, the peers' ${expected}${isFair ? '' : ': NOT COMPARABLE'}` }
  }

  // Its messages without the stack: what went wrong, not where.
  lastWords() {
    const { err, out } = this.process
    const lines = (err.trim() || out.trim()).split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
    return lines
      .slice(-8)
      .map((line) => `\n    ${line}`)
      .join('')
  }

  async end() {
    const killed = await this.process.end(endGraceMs)
    return killed.length > 0 ? `${killed.length} process(es) had to be killed` : ''
  }
}

function fetchReply(port, path, headers) {
  // Kept alive as the load's connections are: a reply that closes has another head.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const fetched = new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, headers, agent, timeout: replyLimitMs }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const lines = response.rawHeaders.reduce((sum, part) => sum + part.length + 2, 0)
        const head = `HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\n`.length + lines + 2
        resolve({ status: response.statusCode, type: response.headers['content-type'] ?? '', head, body: Buffer.concat(chunks) })
      })
    })
    sent.on('timeout', () => sent.destroy(new BenchError(`did not answer GET ${path} within ${replyLimitMs / 1000} s`)))
    sent.on('error', reject)
    sent.end()
  })
  return fetched.finally(() => agent.destroy())
}
