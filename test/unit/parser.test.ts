import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Outcome } from '../../app/http/outcome.ts'
import { RequestParser } from '../../app/http/parser.ts'
import { feed, feedFresh, parseAs, type Fed } from '../support/fed-request.ts'
import { HEADER_LIMITS } from '../support/header-limits.ts'
import { MAX_BODY, headerOf } from './parser-case.ts'
import { ACCEPTED, INCOMPLETE, REFUSED } from './parser.cases.ts'

/** Requests above this many bytes are split at their ends, where rules decide, and in between now and then. */
const SPLIT_EVERYWHERE_BELOW = 2500
const SPLIT_AT_ENDS = 300
const SPLIT_STRIDE = 211

const POLICY = { maxBodyBytes: MAX_BODY }

function fresh(pieces: readonly string[]): Fed {
  return feedFresh(HEADER_LIMITS, POLICY, pieces)
}

function splitPoints(length: number): number[] {
  return Array.from({ length: Math.max(length - 1, 0) }, (_, index) => index + 1).filter(
    (at) => length < SPLIT_EVERYWHERE_BELOW || at < SPLIT_AT_ENDS || at > length - SPLIT_AT_ENDS || at % SPLIT_STRIDE === 0,
  )
}

/** However the bytes arrive, the outcome is the same. One parser takes all the splits, so that `reset` is tested too. */
function assertSameHoweverFed(request: string, whole: Fed): void {
  const parser = new RequestParser(HEADER_LIMITS)
  for (const at of splitPoints(request.length)) {
    parser.reset()
    assert.deepEqual(feed(parser, POLICY, [request.slice(0, at), request.slice(at)]), whole, `split at ${at}`)
  }
  parser.reset()
  assert.deepEqual(feed(parser, POLICY, Array.from(request)), whole, 'byte by byte')
}

describe('the parser accepts', () => {
  for (const [section, rule, request, expected] of ACCEPTED) {
    it(`${section}: ${rule}`, () => {
      const whole = fresh([request])
      if (whole.outcome !== 'complete') assert.fail(JSON.stringify(whole))
      assert.deepEqual({ ...whole, rest: '', ...expected }, whole)
      assertSameHoweverFed(request, whole)
    })
  }
})

describe('the parser refuses', () => {
  for (const [section, rule, request, code] of REFUSED) {
    it(`${section}: ${rule}: ${code}`, () => {
      const whole = fresh([request])
      if (whole.outcome !== 'refused') assert.fail(JSON.stringify(whole))
      assert.equal(whole.code, code)
      assert.notEqual(whole.reason, '')
      assertSameHoweverFed(request, whole)
    })
  }
})

describe('the parser waits for more after', () => {
  for (const [rule, bytes] of INCOMPLETE) {
    it(rule, () => {
      const whole = fresh([bytes])
      assert.equal(whole.outcome, 'incomplete')
      assertSameHoweverFed(bytes, whole)
    })
  }

  it('every proper beginning of a good request', () => {
    for (const [section, rule, request, { rest = '' }] of ACCEPTED) {
      const length = request.length - rest.length
      for (const at of [...splitPoints(length), length - 1])
        assert.equal(fresh([request.slice(0, at)]).outcome, 'incomplete', `${section}: ${rule}, ${at} bytes`)
    }
  })
})

describe('the parser', () => {
  it('has a table of at least 500 rules', () => {
    assert.ok(ACCEPTED.length + REFUSED.length + INCOMPLETE.length >= 500)
    const names = [...ACCEPTED, ...REFUSED].map(([section, rule]) => `${section} ${rule}`)
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
    )
  })

  it('takes any number of requests one after the other, whatever came before', () => {
    const parser = new RequestParser(HEADER_LIMITS)
    for (const [section, rule, request] of [...ACCEPTED, ...REFUSED, ...ACCEPTED]) {
      const result = feed(parser, POLICY, [request])
      assert.deepEqual(result, fresh([request]), `${section}: ${rule}`)
      parser.reset()
    }
  })

  it('takes pipelined requests out of one buffer, each from where the last one ended', () => {
    const parser = new RequestParser(HEADER_LIMITS)
    const requests = ACCEPTED.filter(([, , , { rest = '' }]) => rest === '').map(([, , request]) => request)
    const buffer = Buffer.from(requests.join(''), 'latin1')
    let at = 0
    for (const request of requests) {
      assert.equal(parseAs(parser, POLICY, buffer, at, buffer.byteLength), Outcome.Complete)
      assert.equal(parser.length, request.length)
      at += parser.length
      parser.reset()
    }
    assert.equal(at, buffer.byteLength)
  })

  it('knows whether it is within a request, and starts over after a reset', () => {
    const parser = new RequestParser(HEADER_LIMITS)
    const request = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.equal(parser.started, false)
    assert.equal(parser.parse(request, 0, 3), Outcome.NeedMore)
    assert.equal(parser.started, true)
    assert.equal(parser.kept, 3)
    assert.equal(parser.parse(request, 0, request.byteLength), Outcome.Complete)
    assert.equal(parser.started, false)
    parser.reset()
    assert.equal(parser.fieldCount, 0)
    assert.equal(parser.headerEnd, 0)
    assert.equal(parser.parse(request, 0, request.byteLength), Outcome.Complete)
  })

  it('keeps of a chunked body only what is body, however much overhead came with it', () => {
    const parser = new RequestParser(HEADER_LIMITS)
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
    const part = Buffer.from(`${head}1;${'e'.repeat(1000)}\r\na\r\n1\r\nb\r\n`)
    assert.equal(parseAs(parser, POLICY, part, 0, part.byteLength), Outcome.NeedMore)
    assert.equal(parser.kept, head.length + 2)
    assert.equal(part.latin1Slice(parser.bodyStart, parser.bodyEnd), 'ab')
  })

  it('reads nothing of what it has read again: a client that sends single bytes costs no more for it', () => {
    const request = Buffer.from(headerOf(HEADER_LIMITS.headerBytes))
    const parser = new RequestParser(HEADER_LIMITS)
    for (let end = 1; end < request.byteLength; end++) {
      assert.equal(parser.parse(request, 0, end), Outcome.NeedMore)
      // What has been parsed as a start line is overwritten; whoever read it again would refuse it.
      if (end === 20) request.fill(0, 0, 16)
    }
    assert.equal(parser.parse(request, 0, request.byteLength), Outcome.Complete)
  })

  it('tells once that a body follows, and has it limited before any of it is read', () => {
    const request = Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy')
    const parser = new RequestParser(HEADER_LIMITS)
    assert.equal(parser.parse(request, 0, request.byteLength), Outcome.Header)
    assert.equal(parser.announcedBytes, 2)
    assert.equal(parser.admit(1), false)
    assert.equal(parser.refusal, 'NPP_BODY_TOO_LARGE')
    assert.equal(parser.admit(2), true)
    assert.equal(parser.parse(request, 0, request.byteLength), Outcome.Complete)
  })

  it('keeps nothing of a body that is discarded, in chunks or not, and ends where it ends', () => {
    const header = 'POST / HTTP/1.1\r\nHost: a\r\n'
    const bodies = [
      ['Content-Length: 20\r\n\r\n', 'x'.repeat(20)],
      ['Transfer-Encoding: chunked\r\n\r\n', `a;e\r\n${'x'.repeat(10)}\r\na\r\n${'y'.repeat(10)}\r\n0\r\nt: v\r\n\r\n`],
    ] as const
    for (const [field, body] of bodies) {
      const head = header + field
      for (let at = 0; at < body.length; at++) {
        const parser = new RequestParser(HEADER_LIMITS)
        const first = Buffer.from(head + body.slice(0, at))
        assert.equal(parser.parse(first, 0, first.byteLength), Outcome.Header)
        assert.equal(parser.discard(20), true)
        assert.equal(parser.parse(first, 0, first.byteLength), Outcome.NeedMore)
        assert.equal(parser.kept, head.length)
        const second = Buffer.from(`${head}${body.slice(at)}GET /`)
        assert.equal(parser.parse(second, 0, second.byteLength), Outcome.Complete, `split at ${at}`)
        assert.equal(second.latin1Slice(parser.length, second.byteLength), 'GET /')
        assert.equal(parser.bodyEnd, parser.bodyStart)
      }
      const parser = new RequestParser(HEADER_LIMITS)
      const whole = Buffer.from(head + body)
      assert.equal(parser.parse(whole, 0, whole.byteLength), Outcome.Header)
      const refused = !parser.discard(19) || parser.parse(whole, 0, whole.byteLength) === Outcome.Refused
      assert.ok(refused)
      assert.equal(parser.refusal, 'NPP_BODY_TOO_LARGE')
    }
  })
})
