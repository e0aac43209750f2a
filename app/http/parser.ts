import { isAuthority } from './authority.ts'
import { FIELD_VALUE, PATH, QUERY, TOKEN } from './byte-classes.ts'
import { ChunkedBody } from './chunked-body.ts'
import { connectionTokens, contentLengthOf, isContinue, transferCodingOf, ConnectionToken, TransferCoding } from './framing.ts'
import {
  CONNECTION_NAME,
  CONTENT_LENGTH_NAME,
  EXPECT_NAME,
  HOST_NAME,
  MAJOR,
  MINOR,
  TRANSFER_ENCODING_NAME,
  VERSION,
  WHOLE_VERSION,
  endOfVisible,
  isHttp1,
  isName,
} from './known-bytes.ts'
import { Outcome } from './outcome.ts'
import { isOtherForm } from './target-form.ts'
import '../../shared/bytes.ts'
import type { NppCode } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'

/** What a site may set of how much a header is. */
export interface HeaderLimits {
  /** Bytes of start line and fields together. */
  readonly headerBytes: number
  /** Fields of a request. */
  readonly headerFields: number
  /** Bytes of the target. */
  readonly targetBytes: number
}

/** Methods npp knows; the parser answers with the index. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const
export type Method = (typeof METHODS)[number]

const State = {
  Start: 0,
  StartLf: 1,
  Method: 2,
  Target: 3,
  Query: 4,
  Version: 5,
  VersionLf: 6,
  Name: 7,
  ValueSpace: 8,
  Value: 9,
  ValueLf: 10,
  EndLf: 11,
  Body: 12,
  Chunks: 13,
  Done: 14,
} as const
type State = (typeof State)[keyof typeof State]

/** Bits of the fields that may come once. */
const Seen = { Host: 1, Expect: 2, TransferEncoding: 4 } as const

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const SLASH = 47
const COLON = 58
const QUESTION_MARK = 63
const ZERO = 48
const LONGEST_METHOD = 32
const NO_VIEW = new DataView(new ArrayBuffer(0))
/** Bytes from which on reading four at a time saves more than the view costs. */
const WORTH_A_VIEW = 256

/**
 * Parses one request in a single pass, resumable at every byte. Offsets are relative to the first byte of the request, so the bytes may move
 * to another buffer between two calls. It makes no strings and allocates nothing; `reset` readies it for the next request.
 */
export class RequestParser {
  /** Index into METHODS. */
  method = 0
  targetStart = 0
  /** End of the path within the target: where '?' stands, or the target's end. */
  pathEnd = 0
  targetEnd = 0
  /** 0 or 1, of HTTP/1.x. */
  minorVersion = 0
  fieldCount = 0
  /** Four offsets a field: name start and end, value start and end. */
  readonly fields: Int32Array
  /** End of the header with its empty line; 0 while it is incomplete. */
  headerEnd = 0
  bodyStart = 0
  bodyEnd = 0
  keepAlive = false
  /** The client waits for 100 Continue before it sends the body. */
  expectsContinue = false
  /** Bytes of the request, valid when complete. */
  length = 0
  /** Bytes from the request's start that the caller keeps when more are needed: below what was given when a chunked body shrank in place. */
  kept = 0
  /** Why the request was refused. */
  refusal: NppCode = 'NPP_BAD_REQUEST'
  /** The rule that it breaks, for the log. */
  reason = ''

  readonly #limits: HeaderLimits
  readonly #chunks = new ChunkedBody()
  #state: State = State.Start
  #position = 0
  #mark = 0
  #contentLength = -1
  /** Bytes of the body that are still to come, where they are not kept; -1 where they are. */
  #leftToDiscard = -1
  #seen = 0
  #connection = 0
  /** The bytes of #view, which reads four at once. */
  #viewed: Buffer | undefined
  #view: DataView = NO_VIEW

  constructor(limits: HeaderLimits) {
    this.#limits = limits
    this.fields = new Int32Array(limits.headerFields * 4)
  }

  /** True between the first byte of a request and its end. */
  get started(): boolean {
    return this.#state !== State.Start && this.#state !== State.Done
  }

  reset(): void {
    this.#state = State.Start
    this.#position = 0
    this.fieldCount = 0
    this.headerEnd = 0
    this.bodyStart = 0
    this.bodyEnd = 0
    this.expectsContinue = false
    this.#contentLength = -1
    this.#leftToDiscard = -1
    this.#seen = 0
    this.#connection = 0
  }

  /**
   * Goes on with the request that begins at `bytes[base]`, of which `bytes[base, end)` has arrived. The part before the point reached must be
   * what it was; nothing of it is read again. Outcome.Header says that a body follows, and comes once: `admit` or `discard` it, then go on. A
   * chunked body is joined in place.
   */
  parse(bytes: Buffer, base: number, end: number): Outcome {
    return this.headerEnd === 0 ? this.#parseHeader(bytes, base, end) : this.#parseBody(bytes, base, end)
  }

  /** Bytes that Content-Length gives the body; -1 for a body in chunks, whose length nobody knows yet. */
  get announcedBytes(): number {
    return (this.#seen & Seen.TransferEncoding) !== 0 ? -1 : Math.max(this.#contentLength, 0)
  }

  /** Lets the body come. Refused, with NPP_BODY_TOO_LARGE, where it is larger than this: false now where Content-Length says so, else later. */
  admit(maxBodyBytes: number): boolean {
    if (this.#contentLength > maxBodyBytes) return this.#no('NPP_BODY_TOO_LARGE', 'Content-Length is over the limit')
    this.#chunks.begin(this.bodyStart, maxBodyBytes, false)
    return true
  }

  /** Lets the body come, and keeps nothing of it: `kept` is the header alone. False, or refused later, where it is larger than this. */
  discard(maxBodyBytes: number): boolean {
    if (this.#contentLength > maxBodyBytes) return this.#no('NPP_BODY_TOO_LARGE', 'the body is too large to be read for nothing')
    this.#leftToDiscard = Math.max(this.#contentLength, 0)
    this.#chunks.begin(this.bodyStart, maxBodyBytes, true)
    return true
  }

  #refuse(refusal: NppCode, reason: string): Outcome {
    this.refusal = refusal
    this.reason = reason
    return Outcome.Refused
  }

  #needMore(state: State, position: number, length: number): Outcome {
    this.#state = state
    this.#position = position
    this.kept = length
    return Outcome.NeedMore
  }

  #parseHeader(bytes: Buffer, base: number, end: number): Outcome {
    const limit = Math.min(end, base + this.#limits.headerBytes)
    let state = this.#state
    let at = base + this.#position
    while (at < limit) {
      let byte = bytes[at]!
      switch (state) {
        case State.Start: // RFC 9112 §2.2: ignore at least one empty line before the start line.
          if (byte === CR) {
            state = State.StartLf
            at++
          } else {
            this.#mark = at - base
            state = State.Method
          }
          if (at - base > Limits.leadingEmptyBytes) return this.#refuse('NPP_BAD_REQUEST', 'too many empty lines before the request')
          break
        case State.StartLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          state = State.Start
          at++
          break
        case State.Method: {
          while (TOKEN[byte] === 1 && ++at < limit) byte = bytes[at]!
          if (at - base - this.#mark > LONGEST_METHOD) return this.#refuse('NPP_NOT_IMPLEMENTED', 'unknown method')
          if (at === limit) break
          if (byte !== SP || at - base === this.#mark)
            return this.#refuse('NPP_BAD_REQUEST', 'the method is not a token followed by one space')
          this.method = methodOf(bytes, base + this.#mark, at)
          if (this.method === -1) return this.#refuse('NPP_NOT_IMPLEMENTED', 'unknown method')
          at++
          this.targetStart = at - base
          state = State.Target
          break
        }
        case State.Target:
          while (PATH[byte] === 1 && ++at < limit) byte = bytes[at]!
          if (at - base - this.targetStart > this.#limits.targetBytes) return this.#refuse('NPP_TARGET_TOO_LONG', 'the target is too long')
          if (at === limit) break
          if (byte !== SP && byte !== QUESTION_MARK) return this.#refuse('NPP_BAD_REQUEST', 'a byte that may not stand in a path')
          this.pathEnd = at - base
          if (this.pathEnd === this.targetStart) return this.#refuse('NPP_BAD_REQUEST', 'the target is empty')
          if (bytes[base + this.targetStart] !== SLASH && !isOtherForm(bytes, base + this.targetStart, at))
            return this.#refuse('NPP_BAD_REQUEST', 'the target is of no form')
          this.targetEnd = this.pathEnd
          at++
          this.#mark = at - base
          state = byte === SP ? State.Version : State.Query
          break
        case State.Query:
          while (QUERY[byte] === 1 && ++at < limit) byte = bytes[at]!
          if (at - base - this.targetStart > this.#limits.targetBytes) return this.#refuse('NPP_TARGET_TOO_LONG', 'the target is too long')
          if (at === limit) break
          if (byte !== SP) return this.#refuse('NPP_BAD_REQUEST', 'a byte that may not stand in a query')
          this.targetEnd = at - base
          at++
          this.#mark = at - base
          state = State.Version
          break
        case State.Version: {
          if (at - base === this.#mark && at + WHOLE_VERSION <= limit && isHttp1(bytes, at)) {
            this.minorVersion = bytes[at + 7]! - ZERO
            at += WHOLE_VERSION
            this.#mark = at - base
            state = State.Name
            break
          }
          const offset = at - base - this.#mark
          if (offset < VERSION.length) {
            const digit = byte - ZERO
            const isDigit = digit >= 0 && digit <= 9
            if (offset === MAJOR ? !isDigit : offset === MINOR ? !isDigit : byte !== VERSION[offset])
              return this.#refuse('NPP_BAD_REQUEST', 'the version is malformed')
            // Of another major version: no minor one brings it back to 0 or 1.
            if (offset === MAJOR) this.minorVersion = (digit - 1) * 10
            else if (offset === MINOR) this.minorVersion += digit
            at++
            break
          }
          if (byte !== CR) return this.#refuse('NPP_BAD_REQUEST', 'the start line does not end with CR LF')
          // RFC 9110 §2.5 lets a server read HTTP/1.2 as 1.1; there is none, and who says so means something else.
          if (this.minorVersion !== 0 && this.minorVersion !== 1) return this.#refuse('NPP_HTTP_VERSION', 'neither HTTP/1.0 nor HTTP/1.1')
          at++
          state = State.VersionLf
          break
        }
        case State.VersionLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          at++
          this.#mark = at - base
          state = State.Name
          break
        case State.Name: {
          if (byte === CR && at - base === this.#mark) {
            if (++at < limit && bytes[at] === LF) return this.#endHeader(at + 1 - base)
            state = State.EndLf
            break
          }
          while (TOKEN[byte] === 1 && ++at < limit) byte = bytes[at]!
          if (at === limit) break
          // Covers a space before the colon and obs-fold (RFC 9112 §5.1, §5.2): both hide fields from one reader and not from another.
          if (byte !== COLON || at - base === this.#mark)
            return this.#refuse('NPP_BAD_REQUEST', 'a field name is not a token followed by a colon')
          if (this.fieldCount === this.#limits.headerFields) return this.#refuse('NPP_HEADER_TOO_LARGE', 'too many fields')
          const field = this.fieldCount * 4
          this.fields[field] = this.#mark
          this.fields[field + 1] = at - base
          if (++at === limit || (bytes[at] !== SP && bytes[at] !== HTAB)) {
            state = State.ValueSpace
            break
          }
          // Nearly always it is one space.
          state = ++at < limit && FIELD_VALUE[bytes[at]!] === 1 && bytes[at]! > SP ? State.Value : State.ValueSpace
          this.#mark = at - base
          break
        }
        case State.ValueSpace:
          while ((byte === SP || byte === HTAB) && ++at < limit) byte = bytes[at]!
          if (at === limit) break
          this.#mark = at - base
          state = State.Value
          break
        case State.Value: {
          if (bytes === this.#viewed || this.#isViewed(bytes, limit - at)) {
            at = endOfVisible(this.#view, at, limit)
            if (at === limit) break
            byte = bytes[at]!
          }
          while (FIELD_VALUE[byte] === 1 && ++at < limit) byte = bytes[at]!
          if (at === limit) break
          if (byte !== CR) return this.#refuse('NPP_BAD_REQUEST', 'a byte that may not stand in a field value')
          const field = this.fieldCount * 4
          let valueEnd = at
          while (valueEnd > base + this.#mark && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--
          this.fields[field + 2] = this.#mark
          this.fields[field + 3] = valueEnd - base
          this.fieldCount++
          if (++at === limit || bytes[at] !== LF) {
            state = State.ValueLf
            break
          }
          if (!this.#noteField(bytes, base)) return Outcome.Refused
          at++
          this.#mark = at - base
          state = State.Name
          break
        }
        case State.ValueLf: {
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          if (!this.#noteField(bytes, base)) return Outcome.Refused
          at++
          this.#mark = at - base
          state = State.Name
          break
        }
        case State.EndLf:
          if (byte !== LF) return this.#refuse('NPP_BAD_REQUEST', 'CR without LF')
          at++
          return this.#endHeader(at - base)
        default:
          return this.#refuse('NPP_BAD_REQUEST', 'the parser was not reset')
      }
    }
    if (at - base >= this.#limits.headerBytes) return this.#refuse('NPP_HEADER_TOO_LARGE', 'the header is too large')
    return this.#needMore(state, at - base, end - base)
  }

  /** Makes #view one of these bytes, where as many are left to be read that it pays. A transport's arena is the same every time. */
  #isViewed(bytes: Buffer, left: number): boolean {
    if (left < WORTH_A_VIEW) return false
    this.#viewed = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return true
  }

  /** Lets go of the bytes: a parser that waits in the pool keeps no connection's buffer alive. */
  forget(): void {
    this.#viewed = undefined
    this.#view = NO_VIEW
  }

  /** Looks at the field just parsed; false when it breaks a rule, which is then the refusal. */
  #noteField(bytes: Buffer, base: number): boolean {
    const field = (this.fieldCount - 1) * 4
    const nameStart = base + this.fields[field]!
    const start = base + this.fields[field + 2]!
    const end = base + this.fields[field + 3]!
    switch (base + this.fields[field + 1]! - nameStart) {
      case 4:
        if (!isName(bytes, nameStart, HOST_NAME)) return true
        if (!this.#sees(Seen.Host)) return this.#no('NPP_BAD_REQUEST', 'more than one Host')
        return isAuthority(bytes, start, end) || this.#no('NPP_BAD_REQUEST', 'Host is not valid')
      case 6:
        if (!isName(bytes, nameStart, EXPECT_NAME)) return true
        // RFC 9110 §10.1.1: the one expectation there is, and once.
        if (!this.#sees(Seen.Expect) || !isContinue(bytes, start, end)) return this.#no('NPP_EXPECTATION_FAILED', 'unknown expectation')
        // RFC 9110 §10.1.1: that of an HTTP/1.0 client is ignored.
        this.expectsContinue = this.minorVersion === 1
        return true
      case 10:
        if (!isName(bytes, nameStart, CONNECTION_NAME)) return true
        this.#connection |= connectionTokens(bytes, start, end)
        return this.#connection >= 0 || this.#no('NPP_BAD_REQUEST', 'Connection is not a list of tokens')
      case 14: {
        if (!isName(bytes, nameStart, CONTENT_LENGTH_NAME)) return true
        // RFC 9112 §6.3 lets a recipient merge equal ones; refusing leaves two readers nothing to disagree on.
        if (this.#contentLength !== -1) return this.#no('NPP_BAD_REQUEST', 'more than one Content-Length')
        this.#contentLength = contentLengthOf(bytes, start, end)
        return this.#contentLength !== -1 || this.#no('NPP_BAD_REQUEST', 'Content-Length is not a number')
      }
      case 17:
        if (!isName(bytes, nameStart, TRANSFER_ENCODING_NAME)) return true
        if (!this.#sees(Seen.TransferEncoding)) return this.#no('NPP_BAD_REQUEST', 'more than one Transfer-Encoding')
        switch (transferCodingOf(bytes, start, end)) {
          case TransferCoding.Chunked:
            return true
          case TransferCoding.Other: // RFC 9112 §6.1: 501 for a coding that is not understood.
            return this.#no('NPP_NOT_IMPLEMENTED', 'a transfer coding other than chunked')
          case TransferCoding.Malformed: // RFC 9112 §6.3: the length cannot be known.
            return this.#no('NPP_BAD_REQUEST', 'Transfer-Encoding is malformed, or chunked is not its last')
        }
      default:
        return true
    }
  }

  /** Notes a field that may come once; false when it came before. */
  #sees(field: number): boolean {
    if ((this.#seen & field) !== 0) return false
    this.#seen |= field
    return true
  }

  #no(refusal: NppCode, reason: string): false {
    this.#refuse(refusal, reason)
    return false
  }

  #endHeader(length: number): Outcome {
    this.headerEnd = length
    this.bodyStart = length
    this.bodyEnd = length
    this.#position = length
    this.length = length
    // RFC 9112 §3.2: a request without Host, or with several, is 400.
    if (this.minorVersion === 1 && (this.#seen & Seen.Host) === 0) return this.#refuse('NPP_BAD_REQUEST', 'Host is missing')
    this.keepAlive =
      this.minorVersion === 1
        ? (this.#connection & ConnectionToken.Close) === 0
        : (this.#connection & ConnectionToken.KeepAlive) !== 0 && (this.#connection & ConnectionToken.Close) === 0
    if ((this.#seen & Seen.TransferEncoding) !== 0) {
      // RFC 9112 §6.3: both lengths present; refuse, or risk smuggling. §6.1: HTTP/1.0 has no Transfer-Encoding.
      if (this.#contentLength !== -1) return this.#refuse('NPP_BAD_REQUEST', 'Transfer-Encoding and Content-Length')
      if (this.minorVersion === 0) return this.#refuse('NPP_BAD_REQUEST', 'Transfer-Encoding on HTTP/1.0')
      this.#state = State.Chunks
      return Outcome.Header
    }
    if (this.#contentLength > 0) {
      this.#state = State.Body
      return Outcome.Header
    }
    this.expectsContinue = false
    this.#state = State.Done
    return Outcome.Complete
  }

  #parseBody(bytes: Buffer, base: number, end: number): Outcome {
    if (this.#state === State.Done) return Outcome.Complete
    if (this.#state === State.Body) {
      if (this.#leftToDiscard >= 0) return this.#discardBody(base, end)
      const length = this.bodyStart + this.#contentLength
      if (end - base < length) return this.#needMore(State.Body, this.bodyStart, end - base)
      this.bodyEnd = length
      this.length = length
      this.#state = State.Done
      return Outcome.Complete
    }
    const outcome = this.#chunks.parse(bytes, base, end)
    this.bodyEnd = this.#chunks.bodyEnd
    if (outcome === Outcome.Refused) return this.#refuse(this.#chunks.refusal, this.#chunks.reason)
    if (outcome === Outcome.NeedMore) return this.#needMore(State.Chunks, this.bodyEnd, this.bodyEnd)
    this.#state = State.Done
    this.length = this.#chunks.length
    return Outcome.Complete
  }

  #discardBody(base: number, end: number): Outcome {
    const arrived = end - base - this.bodyStart
    if (arrived < this.#leftToDiscard) {
      this.#leftToDiscard -= arrived
      return this.#needMore(State.Body, this.bodyStart, this.bodyStart)
    }
    this.length = this.bodyStart + this.#leftToDiscard
    this.#state = State.Done
    return Outcome.Complete
  }
}

const METHOD_BYTES = METHODS.map((method) => Buffer.from(method))

/** Index into METHODS, or -1. RFC 9110 §9.1: methods are case-sensitive. */
function methodOf(bytes: Buffer, start: number, end: number): number {
  // GET, which most requests are.
  if (end - start === 3 && bytes[start] === 71 && bytes[start + 1] === 69 && bytes[start + 2] === 84) return 0
  for (let index = 0; index < METHOD_BYTES.length; index++) {
    const method = METHOD_BYTES[index]!
    if (method.length !== end - start) continue
    let at = 0
    while (at < method.length && bytes[start + at] === method[at]) at++
    if (at === method.length) return index
  }
  return -1
}
