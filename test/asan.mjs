// npm run test:asan — the contract tests, and the wire tests on the native transport, with the addon built under the address and
// undefined-behaviour sanitizers. They run in a copy, so that no other process ever loads that build.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Where test/faults.c begins its round, 1 to 9: from two places a test does not meet the same failures. */
const { NPP_TEST_FAULTS: seed, ...environment } = process.env
const FAULT_SEEDS = seed === undefined ? ['1', '8'] : [seed]
const compiler = process.env.CC ?? 'cc'

function run(program, args, options = {}) {
  return spawnSync(program, args, { encoding: 'utf8', ...options })
}

/** Node is not built with the sanitizer, so its runtime has to be there before Node's own allocations. */
function runtime() {
  const { stdout } = run(compiler, ['-print-file-name=libasan.so'])
  const path = stdout.trim()
  if (path === '' || path === 'libasan.so') throw new Error(`${compiler} has no libasan: install gcc (Debian: libasan8, Fedora: libasan)`)
  return path
}

if (run(process.execPath, [join(ROOT, 'native/build.mjs'), '--sanitize'], { stdio: 'inherit' }).status !== 0) process.exit(1)
const copy = mkdtempSync(join(tmpdir(), 'npp-asan-'))
try {
  for (const name of ['cli', 'dist', 'native', 'package.json']) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  cpSync(join(ROOT, 'native/build/npp-asan.node'), join(copy, 'native/build/npp.node'))
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'dir')
  const filesOf = (folder) =>
    readdirSync(join(copy, 'dist/test', folder))
      .filter((file) => file.endsWith('.test.js'))
      .map((file) => join('dist/test', folder, file))
  const contract = filesOf('contract')
  const env = {
    ...environment,
    LD_PRELOAD: runtime(),
    // The other transports have no C of ours.
    TEST_TRANSPORT: 'native',
    // V8 never frees what it has at exit; leaks of ours would drown in it.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=0:halt_on_error=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  }
  const test = (chosen, more) =>
    run(process.execPath, ['--test', '--test-concurrency=1', ...chosen], { cwd: copy, env: { ...env, ...more }, stdio: 'inherit' })
      .status ?? 1
  // Clients and proxies of others send no bytes that our own do not, and time a server that is not built to be slow.
  const wire = filesOf('wire').filter((file) => !/\/(?:clients|nginx|slow-attacks)\./.test(file))
  // Once as the system is, and the sockets again with calls that are interrupted, refused for now, or cut short.
  const transport = contract.filter((file) => file.includes('transport'))
  process.exitCode =
    test(contract, {}) || test(wire, {}) || FAULT_SEEDS.reduce((failed, seed) => failed || test(transport, { NPP_TEST_FAULTS: seed }), 0)
} finally {
  rmSync(copy, { recursive: true, force: true })
}
