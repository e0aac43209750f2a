import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { NppError } from '../../shared/errors.ts'
import { defaultInstanceId, findSite, importDefault } from '../../shared/site.ts'
import { isCode } from '../support/codes.ts'

const STRIPS_TYPES = 'typescript' in process.features && Boolean(process.features.typescript)

/** When the files of a site were written, in seconds: all at once, as by a check-out. */
const WRITTEN = 1_700_000_000

/** A folder with these files, each with what stands for it. */
function folder(context: TestContext, files: Readonly<Record<string, string>>): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'npp-site-')))
  context.after(() => rmSync(path, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), text)
    utimesSync(join(path, name), WRITTEN, WRITTEN)
  }
  return path
}

function files(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, '']))
}

/** [files of the site, its app, its services]. Those before dist are what the author wrote for Node; .ts comes last. */
const SITES: readonly (readonly [readonly string[], string, string | undefined])[] = [
  [['app.js'], 'app.js', undefined],
  [['app.js', 'svc.js'], 'app.js', 'svc.js'],
  [['app.mjs', 'svc.js'], 'app.mjs', 'svc.js'],
  [['app.js', 'app.mjs'], 'app.js', undefined],
  [['dist/app.js', 'dist/svc.mjs'], 'dist/app.js', 'dist/svc.mjs'],
  [['dist/app.mjs', 'app.ts', 'dist/svc.js', 'svc.ts'], 'dist/app.mjs', 'dist/svc.js'],
  [['app.js', 'dist/app.js', 'app.ts'], 'app.js', undefined],
]

describe('a site', () => {
  for (const [names, app, services] of SITES) {
    it(`of ${names.join(', ')} has its app in ${app}`, (context) => {
      const path = folder(context, files(...names))
      assert.deepEqual(findSite(path), {
        folder: path,
        app: join(path, app),
        services: services === undefined ? undefined : join(path, services),
        stale: [],
      })
    })
  }

  it('names the modules that are older than what they were built of', (context) => {
    const path = folder(context, files('app.ts', 'dist/app.js', 'svc.ts', 'dist/svc.mjs'))
    assert.deepEqual(findSite(path).stale, [])
    utimesSync(join(path, 'svc.ts'), WRITTEN + 1, WRITTEN + 1)
    assert.deepEqual(findSite(path).stale, [join(path, 'dist/svc.mjs')])
    utimesSync(join(path, 'app.ts'), WRITTEN + 1, WRITTEN + 1)
    utimesSync(join(path, 'dist/svc.mjs'), WRITTEN + 2, WRITTEN + 2)
    assert.deepEqual(findSite(path).stale, [join(path, 'dist/app.js')])
  })

  it('is found by a relative path too', (context) => {
    const path = folder(context, files('app.js'))
    assert.equal(findSite(relative(process.cwd(), path)).folder, path)
  })

  it('in TypeScript alone runs where Node strips types, and elsewhere is refused with what to do', (context) => {
    const path = folder(context, files('app.ts'))
    if (STRIPS_TYPES) assert.equal(findSite(path).app, join(path, 'app.ts'))
    else
      assert.throws(
        () => findSite(path),
        (error) => isCode('NPP_SITE_NOT_FOUND')(error) && /build the site/.test(String(error)),
      )
  })

  const missing: readonly (readonly [string, readonly string[], string, RegExp])[] = [
    ['has no folder', [], 'none', /none is not a folder/],
    ['is a file', ['file'], 'file', /file is not a folder/],
    ['has no app', ['svc.js', 'index.js'], '.', /no app module: looked for app\.js, app\.mjs, dist\/app\.js, dist\/app\.mjs, app\.ts/],
  ]
  for (const [rule, names, below, message] of missing) {
    it(`that ${rule} is refused, and says what was looked for`, (context) => {
      const path = join(folder(context, files(...names)), below)
      assert.throws(
        () => findSite(path),
        (error) => isCode('NPP_SITE_NOT_FOUND')(error) && message.test(String(error)),
      )
    })
  }
})

describe('a module of a site', () => {
  it('gives its default export, also from a path with spaces and signs', async (context) => {
    const path = folder(context, { 'a b#c?/app.mjs': 'export default { npp: 1 }' })
    assert.deepEqual(await importDefault(join(path, 'a b#c?', 'app.mjs')), { npp: 1 })
  })

  it('gives nothing without one', async (context) => {
    const path = folder(context, { 'app.mjs': 'export const a = 1' })
    assert.equal(await importDefault(join(path, 'app.mjs')), undefined)
  })

  const broken: readonly (readonly [string, string, RegExp])[] = [
    ['throws', "throw new Error('broken site')", /broken site/],
    ['does not parse', 'export default {', /app\.mjs failed to load: /],
    ['imports what is not there', "import './none.mjs'", /none\.mjs/],
  ]
  for (const [rule, text, message] of broken) {
    it(`that ${rule} is refused, its own error as the cause`, async (context) => {
      const path = join(folder(context, { 'app.mjs': text }), 'app.mjs')
      await assert.rejects(
        () => importDefault(path),
        (error) =>
          error instanceof NppError && error.code === 'NPP_SITE_INVALID' && message.test(error.message) && error.cause instanceof Error,
      )
    })
  }
})

describe('the instance id of a folder', () => {
  it('is the same each time, and by whatever path', (context) => {
    const path = folder(context, files('site/app.js'))
    symlinkSync(join(path, 'site'), join(path, 'link'))
    const id = defaultInstanceId(join(path, 'site'))
    assert.equal(defaultInstanceId(join(path, 'site')), id)
    assert.equal(defaultInstanceId(join(path, 'link')), id)
    assert.match(id, /^site-[0-9a-f]{10}$/)
  })

  it('differs by folder, also where the folders have one name', (context) => {
    const path = folder(context, files('a/site/app.js', 'b/site/app.js'))
    assert.notEqual(defaultInstanceId(join(path, 'a/site')), defaultInstanceId(join(path, 'b/site')))
  })

  it('is one that a queue may be named by, whatever the folder is called', (context) => {
    const names = ['ü', 'a b.c', '...x', 'n'.repeat(200), '-']
    const path = folder(context, files(...names.map((name) => `${name}/app.js`)))
    for (const name of names) assert.match(defaultInstanceId(join(path, name)), /^[A-Za-z0-9_-]{1,32}-[0-9a-f]{10}$/)
  })
})
