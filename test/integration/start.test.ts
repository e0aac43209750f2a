import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { NPP, ROOT, SITES, WELCOME, environment, freshInstanceId, queuesOf, runToEnd, startInstance } from '../support/instance.ts'

const FAULTS = `${SITES}faults`

/** A folder that is gone after the test. */
function temporaryFolder(context: { after(cleanUp: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'npp-test-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A site of its own outside the checkout, with npp in its own node_modules. */
function siteFolder(context: { after(cleanUp: () => void): void }, files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder(context)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(ROOT, join(folder, 'node_modules', 'npp'), 'dir')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

describe('npp start runs any site', () => {
  test('app.mjs and svc.mjs in a folder of their own, npp from its node_modules', async (context) => {
    const folder = siteFolder(context, {
      'app.mjs': `import { defineApp } from 'npp/app'
        export default defineApp({ routes(route) { route.get('/', async (req, res) => res.json(await req.callAsync('double', 21))) } })`,
      'svc.mjs': `import { defineServices } from 'npp/svc'\nexport default defineServices({ double: (n) => n * 2 })`,
    })
    const instance = await startInstance(folder)
    context.after(() => instance.stop('SIGKILL'))
    assert.equal(await (await fetch(instance.url)).json(), 42)
    assert.equal(await instance.stop(), 0)
    assert.deepEqual(instance.queues, [])
  })

  test('a site without services, app.js, its npp.conf, and a flag above it', async (context) => {
    const folder = siteFolder(context, {
      'package.json': '{"type":"module"}',
      'app.js': `import { defineApp, html } from 'npp/app'
        export default defineApp({ routes(route) { route.all('/', (req, res) => res.html(html\`<p>\${'<&>'}</p>\`)) } })`,
      'npp.conf': '# a site\nlogLevel = none   # quiet\n',
    })
    const instance = await startInstance(folder, {}, { args: ['--max-body-bytes', '10'] })
    context.after(() => instance.stop('SIGKILL'))
    assert.equal(await (await fetch(instance.url)).text(), '<p>&lt;&amp;&gt;</p>')
    assert.equal((await fetch(instance.url, { method: 'POST', body: 'x'.repeat(11) })).status, 413)
    assert.equal(await instance.stop(), 0)
    assert.equal(instance.log.length, 1, 'with logLevel none only the address is printed')
  })

  test('.ts runs where Node strips types, and is refused with advice where it does not', async (context) => {
    const folder = siteFolder(context, {
      'app.ts': `import { defineApp } from 'npp/app'\nconst text: string = 'typed'
        export default defineApp({ routes(route) { route.get('/', (req, res) => res.text(text)) } })`,
    })
    if ('typescript' in process.features && Boolean(process.features.typescript)) {
      const instance = await startInstance(folder)
      context.after(() => instance.stop('SIGKILL'))
      assert.equal(await (await fetch(instance.url)).text(), 'typed')
      await instance.stop()
    } else {
      const { status, stderr } = runToEnd(['start', folder])
      assert.equal(status, 66)
      assert.match(stderr, /app\.ts is TypeScript and Node \S+ does not strip types: build the site/)
    }
  })
})

describe('a start that fails says why in one clear message, and leaves nothing', () => {
  test('unknown and wrong keys, all at once, with place, value and what is allowed; exit code 78', (context) => {
    const folder = temporaryFolder(context)
    writeFileSync(join(folder, 'app.mjs'), '')
    writeFileSync(join(folder, 'npp.conf'), 'httpPort = 99999\n\nhtttpPort = 80\nlogLevel=loud\nnonsense\n')
    const { status, stderr } = runToEnd(['start', folder, '--keep-alive-timeout=soon', '--no-such-flag', '1'], {
      NPP_MAX_BACKLOG: '-1',
      NPP_NOTHING: 'x',
    })
    assert.equal(status, 78)
    for (const expected of [
      /npp\.conf:1: httpPort = 99999: allowed: a whole number from 0 to 65535/,
      /npp\.conf:3: htttpPort = 80: unknown key; allowed: httpPort, /,
      /npp\.conf:4: logLevel = loud: allowed: none, error, warn, info, debug, or 0 to 4/,
      /npp\.conf:5: nonsense: allowed: key = value/,
      /environment: NPP_MAX_BACKLOG = -1: allowed: a whole number/,
      /environment: NPP_NOTHING = x: unknown key; allowed: NPP_HTTP_PORT, /,
      /command line: --keep-alive-timeout = soon: allowed: seconds/,
      /command line: --no-such-flag = 1: unknown key; allowed: --http-port, /,
    ]) {
      assert.match(stderr, expected)
    }
    assert.match(stderr, /has 8 faults/)
  })

  test('a port that is in use', async () => {
    const blocker = createServer().listen(0, '127.0.0.1')
    await once(blocker, 'listening')
    const address = blocker.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const id = freshInstanceId()
    const { status, stderr } = runToEnd(['start', FAULTS], { NPP_HTTP_PORT: String(port), NPP_ASYNC_ID: id })
    blocker.close()
    assert.equal(status, 71)
    assert.equal(
      stderr,
      `npp: port ${port} is in use on 127.0.0.1: stop the other process, or set NPP_HTTP_PORT to another port (NPP_PORT_IN_USE)\n`,
    )
    assert.deepEqual(queuesOf(id), [])
  })

  test('a port that the user may not have', () => {
    const id = freshInstanceId()
    const { status, stderr } = runToEnd(['start', FAULTS], { NPP_HTTP_PORT: '1', NPP_ASYNC_ID: id, TEST_USER: 'nobody' })
    assert.equal(status, 77)
    assert.match(
      stderr,
      /^npp: no permission to listen on 127\.0\.0\.1:1: ports below 1024 need CAP_NET_BIND_SERVICE; set NPP_HTTP_PORT to a higher port \(NPP_PORT_PERMISSION\)\n$/,
    )
    assert.deepEqual(queuesOf(id), [])
  })

  test('a limit on message queues that is reached names the sysctl and the ulimit', () => {
    const id = freshInstanceId()
    const { status, stderr } = runToEnd(['start', FAULTS], { NPP_ASYNC_ID: id }, ['prlimit', '--msgqueue=1000:1000', '--'])
    assert.equal(status, 71)
    assert.match(stderr, /^npp: .*ulimit -q \(RLIMIT_MSGQUEUE.* 1000; sysctl fs\.mqueue\.msg_max \d+.*\(NPP_QUEUE_LIMIT\)\n$/)
    assert.deepEqual(queuesOf(id), [])
  })

  test('a folder without a site, a module that is none, one that throws, a route that is wrong', (context) => {
    const cases: readonly (readonly [Readonly<Record<string, string>>, number, RegExp])[] = [
      [{}, 66, /has no app module: looked for app\.js, app\.mjs/],
      [{ 'app.mjs': 'export default 1' }, 70, /does not export a site/],
      [
        { 'app.mjs': 'throw new Error("broken site")' },
        70,
        /failed to load: broken site \(NPP_SITE_INVALID\)\nError: broken site\n +at .*app\.mjs/,
      ],
      [
        { 'app.mjs': 'export default { npp: "app", app: { routes(r) { r.get("no-slash", () => 1) } } }' },
        70,
        /route GET no-slash: a path begins with \//,
      ],
      [
        { 'app.mjs': 'export default { npp: "app", app: { routes(r) { r.get("/a", () => 1); r.get("/a", () => 1) } } }' },
        70,
        /route GET \/a: .*already/,
      ],
    ]
    for (const [files, code, message] of cases) {
      const { status, stderr } = runToEnd(['start', siteFolder(context, files)])
      assert.match(stderr, message)
      assert.equal(status, code)
    }
  })

  test('init that rejects ends the start', (context) => {
    const id = freshInstanceId()
    const folder = siteFolder(context, {
      'app.mjs': 'export default { npp: "app", app: { routes() {}, async init() { throw new Error("no database") } } }',
    })
    const { status, stderr } = runToEnd(['start', folder], { NPP_ASYNC_ID: id })
    assert.equal(status, 70)
    assert.match(stderr, /no database/)
    assert.deepEqual(queuesOf(id), [])
  })

  test('a command that is none, two folders, a flag without a value', () => {
    assert.equal(runToEnd(['dance']).status, 64)
    assert.equal(runToEnd(['start', 'a', 'b']).status, 64)
    assert.equal(runToEnd(['start', '--http-port']).status, 64)
  })

  test('npp svc without a running instance gives up after its wait', { timeout: 60_000 }, () => {
    const { status, stderr } = runToEnd(['svc', FAULTS], { NPP_ASYNC_ID: freshInstanceId() })
    assert.equal(status, 75)
    assert.match(stderr, /no npp_app of the instance test-\S+ came up within 10 s: start one with npx npp start/)
  })
})

describe('npp doctor', () => {
  test('says what the machine has and how many instances fit', () => {
    const { status, stdout } = runToEnd(['doctor'])
    assert.match(stdout, /^ok   Node \d+/m)
    assert.match(stdout, /^ok   the native addon loads$/m)
    assert.match(stdout, /message queues: \d+ instances of npp fit/)
    assert.match(stdout, /fs\.mqueue\.msg_max \d+, fs\.mqueue\.msgsize_max \d+, fs\.mqueue\.queues_max \d+, ulimit -q \d+ bytes/)
    assert.equal(status, 0)
  })

  test('names the missing packages where there is no compiler, as npm install does', () => {
    const { stdout } = runToEnd(['doctor'], { CC: '/nowhere/cc' })
    assert.match(stdout, /^FAIL npp: cannot build the native addon/m)
    assert.match(stdout, /Debian, Ubuntu: +apt-get install gcc libc6-dev/)
    assert.match(stdout, /Fedora: +dnf install gcc glibc-devel/)
    const install = spawnSync(process.execPath, [join(ROOT, 'native/build.mjs')], {
      encoding: 'utf8',
      env: environment({ CC: '/nowhere/cc' }),
    })
    assert.equal(install.status, 1)
    assert.match(install.stderr, /Debian, Ubuntu: +apt-get install gcc libc6-dev/)
  })
})

test('the welcome site starts in a terminal-less shell with a free port that it prints', async (context) => {
  const instance = await startInstance(WELCOME)
  context.after(() => instance.stop('SIGKILL'))
  assert.match(instance.stdout, /npp_app listens on http:\/\/127\.0\.0\.1:\d+/)
  assert.equal(await (await fetch(`${instance.url}/hello`)).text(), 'Hello World!')
  assert.equal(await instance.stop(), 0)
})

test('on a terminal the log is readable lines, in production JSON there too', async (context) => {
  for (const [production, expected] of [
    ['', /INFO.*npp_app listens on http:\/\/127\.0\.0\.1:\d+/],
    ['production', /"msg":"npp_app listens on http:\/\/127\.0\.0\.1:\d+"/],
  ] as const) {
    const id = freshInstanceId()
    const env = environment({ NPP_ASYNC_ID: id, NPP_ASYNC_SVC_PROCESSES: '0', NODE_ENV: production, TERM: 'xterm' })
    // script(1) gives the process a terminal of its own.
    const child = spawn('script', ['-qec', `exec '${process.execPath}' '${NPP}' start '${FAULTS}'`, '/dev/null'], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    context.after(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    await eventually('npp listens', () => expected.test(output) || child.exitCode !== null)
    assert.match(output, expected)
    const closed = once(child, 'close')
    child.stdin.write('\x03') // Ctrl-C, as a person would.
    await closed
    assert.deepEqual(queuesOf(id), [])
  }
})
