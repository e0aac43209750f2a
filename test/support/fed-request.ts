import type { HeaderLimits } from '../../app/http/parser.ts'
import { Outcome } from '../../app/http/outcome.ts'
import { METHODS, RequestParser } from '../../app/http/parser.ts'

/** All that a parser says of a request, made of what it points to. */
export type Fed =
  | { readonly outcome: 'refused'; readonly code: string; readonly reason: string }
  | { readonly outcome: 'incomplete'; readonly headerComplete: boolean }
  | CompleteRequest

export interface CompleteRequest {
  readonly outcome: 'complete'
  readonly method: string
  readonly target: string
  readonly path: string
  readonly minorVersion: number
  readonly fields: readonly (readonly [string, string])[]
  readonly body: string
  readonly keepAlive: boolean
  readonly expectsContinue: boolean
  /** The bytes behind the request. */
  readonly rest: string
}

/** What becomes of a body: kept, up to as many bytes, or read for nothing. */
export interface BodyPolicy {
  readonly maxBodyBytes: number
  readonly discards?: boolean
}

/** What stands around the request: offsets are relative to its first byte, wherever that is, and nothing beyond its last is looked at. */
const BEFORE = 'other bytes'
const AFTER = 'after'

/** As the engine goes on when a header is complete: a body is let in, or read for nothing. */
export function parseAs(
  parser: RequestParser,
  { maxBodyBytes, discards = false }: BodyPolicy,
  bytes: Buffer,
  base: number,
  end: number,
): Outcome {
  const outcome = parser.parse(bytes, base, end)
  if (outcome !== Outcome.Header) return outcome
  const isLetIn = discards ? parser.discard(maxBodyBytes) : parser.admit(maxBodyBytes)
  return isLetIn ? parser.parse(bytes, base, end) : Outcome.Refused
}

/** Feeds a request in latin1 piece by piece. After each piece what is kept moves to a new buffer and the old one is overwritten, as in the engine. */
export function feed(parser: RequestParser, policy: BodyPolicy, pieces: readonly string[]): Fed {
  let buffer = Buffer.alloc(0)
  let base = 0
  let kept = 0
  for (const [index, piece] of pieces.entries()) {
    const next = Buffer.concat([Buffer.from(BEFORE), buffer.subarray(base, base + kept), Buffer.from(piece, 'latin1'), Buffer.from(AFTER)])
    buffer.fill(0)
    buffer = next
    base = BEFORE.length
    const end = base + kept + piece.length
    const outcome = parseAs(parser, policy, buffer, base, end)
    if (outcome === Outcome.Refused) return { outcome: 'refused', code: parser.refusal, reason: parser.reason }
    if (outcome === Outcome.Complete)
      return completeRequest(parser, buffer, base, buffer.latin1Slice(base + parser.length, end) + pieces.slice(index + 1).join(''))
    kept = parser.kept
  }
  return { outcome: 'incomplete', headerComplete: parser.headerEnd > 0 }
}

/** Feeds a request to a parser that has seen nothing before. */
export function feedFresh(limits: HeaderLimits, policy: BodyPolicy, pieces: readonly string[]): Fed {
  return feed(new RequestParser(limits), policy, pieces)
}

function completeRequest(parser: RequestParser, bytes: Buffer, base: number, rest: string): CompleteRequest {
  const text = (from: number, to: number): string => bytes.latin1Slice(base + from, base + to)
  const fields = Array.from({ length: parser.fieldCount }, (_, field): readonly [string, string] => {
    const [nameStart = 0, nameEnd = 0, valueStart = 0, valueEnd = 0] = parser.fields.subarray(field * 4, field * 4 + 4)
    return [text(nameStart, nameEnd), text(valueStart, valueEnd)]
  })
  return {
    outcome: 'complete',
    method: METHODS[parser.method] ?? '',
    target: text(parser.targetStart, parser.targetEnd),
    path: text(parser.targetStart, parser.pathEnd),
    minorVersion: parser.minorVersion,
    fields,
    body: text(parser.bodyStart, parser.bodyEnd),
    keepAlive: parser.keepAlive,
    expectsContinue: parser.expectsContinue,
    rest,
  }
}
