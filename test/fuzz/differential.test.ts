import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ROOT } from '../support/instance.ts'
import { fuzz, type FuzzResult } from './differential.ts'
import { KEEP_ALIVE_DIFFERENCES, REWRITES } from './known-differences.ts'

const FIXED_SEED = 9112
const FIXED_INPUTS = 40_000
/** An input that begins with a good request compares something; one that does not tries a rule. Both must be many. */
const LEAST_SHARE = 0.3
const FRESH_MS = 5000

/** Reasons that no bytes lead to: a caller's mistake, and that of a body that only `discard` refuses. */
const NOT_BY_BYTES = new Set(['the parser was not reset', 'the body is too large to be read for nothing'])

/** All reasons that the parser gives, out of its source: one that is added is asked for here from then on. */
function reasons(): string[] {
  const sources = ['app/http/parser.ts', 'app/http/chunked-body.ts'].map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n')
  const found = Array.from(sources.matchAll(/#(?:refuse|no)\(\s*'NPP_\w+',\s*'([^']+)'/g), ([, reason = '']) => reason)
  return Array.from(new Set(found)).filter((reason) => !NOT_BY_BYTES.has(reason))
}

function summary({ inputs, accepted, refused, requests }: FuzzResult): string {
  return `${inputs} inputs, ${accepted} accepted, ${refused} refused, ${requests} requests compared`
}

describe('the parser and llhttp in its strict mode', () => {
  it('agree on what both accept, and npp accepts no more, with a fixed seed that leads to every rule', (context) => {
    const result = fuzz(FIXED_SEED, (inputs) => inputs < FIXED_INPUTS)
    context.diagnostic(`seed ${FIXED_SEED}: ${summary(result)}`)
    assert.equal(result.finding, undefined)
    assert.equal(result.inputs, FIXED_INPUTS)
    assert.ok(result.accepted >= result.inputs * LEAST_SHARE, 'enough is accepted')
    assert.ok(result.refused >= result.inputs * LEAST_SHARE, 'enough is refused')
    assert.ok(reasons().length >= 35, 'the reasons are found in the source')
    assert.deepEqual(
      reasons().filter((reason) => !result.reasons.has(reason)),
      [],
      'each reason to refuse was given',
    )
    assert.deepEqual(
      [...REWRITES, ...KEEP_ALIVE_DIFFERENCES].map(({ name }) => name).filter((name) => !result.differences.has(name)),
      [],
      'each known difference was met: one that is none any more must go',
    )
  })

  it('agree with a fresh seed, too', (context) => {
    const given = Number(process.env['FUZZ_SEED'] ?? 0)
    const seed = given > 0 ? given : Date.now() % 2 ** 32
    context.diagnostic(`FUZZ_SEED=${seed} leads to the same inputs again`)
    const until = performance.now() + FRESH_MS
    const result = fuzz(seed, (inputs) => inputs % 100 !== 0 || performance.now() < until)
    context.diagnostic(summary(result))
    assert.equal(result.finding, undefined, `FUZZ_SEED=${seed}`)
  })
})
