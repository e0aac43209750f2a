import { readFileSync, readdirSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchError } from './commands.mjs'
import { formatColumns } from './markdown-table.mjs'
import { median } from './median.mjs'
import { isInterrupted } from './program.mjs'
import { progress, say } from './report.mjs'
import { residentBytes, sessionMembers } from './session-usage.mjs'
import { mirroredText, textOf } from './site/soak-payloads.mjs'

const sharedMemory = '/dev/shm'
const steps = 10
// Before the first look: code is compiled, and each process has used all pages of its young generation, about 100,000 calls each.
const warmCalls = 300_000
const tolerance = { residentMB: 8, descriptors: 2 }
const batch = 500
const batchesAtATime = 4
const singlesAtATime = 8
// Of the calls, those that are made and checked one by one over HTTP.
const singleShare = 0.02
const settleMs = 5000

/** Makes the calls of a soak against a running server with bench/site, and finds out what is wrong afterwards. */
export class Soak {
  agent = new Agent({ keepAlive: true, maxSockets: batchesAtATime + singlesAtATime })
  complaints = []
  #counts = {}
  #samples = []
  #nextId = 1
  #withLarge = true
  #seconds = 0
  #server
  #id
  #options

  constructor(server, id, options) {
    this.#server = server
    this.#id = id
    this.#options = options
  }

  async run() {
    await this.#probeLarge()
    const { calls } = this.#options
    progress(`warm-up, ${warmCalls} calls`)
    await this.#timed(warmCalls)
    await this.#sample('start')
    for (let step = 1; step <= steps && !isInterrupted(); step++) {
      progress(`${step * 10} % of ${calls} calls`)
      await this.#timed(warmCalls + Math.floor((calls * step) / steps))
      await this.#sample(`${step * 10} %`)
      // What is wrong once would be told a thousand times.
      if (this.complaints.length > 20) break
    }
    progress('')
    const made = Object.values(this.#counts).reduce((sum, count) => sum + count, 0)
    say(`\n${made} calls in ${this.#seconds.toFixed(0)} s, ${(made / this.#seconds).toFixed(0)} a second: ${this.#sayCounts()}`)
    if (made !== warmCalls + calls) this.complaints.push(`${made} of ${warmCalls + calls} calls were made`)
  }

  judge() {
    const left = filesOf(this.#id)
    if (left.length > 0) this.complaints.push(`left in ${sharedMemory}: ${left.join(', ')}`)
    for (const { name, growth } of this.#growths()) {
      say(
        `${name}: ${growth.residentMB.toFixed(1)} MB, ${growth.descriptors} descriptors more in the end than in the beginning, at most ${this.#sayTolerance()}`,
      )
      for (const what of Object.keys(tolerance)) {
        if (!(growth[what] <= tolerance[what])) this.complaints.push(`${name} has grown: ${growth[what].toFixed(1)} ${what}`)
      }
    }
    for (const complaint of this.complaints) say(`WRONG: ${complaint}`)
    say(this.complaints.length === 0 ? 'The soak found nothing wrong.' : 'The soak FAILED.')
  }

  found(machine) {
    return {
      machine,
      options: this.#options,
      seconds: this.#seconds,
      counts: this.#counts,
      samples: this.#samples,
      complaints: this.complaints,
    }
  }

  #sayTolerance() {
    return `${tolerance.residentMB} MB and ${tolerance.descriptors}`
  }

  #sayCounts() {
    return Object.entries(this.#counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  }

  #count(name, by = 1) {
    this.#counts[name] = (this.#counts[name] ?? 0) + by
  }

  // An npp that has no large payloads yet says so.
  async #probeLarge() {
    const { status, body } = await this.#get('/large')
    if (status === 200 && body.length === 2 ** 20) return
    this.#withLarge = false
    say(`NOTE: large payloads are left out, as GET /large was answered ${status}`)
  }

  async #timed(upTo) {
    const begun = performance.now()
    await this.#callStep(upTo)
    this.#seconds += (performance.now() - begun) / 1000
  }

  async #callStep(upTo) {
    const singlesFrom = upTo - Math.floor((upTo - this.#nextId + 1) * singleShare) + 1
    const inBatches = this.#taker(batch, singlesFrom - 1)
    await atATime(batchesAtATime, inBatches, (from, count) => this.#callBatch(from, count))
    await atATime(singlesAtATime, this.#taker(1, upTo), (id) => this.#callOne(id))
  }

  /** Hands out ids, so many at a time, up to and with the last; undefined when there are no more. */
  #taker(size, last) {
    return () => {
      const from = this.#nextId
      const count = Math.min(size, last - from + 1)
      if (count <= 0 || this.complaints.length > 20) return undefined
      this.#nextId += count
      return [from, count]
    }
  }

  async #callBatch(from, count) {
    const { status, body } = await this.#get(`/soak/batch/${from}/${count}/${this.#withLarge ? 1 : 0}`)
    if (status !== 200) {
      this.complaints.push(`the batch from ${from} was answered ${status}`)
      return
    }
    const { counts, complaints } = JSON.parse(body)
    for (const [name, number] of Object.entries(counts)) this.#count(name, number)
    this.complaints.push(...complaints)
  }

  async #callOne(id) {
    const { status, body } = await this.#get(`/soak/one/${id}`)
    this.#count('over HTTP')
    if (status !== 200) this.complaints.push(`call ${id} was answered ${status}`)
    else {
      const reply = JSON.parse(body)
      if (reply.id !== id || reply.text !== mirroredText(textOf(id)))
        this.complaints.push(`call ${id} was answered with that of ${reply.id}`)
    }
  }

  /** The processes as they are with no call under way and their garbage collected. */
  async #sample(at) {
    const { services } = this.#options
    const deadline = performance.now() + settleMs
    const notes = new Map()
    let hasCollected = true
    let files
    do {
      const { status, body } = await this.#get(`/soak/collect/${services}`)
      if (status !== 200) throw new BenchError(`GET /soak/collect was answered ${status}`)
      const found = JSON.parse(body)
      hasCollected &&= found.hasCollected
      for (const each of found.services) notes.set(each.pid, each.notes)
      files = filesOf(this.#id)
      // Calls that were cancelled or timed out may still run, and their large replies be on their way.
      await sleep(200)
    } while (performance.now() < deadline && (notes.size < services || files.length > (this.#samples[0]?.files ?? files.length)))
    const processes = sessionMembers(this.#server.process.pid).map(({ pid }) => ({
      pid,
      name: nameOf(pid),
      residentMB: residentBytes(pid) / 2 ** 20,
      descriptors: descriptorsOf(pid),
    }))
    const noted = [...notes.values()].reduce((sum, count) => sum + count, 0)
    this.#samples.push({ at, files: files.length, processes, noted })
    if (!hasCollected) this.complaints.push('the garbage of some process could not be collected')
    if (files.length > this.#samples[0].files) this.complaints.push(`${at}: files are left in ${sharedMemory}: ${files.join(', ')}`)
    if (notes.size < services) this.complaints.push(`${at}: only ${notes.size} of ${services} services answered`)
    else if (noted !== (this.#counts.note ?? 0))
      this.complaints.push(`${at}: ${noted} of ${this.#counts.note} calls without a reply arrived`)
    if (processes.length !== this.#samples[0].processes.length || processes.some(({ pid }) => !this.#knew(pid)))
      this.complaints.push(`${at}: the processes are others than at the start`)
    this.#say(at, processes, files.length)
  }

  #knew(pid) {
    return this.#samples[0].processes.some((process) => process.pid === pid)
  }

  #say(at, processes, files) {
    const columns = [
      'calls'.padEnd(6),
      ...processes.flatMap(({ name, pid }) => [`${name} ${pid} MB`, 'descriptors']),
      `files in ${sharedMemory}`,
    ]
    const row = [at, ...processes.flatMap(({ residentMB, descriptors }) => [residentMB.toFixed(1), String(descriptors)]), String(files)]
    const [head, rule, line] = formatColumns(columns, [row]).split('\n')
    if (this.#samples.length === 1) say(`\n${head}\n${rule}`)
    say(line)
  }

  /** How much more each process has at the end than at the beginning, by medians of three steps. */
  #growths() {
    const after = this.#samples.slice(1)
    if (after.length < 4) return []
    return this.#samples[0].processes.map(({ pid, name }) => {
      const figure = (samples, what) => median(samples.map(({ processes }) => processes.find((each) => each.pid === pid)?.[what] ?? NaN))
      const growth = Object.fromEntries(
        Object.keys(tolerance).map((what) => [what, figure(after.slice(-3), what) - figure(after.slice(0, 3), what)]),
      )
      return { name: `${name} ${pid}`, growth }
    })
  }

  #get(path) {
    const { agent } = this
    return new Promise((fulfil, reject) => {
      const sent = request({ host: '127.0.0.1', port: this.#server.port, path, agent, timeout: 60_000 }, (response) => {
        const chunks = []
        response.on('data', (chunk) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => fulfil({ status: response.statusCode, body: Buffer.concat(chunks) }))
      })
      sent.on('timeout', () => sent.destroy(new BenchError(`GET ${path} was not answered within a minute`)))
      sent.on('error', (error) => reject(new BenchError(`GET ${path}: ${error.message}${this.#server.lastWords()}`)))
      sent.end()
    })
  }
}

async function atATime(count, take, make) {
  const each = async () => {
    for (let taken = take(); taken !== undefined; taken = take()) await make(...taken)
  }
  await Promise.all(Array.from({ length: count }, each))
}

function filesOf(id) {
  return readdirSync(sharedMemory).filter((name) => name.startsWith(`npp-${id}.`))
}

function nameOf(pid) {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0].split(' ')[0]
}

function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).length
}
