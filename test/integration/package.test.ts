import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { ROOT, environment, freshInstanceId, queuesOf } from '../support/instance.ts'

const run = promisify(execFile)

/** npm, and the Node that runs the tests: also where that is not the one of the PATH. */
function npmEnvironment(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env = environment(settings)
  // npm tells its scripts about itself by these; a second npm inside one of them is to look at its own project.
  const clean = Object.entries(env).filter(([name]) => !name.startsWith('npm_'))
  return { ...Object.fromEntries(clean), PATH: `${dirname(process.execPath)}${delimiter}${env['PATH'] ?? ''}` }
}

test('the packed package installs into a site, builds its addon there and runs it', { timeout: 300_000 }, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'npp-package-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const id = freshInstanceId()
  const env = npmEnvironment({ NPP_ASYNC_ID: id })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT, env })
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  assert.ok(tarball !== undefined)

  const site = join(folder, 'site')
  mkdirSync(site)
  writeFileSync(join(site, 'package.json'), '{"private":true,"type":"module"}')
  writeFileSync(
    join(site, 'app.js'),
    `import { defineApp } from 'npp/app'
     export default defineApp({ routes(route) { route.get('/', async (req, res) => { res.json(await req.callAsync('answer')); setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50) }) },
       everySecond() {} })`,
  )
  writeFileSync(
    join(site, 'svc.js'),
    `import { defineServices } from 'npp/svc'\nexport default defineServices({ answer: () => ({ answer: 42 }) })`,
  )
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, tarball)], { cwd: site, env })

  const doctor = await run('npx', ['npp', 'doctor'], { cwd: site, env })
  assert.match(doctor.stdout, /^ok   the native addon loads$/m)

  const started = run('npx', ['npp', 'start'], { cwd: site, env })
  let output = ''
  const url = await new Promise<string>((resolve, reject) => {
    started.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const found = /"url":"(http:[^"]+)"/.exec(output)?.[1]
      if (found !== undefined) resolve(found)
    })
    started.then(
      () => reject(new Error(`npp ended: ${output}`)),
      (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
    )
  })
  assert.deepEqual(await (await fetch(url)).json(), { answer: 42 })
  await started
  assert.deepEqual(queuesOf(id), [])
})
