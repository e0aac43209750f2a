import { isDeepStrictEqual } from 'node:util'
import type { HeaderLimits } from '../../app/http/parser.ts'
import { feedFresh, type CompleteRequest, type Fed } from '../support/fed-request.ts'
import { Llhttp, type LlhttpMessage } from '../support/llhttp.ts'
import { SeededRandom } from '../support/random-bytes.ts'
import { KEEP_ALIVE_DIFFERENCES, REWRITES } from './known-differences.ts'
import { RequestGenerator } from './requests.ts'

/** Small, so that the generator reaches each of them. */
const LIMITS: HeaderLimits = { headerBytes: 2048, headerFields: 20, targetBytes: 300 }
const BODY = { maxBodyBytes: 200 }
const DISCARDED = { maxBodyBytes: 200, discards: true }
/** Requests of one input that are looked at. */
const MOST_REQUESTS = 8
const BYTE_BY_BYTE_ONE_IN = 8
const MOST_SPLITS = 4

/** What a run has seen. */
export interface FuzzResult {
  readonly inputs: number
  /** Requests that npp accepted, and inputs that began with one. */
  readonly requests: number
  readonly accepted: number
  readonly refused: number
  /** How often each reason to refuse was given. */
  readonly reasons: ReadonlyMap<string, number>
  /** How often npp and llhttp differed where they may. */
  readonly differences: ReadonlyMap<string, number>
  /** What is wrong, with the input as a string of JavaScript; of the first that was found. */
  readonly finding: string | undefined
}

/**
 * Feeds what the generator makes of `seed` to npp's parser and to llhttp in its strict mode, until `goesOn` says no or a finding is made. What
 * npp accepts llhttp must accept, with the same bytes, parts, body and end; however the bytes are split, npp must say the same.
 */
export function fuzz(seed: number, goesOn: (inputs: number) => boolean): FuzzResult {
  const random = new SeededRandom(seed)
  const generator = new RequestGenerator(random)
  const llhttp = new Llhttp()
  const reasons = new Map<string, number>()
  const differences = new Map<string, number>()
  let inputs = 0
  let requests = 0
  let accepted = 0
  let refused = 0
  let finding: string | undefined
  while (finding === undefined && goesOn(inputs)) {
    inputs++
    const input = generator.next()
    let at = 0
    for (let count = 0; count < MOST_REQUESTS; count++) {
      const bytes = input.slice(at)
      const whole = feedFresh(LIMITS, BODY, [bytes])
      const fault = faultOf(bytes, whole, llhttp, random, (name) => add(differences, name))
      if (fault !== undefined) {
        finding = `${fault}\nrequest ${JSON.stringify(bytes)}\ninput   ${JSON.stringify(input)}`
        break
      }
      if (whole.outcome === 'refused') {
        add(reasons, whole.reason)
        if (count === 0) refused++
      }
      if (whole.outcome !== 'complete') break
      requests++
      if (count === 0) accepted++
      if (!whole.keepAlive || whole.rest === '') break
      at = input.length - whole.rest.length
    }
  }
  return { inputs, requests, accepted, refused, reasons, differences, finding }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** What is wrong with what npp made of these bytes; undefined where nothing is. */
function faultOf(bytes: string, whole: Fed, llhttp: Llhttp, random: SeededRandom, differed: (name: string) => void): string | undefined {
  for (const pieces of splits(bytes, random)) {
    const split = feedFresh(LIMITS, BODY, pieces)
    if (!isDeepStrictEqual(split, whole))
      return `splitting changes the outcome: ${JSON.stringify(pieces.map((piece) => piece.length))}\n${describe(whole)}\n${describe(split)}`
    const discarded = feedFresh(LIMITS, DISCARDED, pieces)
    if (!isDeepStrictEqual(withoutBody(discarded), withoutBody(whole)))
      return `discarding the body changes the outcome\n${describe(whole)}\n${describe(discarded)}`
  }
  if (whole.outcome === 'complete') return differenceFromLlhttp(bytes, whole, llhttp, differed)
  if (whole.outcome !== 'incomplete') return undefined
  const theirs = readWithRewrites(
    bytes,
    (request) => llhttp.read([latin1(request)]),
    (read) => !read.isComplete,
    differed,
  )
  return theirs.isComplete ? `npp waits for more of what is complete for llhttp\n${describe(theirs)}` : undefined
}

function differenceFromLlhttp(bytes: string, ours: CompleteRequest, llhttp: Llhttp, differed: (name: string) => void): string | undefined {
  const request = bytes.slice(0, bytes.length - ours.rest.length)
  const theirs = readWithRewrites(
    request,
    (other) => readToLastByte(llhttp, other),
    (read) => read.isComplete,
    differed,
  )
  if (!theirs.isComplete)
    return `npp accepts what is ${theirs.refusal === '' ? 'not complete' : `refused, ${theirs.refusal},`} for llhttp\n${describe(ours)}`
  const { method, target, minorVersion, fields, body, keepAlive } = ours
  const mine = { method, target, minorVersion, fields, body, keepAlive }
  if (keepAlive !== theirs.keepAlive) {
    const known = KEEP_ALIVE_DIFFERENCES.find((difference) => difference.applies(ours, request))
    if (known !== undefined) {
      differed(known.name)
      mine.keepAlive = theirs.keepAlive
    }
  }
  const { isComplete: _, refusal: __, ...parts } = theirs
  return isDeepStrictEqual(mine, parts) ? undefined : `npp and llhttp read different things\n${describe(mine)}\n${describe(parts)}`
}

/** What llhttp makes of a request; where that is not what is wanted, what it makes of it without what the two are known to differ in. */
function readWithRewrites(
  request: string,
  read: (request: string) => LlhttpMessage,
  isWanted: (theirs: LlhttpMessage) => boolean,
  differed: (name: string) => void,
): LlhttpMessage {
  let readable = request
  let theirs = read(readable)
  for (const { name, rewritten } of REWRITES) {
    const other = isWanted(theirs) ? readable : rewritten(readable)
    if (other === readable) continue
    readable = other
    theirs = read(readable)
    differed(name)
  }
  return theirs
}

/** Not complete a byte before the end, and complete with it: the next request begins for llhttp where it begins for npp. */
function readToLastByte(llhttp: Llhttp, request: string): LlhttpMessage {
  const bytes = latin1(request)
  return llhttp.read([bytes.subarray(0, -1), bytes.subarray(-1)])
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** The same bytes in pieces: at random points, and now and then one by one. */
function splits(bytes: string, random: SeededRandom): string[][] {
  if (bytes.length < 2) return []
  const points = Array.from({ length: 1 + random.below(MOST_SPLITS) }, () => 1 + random.below(bytes.length - 1)).toSorted((a, b) => a - b)
  const pieces = [0, ...points].map((from, index) => bytes.slice(from, points[index] ?? bytes.length))
  return random.below(BYTE_BY_BYTE_ONE_IN) === 0 && bytes.length < 1000 ? [pieces, Array.from(bytes)] : [pieces]
}

function withoutBody(fed: Fed): Fed | object {
  if (fed.outcome === 'complete') return { ...fed, body: '' }
  // How a body that is too large is called depends on what was to become of it.
  return fed.outcome === 'refused' && fed.code === 'NPP_BODY_TOO_LARGE' ? { ...fed, reason: '' } : fed
}

function describe(value: unknown): string {
  return JSON.stringify(value)
}
