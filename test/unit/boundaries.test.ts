import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ROOT } from '../support/instance.ts'

const FOLDERS = ['native', 'shared', 'ipc', 'app', 'svc', 'cli'] as const

/** Imports against the direction of the house: from a folder, of a module that exists. */
const FORBIDDEN: readonly (readonly [string, string])[] = [
  ['shared', '../native/index.ts'],
  ['shared', '../ipc/frame.ts'],
  ['native', '../ipc/frame.ts'],
  ['ipc', '../app/index.ts'],
  ['ipc', '../svc/index.ts'],
  ['app', '../svc/index.ts'],
  ['app', '../cli/doctor.ts'],
  ['svc', '../app/index.ts'],
  ['svc', '../cli/doctor.ts'],
]

/** Imports that would let a module of app know what only the engine may: from a folder of app, of what. */
const FORBIDDEN_IN_APP: readonly (readonly [string, string])[] = [
  ['http', "import { createServer } from 'node:net'\ncreateServer()"],
  ['http', "import { NodeTransport } from '../net/node-transport.ts'\nvoid NodeTransport"],
  ['route', "import { NodeTransport } from '../net/node-transport.ts'\nvoid NodeTransport"],
  ['http', "import { Engine } from '../engine.ts'\nvoid Engine"],
  ['call', "import { Engine } from '../engine.ts'\nvoid Engine"],
  ['net', "import { RequestParser } from '../http/parser.ts'\nvoid RequestParser"],
]

let copy = ''

/** The sources and what is built of them, so that planting a file compiles one folder and not six. */
before(() => {
  copy = mkdtempSync(join(tmpdir(), 'npp-boundaries-'))
  for (const name of [...FOLDERS, 'dist', 'package.json', 'tsconfig.base.json', '.oxlintrc.json'])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, preserveTimestamps: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'dir')
})

after(() => rmSync(copy, { recursive: true, force: true }))

function run(program: string, args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'node_modules', program), ...args], {
    cwd: copy,
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

/** Runs `check` while the file stands there. */
function withPlanted(path: string, text: string, check: () => void): void {
  writeFileSync(join(copy, path), text)
  try {
    check()
  } finally {
    rmSync(join(copy, path))
  }
}

describe('an import against the direction of the house does not compile', () => {
  test('the copy compiles as it is, and with an import along the direction', () => {
    for (const folder of FOLDERS) assert.deepEqual(run('typescript/bin/tsc', ['-b', folder]), { status: 0, output: '' })
    withPlanted(
      'svc/planted.ts',
      "import * as planted from '../ipc/frame.ts'\nexport const count: number = Object.keys(planted).length\n",
      () => {
        assert.deepEqual(run('typescript/bin/tsc', ['-b', 'svc']), { status: 0, output: '' })
      },
    )
  })

  for (const [folder, module] of FORBIDDEN) {
    test(`${folder} imports ${module}`, () => {
      withPlanted(
        join(folder, 'planted.ts'),
        `import * as planted from '${module}'\nexport const count: number = Object.keys(planted).length\n`,
        () => {
          const { status, output } = run('typescript/bin/tsc', ['-b', folder])
          assert.notEqual(status, 0)
          assert.match(output, /planted\.ts.*error TS6307/)
        },
      )
    })
  }
})

describe('a module of app that looks beyond its folder does not pass the linter', () => {
  test('the copy passes as it is', () => {
    const { status, output } = run('oxlint/bin/oxlint', ['app'])
    assert.equal(status, 0, output)
  })

  for (const [folder, text] of FORBIDDEN_IN_APP) {
    test(`app/${folder}: ${text.split('\n')[0]}`, () => {
      withPlanted(join('app', folder, 'planted.ts'), `${text}\n`, () => {
        const { status, output } = run('oxlint/bin/oxlint', [join('app', folder)])
        assert.notEqual(status, 0)
        assert.match(output, /no-restricted-imports/)
      })
    })
  }
})
