// Compiles native/*.c into native/build/npp.node with the C compiler alone: no node-gyp, no python, no download (docs/adr/0004).
//   node native/build.mjs [--check | --clean | --sanitize]
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCE = dirname(fileURLToPath(import.meta.url))
const OUTPUT = join(SOURCE, 'build')
const SUMMARY = 'npp: cannot build the native addon:'
const ADVICE = `  Debian, Ubuntu:  apt-get install gcc libc6-dev   (or build-essential)
  Fedora:          dnf install gcc glibc-devel     (or gcc-c++)
Then run npm install again (or npm rebuild npp where npp is a dependency); npx npp doctor tells whether all is there.`

const USUAL = ['-std=c11', '-D_GNU_SOURCE', '-DNAPI_VERSION=8', '-Wall', '-Wextra', '-Werror', '-fPIC', '-fvisibility=hidden']
// Distributions predefine _FORTIFY_SOURCE differently; defining it twice would be a warning.
const RELEASE = ['-O2', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2', '-fstack-protector-strong']
const SANITIZE = [
  '-O1',
  '-g',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=undefined',
  '-DNPP_LIBC_CALLS',
]
// System calls of the sanitized build may be made to fail: test/faults.c.
const FAULTS = ['send', 'sendmsg', 'recv', 'sendfile', 'accept4']
const LINK_FAULTS = FAULTS.map((name) => `-Wl,--wrap=${name}`)
const LINK = ['-shared', '-Wl,-z,relro,-z,now', '-lrt', '-lpthread']

const PROBE = '#include <mqueue.h>\n#include <fcntl.h>\nint main(void) { return F_OFD_SETLK == 0; }\n'

function run(compiler, args, input) {
  const [program, ...first] = compiler
  const result = spawnSync(program, [...first, ...args], { input, encoding: 'utf8' })
  return {
    found: result.error === undefined,
    ok: result.status === 0,
    text: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`,
  }
}

/** The compiler as words, or what is missing. $CC goes first; g++ can compile C too where only it was installed. */
function findCompiler() {
  const asked = (process.env.CC ?? '').split(' ').filter((word) => word !== '')
  const usual = [['cc'], ['gcc'], ['clang'], ['g++'], ['clang++']]
  for (const compiler of asked.length > 0 ? [asked] : usual) {
    if (!run(compiler, ['--version']).found) continue
    const probe = run(compiler, ['-D_GNU_SOURCE', '-fsyntax-only', '-x', 'c', '-'], PROBE)
    return probe.ok
      ? { compiler }
      : { missing: `the headers of the C library do not compile with ${compiler.join(' ')}.`, detail: probe.text }
  }
  return {
    missing: asked.length > 0 ? `$CC is ${asked.join(' ')}, which does not run.` : 'there is no C compiler (cc, gcc, clang or g++).',
  }
}

function findHeaders() {
  try {
    return { include: createRequire(import.meta.url)('node-api-headers').include_dir }
  } catch {
    return { missing: 'the npm package node-api-headers is not installed; run npm install.' }
  }
}

function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1
}

function stampOf(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function fail(missing, detail = '') {
  process.stderr.write(`${SUMMARY} ${missing}\n${detail === '' ? '' : `${detail.trimEnd()}\n`}${ADVICE}\n`)
  return 1
}

function build(compiler, include, sanitize) {
  const name = sanitize ? 'npp-asan.node' : 'npp.node'
  const target = join(OUTPUT, name)
  const stampFile = `${target}.flags`
  const files = readdirSync(SOURCE).filter((file) => file.endsWith('.c') || file.endsWith('.h'))
  const sources = files.filter((file) => file.endsWith('.c')).map((file) => join(SOURCE, file))
  if (sanitize) sources.push(join(SOURCE, '../test/faults.c'))
  // g++ takes -x for one file only.
  const inC = sources.flatMap((source) => ['-x', 'c', source])
  const args = [...USUAL, ...(sanitize ? SANITIZE : RELEASE), '-I', include, ...inC, ...LINK, ...(sanitize ? LINK_FAULTS : [])]
  const stamp = `${process.arch} ${[...compiler, ...args].join(' ')}\n`
  const builtAt = modifiedAt(target)
  const inputs = [...sources, ...files.map((file) => join(SOURCE, file)), fileURLToPath(import.meta.url), join(include, 'node_api.h')]
  if (stampOf(stampFile) === stamp && inputs.every((input) => modifiedAt(input) < builtAt)) return 0

  mkdirSync(OUTPUT, { recursive: true })
  // Renamed into place when complete: a process that loads the addon, or another build, never sees half of it.
  const temporary = `${target}.${process.pid}.tmp`
  try {
    const result = run(compiler, [...args, '-o', temporary])
    if (!result.ok) {
      process.stderr.write(`${SUMMARY} ${compiler.join(' ')} refused it; this is a fault of npp or an unusual compiler.\n${result.text}`)
      return 1
    }
    if (result.text !== '') process.stderr.write(result.text)
    renameSync(temporary, target)
    writeFileSync(temporary, stamp)
    renameSync(temporary, stampFile)
  } finally {
    rmSync(temporary, { force: true })
  }
  process.stdout.write(`npp: built native/build/${name} with ${compiler.join(' ')}\n`)
  return 0
}

function main(options) {
  const unknown = options.filter((option) => !['--check', '--clean', '--sanitize'].includes(option))
  if (unknown.length > 0 || options.length > 1) {
    process.stderr.write('usage: node native/build.mjs [--check | --clean | --sanitize]\n')
    return 64
  }
  if (options.includes('--clean')) {
    rmSync(OUTPUT, { recursive: true, force: true })
    return 0
  }
  if (process.platform !== 'linux') return fail(`npp runs on Linux; this is ${process.platform}.`)
  const { compiler, missing, detail } = findCompiler()
  if (missing !== undefined) return fail(missing, detail)
  const headers = findHeaders()
  if (headers.missing !== undefined) return fail(headers.missing)
  if (options.includes('--check')) {
    process.stdout.write(`npp: ${compiler.join(' ')} and the headers are there\n`)
    return 0
  }
  return build(compiler, headers.include, options.includes('--sanitize'))
}

// npm may reach this file by a symbolic link: import.meta.url is the real path, argv[1] is not.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2))
}
