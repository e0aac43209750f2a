import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { CONFIG_KEYS, describeSetting, environmentNameOf, flagNameOf } from '../../shared/config.ts'
import { NPP_CODES, NppError, isNppCode, statusOf, summaryOf } from '../../shared/errors.ts'
import { ROOT } from '../support/instance.ts'

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Cells of the table rows that begin with `word` in backquotes, by that word. */
function rowsOf(markdown: string): Map<string, string[]> {
  const rows = markdown.split('\n').flatMap((line) => {
    const cells = line.split('|').map((cell) => cell.trim())
    const name = /^`([^`]+)`$/.exec(cells[1] ?? '')?.[1]
    return name === undefined ? [] : [[name, cells.slice(2, -1)] as const]
  })
  return new Map(rows.map(([name, cells]) => [name, cells]))
}

describe('docs/ERRORS.md', () => {
  const rows = rowsOf(read('docs/ERRORS.md'))

  test('explains each code of the table, and no other', () => {
    assert.deepEqual([...rows.keys()].toSorted(), [...NPP_CODES].toSorted())
  })

  for (const code of NPP_CODES) {
    test(`${code}: status, exit code and meaning are those of the table`, () => {
      const [status, exit, meaning, advice] = rows.get(code) ?? []
      assert.equal(status, String(statusOf(code)))
      assert.equal(exit, String(new NppError(code, '').exitCode))
      assert.equal(meaning, summaryOf(code))
      assert.ok((advice ?? '').length > 10, 'it says what to do')
    })
  }
})

describe('docs/CONFIG.md', () => {
  const rows = rowsOf(read('docs/CONFIG.md'))

  test('lists each key, and no other', () => {
    assert.deepEqual([...rows.keys()].toSorted(), [...CONFIG_KEYS].toSorted())
  })

  for (const key of CONFIG_KEYS) {
    test(`${key}: default, what is allowed, variable and flag are those of the code`, () => {
      const { initial, allowed, about } = describeSetting(key)
      assert.deepEqual(rows.get(key), [
        initial === '' ? '' : `\`${initial}\``,
        allowed,
        `\`${environmentNameOf(key)}\``,
        `\`${flagNameOf(key)}\``,
        about,
      ])
    })
  }
})

describe('docs/HTTP.md', () => {
  const text = read('docs/HTTP.md')

  test('gives each code the status that it has', () => {
    const rows = Array.from(text.matchAll(/^\| (\d{3}) \| `(\w+)` \|/gm), ([, status, code = '']) => ({ status, code }))
    assert.ok(rows.length >= 8)
    for (const { status, code } of rows) {
      assert.ok(isNppCode(code), code)
      assert.equal(status, String(statusOf(code)))
    }
  })

  test('names keys of the configuration that there are', () => {
    const limits = text.slice(text.indexOf('## Time'), text.indexOf('## Answers'))
    const keys: readonly string[] = CONFIG_KEYS
    const named = Array.from(limits.matchAll(/\| `(\w+)`/g), ([, key = '']) => key)
    assert.ok(named.length >= 7)
    for (const key of named) assert.ok(keys.includes(key), key)
  })
})

test('links between the documents lead somewhere', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'bench/README.md', ...documentsIn('docs'), ...documentsIn('docs/adr')]
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
      assert.ok(existsSync(join(ROOT, dirname(document), target)), `${document} links to ${target}`)
    }
  }
})

function documentsIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : []))
}
