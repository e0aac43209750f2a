#!/usr/bin/env node
// The one file that runs before anything is compiled: in a fresh checkout it compiles the rest, so that `npx npp doctor` can say why an
// install failed. An installed package brings dist/ with it.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const main = new URL('../dist/cli/main.js', import.meta.url)

if (!existsSync(main)) {
  const compiler = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url))
  const { status } = existsSync(compiler) ? spawnSync(process.execPath, [compiler, '-b'], { cwd: root, stdio: 'inherit' }) : { status: 1 }
  if (status !== 0) {
    process.stderr.write(`npp is not compiled: run npm install and npm run build in ${root}\n`)
    process.exit(70)
  }
}

const { run } = await import(main.href)
process.exitCode = await run(process.argv.slice(2), fileURLToPath(import.meta.url))
