// The evidence of docs/adr/0001-own-queue-binding.md:  npm run build && node docs/adr/0001/reproduce.mjs
// Installs npm posix-mq 1.1.3 into a temporary folder, as it is and with a newer nan, and measures its echo beside npp's own binding.
// Needs taskset, two cores and a C++ toolchain; takes three minutes at the most and leaves nothing behind.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROUNDS = 3
const SECONDS = 2
const INSTALL_MS = 120_000
// Above the longest a client takes: its seconds, the 3 s after which it calls a stall, and its start.
const CLIENT_MS = (SECONDS + 8) * 1000
const ECHO = fileURLToPath(new URL('./echo.mjs', import.meta.url))
const OURS = fileURLToPath(new URL('../../../dist/ipc/posix-queue.js', import.meta.url))

const print = (line) => process.stdout.write(`${line}\n`)

function install(folder, overrides) {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: { 'posix-mq': '1.1.3' }, overrides }))
  const args = ['install', '--no-audit', '--no-fund', '--foreground-scripts']
  const result = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', timeout: INSTALL_MS })
  const module = join(folder, 'node_modules', 'posix-mq')
  const loads = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', module]).status === 0
  const complaint = `${result.stdout}${result.stderr}`.split('\n').find((line) => /error:/i.test(line)) ?? ''
  return { module, loads, complaint: complaint.replace(/^.*\/(?=[^/]+:\d+)/, '').trim() }
}

async function echo(kind, module, cores, inFlight) {
  const name = `/npp-adr-0001-${process.pid}`
  const options = { stdio: ['ignore', 'pipe', 'ignore'] }
  const server = spawn('taskset', ['-c', String(cores[0]), process.execPath, ECHO, 'server', kind, module, name], options)
  const ended = once(server, 'close')
  try {
    await Promise.race([once(server.stdout, 'data'), ended])
    if (server.exitCode !== null || server.signalCode !== null) return { stalled: false, failed: true }
    const args = [
      '-c',
      String(cores[1]),
      process.execPath,
      ECHO,
      'client',
      kind,
      module,
      name,
      String(SECONDS),
      String(inFlight),
      String(server.pid),
    ]
    const client = spawnSync('taskset', args, { encoding: 'utf8', timeout: CLIENT_MS, stdio: ['ignore', 'pipe', 'ignore'] })
    return client.status === 0 ? JSON.parse(client.stdout) : { stalled: false, failed: true }
  } finally {
    server.kill('SIGTERM')
    setTimeout(() => server.kill('SIGKILL'), 1000).unref()
    await ended
    const { PosixQueue } = await import(OURS)
    for (const end of ['-q', '-r']) PosixQueue.unlink(name + end)
  }
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]
}

function cell(results) {
  const good = results.filter((result) => !result.stalled && !result.failed)
  if (results.some((result) => result.failed)) return 'does not run'
  if (good.length === 0)
    return `stalls in ${results.length} of ${results.length} runs, after ${results.map((result) => result.received).join(', ')} round trips`
  const figure = `${median(good.map((result) => result.perSecond)).toLocaleString('en')}/s, ${median(good.map((result) => result.cpu))} µs`
  return good.length === results.length ? figure : `${figure}; stalls in ${results.length - good.length} of ${results.length} runs`
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'npp-adr-0001-'))
  try {
    print(`Node ${process.version}`)
    const plain = install(join(folder, 'plain'), {})
    print(`posix-mq 1.1.3 as it is: ${plain.loads ? 'compiles' : `does not compile (${plain.complaint})`}`)
    const patched = install(join(folder, 'patched'), { nan: '^2.22.0' })
    print(`posix-mq 1.1.3 with nan ^2.22: ${patched.loads ? 'compiles' : `does not compile (${patched.complaint})`}`)
    print('\n200 bytes, queues of depth 10; round trips a second and CPU µs (user + system, both processes) a round trip, median of 3\n')
    print('| cores | in flight | npp | posix-mq 1.1.3 |\n|---|---|---|---|')
    for (const cores of [
      [0, 0],
      [0, 1],
    ]) {
      for (const inFlight of [8, 64]) {
        const ours = []
        const theirs = []
        // In turns, so that both see the same machine.
        for (let round = 0; round < ROUNDS; round++) {
          ours.push(await echo('npp', OURS, cores, inFlight))
          if (patched.loads) theirs.push(await echo('posix-mq', patched.module, cores, inFlight))
        }
        print(
          `| ${cores[0] === cores[1] ? 'both on one' : 'one each'} | ${inFlight} | ${cell(ours)} | ${patched.loads ? cell(theirs) : 'not built'} |`,
        )
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
