import { FIELD_VALUE, HEX_VALUE, TOKEN } from './byte-classes.ts'
import { Outcome } from './outcome.ts'
import type { NppCode } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'

const State = {
  Size: 0,
  Space: 1,
  ExtensionStart: 2,
  ExtensionName: 3,
  ExtensionNameEnd: 4,
  ExtensionValueStart: 5,
  ExtensionValue: 6,
  ExtensionQuoted: 7,
  ExtensionEscape: 8,
  ExtensionQuotedEnd: 9,
  SizeLf: 10,
  Data: 11,
  DataCr: 12,
  DataLf: 13,
  TrailerStart: 14,
  Trailer: 15,
  TrailerLf: 16,
  LastLf: 17,
} as const
type State = (typeof State)[keyof typeof State]

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const COLON = 58
const SEMICOLON = 59
const EQUALS = 61
const QUOTE = 34
const BACKSLASH = 92
/** Chunks of one byte cost five more: such a body is odd, and legal. */
const MOST_OVERHEAD_A_BYTE = 5

/**
 * A body in chunks (RFC 9112 §7.1), joined in place while it is parsed, resumable at every byte. Offsets are relative to the first byte of
 * the request, as in the parser that it belongs to.
 */
export class ChunkedBody {
  /** End of what has been joined: where the next bytes of the body are expected. */
  bodyEnd = 0
  /** Bytes of the request with its body, valid when complete. */
  length = 0
  refusal: NppCode = 'NPP_BAD_REQUEST'
  reason = ''

  #maxBodyBytes = 0
  #isDiscarded = false
  /** Bytes of the body so far. */
  #bytes = 0
  #state: State = State.Size
  #left = 0
  #digits = 0
  #overhead = 0
  #inTrailerValue = false

  /** Readies it for a body that begins at `bodyStart`. One that is discarded is not joined: its end stays where it begins. */
  begin(bodyStart: number, maxBodyBytes: number, isDiscarded: boolean): void {
    this.bodyEnd = bodyStart
    this.#maxBodyBytes = maxBodyBytes
    this.#isDiscarded = isDiscarded
    this.#bytes = 0
    this.#overhead = 0
    this.#beginChunk()
  }

  #beginChunk(): void {
    this.#state = State.Size
    this.#left = 0
    this.#digits = 0
  }

  #refuse(refusal: NppCode, reason: string): Outcome {
    this.refusal = refusal
    this.reason = reason
    return Outcome.Refused
  }

  #needMore(state: State): Outcome {
    this.#state = state
    return Outcome.NeedMore
  }

  /** Goes on where it was left; the bytes not yet parsed are `bytes[base + bodyEnd, end)`. */
  parse(bytes: Buffer, base: number, end: number): Outcome {
    let state = this.#state
    let at = base + this.bodyEnd
    const from = at
    let dataBytes = 0
    while (at < end) {
      const byte = bytes[at]!
      switch (state) {
        case State.Size: {
          const digit = HEX_VALUE[byte]!
          if (digit !== 255) {
            if (++this.#digits > Limits.chunkSizeDigits) return this.#refuse('NPP_BAD_REQUEST', 'a chunk size is too long')
            this.#left = this.#left * 16 + digit
            at++
            break
          }
          if (this.#digits === 0) return this.#refuse('NPP_BAD_REQUEST', 'a chunk size is missing')
          if (this.#bytes + this.#left > this.#maxBodyBytes) return this.#refuse('NPP_BODY_TOO_LARGE', 'the body is over the limit')
          if (byte === SEMICOLON) state = State.ExtensionStart
          else if (byte === SP || byte === HTAB) state = State.Space
          else if (byte === CR) state = State.SizeLf
          else return this.#refuse('NPP_BAD_REQUEST', 'a chunk size is not hexadecimal')
          at++
          break
        }
        case State.Space: // RFC 9112 §7.1.1: "bad" whitespace stands before the ';' of an extension; none stands after a size.
          if (byte === SEMICOLON) state = State.ExtensionStart
          else if (byte !== SP && byte !== HTAB) return this.#refuse('NPP_BAD_REQUEST', 'space behind a chunk size, and no extension')
          at++
          break
        case State.ExtensionStart:
        case State.ExtensionName:
        case State.ExtensionNameEnd:
        case State.ExtensionValueStart:
        case State.ExtensionValue:
        case State.ExtensionQuoted:
        case State.ExtensionEscape:
        case State.ExtensionQuotedEnd: {
          const next = afterExtensionByte(state, byte)
          if (next === undefined) return this.#refuse('NPP_BAD_REQUEST', 'a chunk extension is malformed')
          state = next
          at++
          break
        }
        case State.SizeLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          state = this.#left === 0 ? State.TrailerStart : State.Data
          at++
          break
        case State.Data: {
          const taken = Math.min(this.#left, end - at)
          if (!this.#isDiscarded) {
            bytes.copyWithin(base + this.bodyEnd, at, at + taken)
            this.bodyEnd += taken
          }
          this.#bytes += taken
          this.#left -= taken
          dataBytes += taken
          at += taken
          if (this.#left === 0) state = State.DataCr
          break
        }
        case State.DataCr:
          if (byte !== CR) return this.#refuse('NPP_BAD_REQUEST', 'a chunk is longer than its size')
          state = State.DataLf
          at++
          break
        case State.DataLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          this.#beginChunk()
          state = State.Size
          at++
          break
        case State.TrailerStart:
          if (byte === CR) {
            state = State.LastLf
            at++
          } else {
            if (TOKEN[byte] !== 1) return this.#refuse('NPP_BAD_REQUEST', 'a trailer name is not a token')
            this.#inTrailerValue = false
            state = State.Trailer
          }
          break
        case State.Trailer: // Trailers are checked for their form and dropped: nothing in npp may depend on them (RFC 9110 §6.5.1).
          if (!this.#inTrailerValue) {
            if (byte === COLON) this.#inTrailerValue = true
            else if (TOKEN[byte] !== 1) return this.#refuse('NPP_BAD_REQUEST', 'a trailer name is not a token')
          } else if (byte === CR) state = State.TrailerLf
          else if (FIELD_VALUE[byte] !== 1) return this.#refuse('NPP_BAD_REQUEST', 'a byte that may not stand in a trailer')
          at++
          break
        case State.TrailerLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          state = State.TrailerStart
          at++
          break
        case State.LastLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          at++
          this.length = at - base
          return Outcome.Complete
      }
      if (this.#overhead + (at - from - dataBytes) > Limits.chunkOverheadBytes + this.#bytes * MOST_OVERHEAD_A_BYTE)
        return this.#refuse('NPP_BAD_REQUEST', 'chunk sizes, extensions and trailers are too long')
    }
    this.#overhead += at - from - dataBytes
    return this.#needMore(state)
  }
}

/**
 * Where a byte of a chunk extension leads; undefined where it may not stand. RFC 9112 §7.1.1: extensions are ignored. Their form is not: who
 * ends one at another place sees another body.
 */
function afterExtensionByte(state: State, byte: number): State | undefined {
  const isSpace = byte === SP || byte === HTAB
  switch (state) {
    case State.ExtensionStart:
      if (TOKEN[byte] === 1) return State.ExtensionName
      return isSpace ? State.ExtensionStart : undefined
    case State.ExtensionName:
      if (TOKEN[byte] === 1) return State.ExtensionName
      return byte === EQUALS ? State.ExtensionValueStart : afterExtension(byte, State.ExtensionNameEnd)
    case State.ExtensionNameEnd: // Space came; the line does not end with it.
      if (byte === EQUALS) return State.ExtensionValueStart
      if (byte === SEMICOLON) return State.ExtensionStart
      return isSpace ? State.ExtensionNameEnd : undefined
    case State.ExtensionValueStart:
      if (byte === QUOTE) return State.ExtensionQuoted
      if (TOKEN[byte] === 1) return State.ExtensionValue
      return isSpace ? State.ExtensionValueStart : undefined
    case State.ExtensionValue:
      return TOKEN[byte] === 1 ? State.ExtensionValue : afterExtension(byte, State.Space)
    case State.ExtensionQuoted: // RFC 9110 §5.6.4
      if (byte === QUOTE) return State.ExtensionQuotedEnd
      if (byte === BACKSLASH) return State.ExtensionEscape
      return FIELD_VALUE[byte] === 1 ? State.ExtensionQuoted : undefined
    case State.ExtensionQuotedEnd:
      return afterExtension(byte, State.Space)
    default: // State.ExtensionEscape
      return FIELD_VALUE[byte] === 1 ? State.ExtensionQuoted : undefined
  }
}

/** The byte behind a name or a value: the end of the line, another extension, or space before one. */
function afterExtension(byte: number, afterSpace: State): State | undefined {
  if (byte === CR) return State.SizeLf
  if (byte === SEMICOLON) return State.ExtensionStart
  return byte === SP || byte === HTAB ? afterSpace : undefined
}
