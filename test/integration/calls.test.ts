import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { SITES, startInstance, type Instance } from '../support/instance.ts'

const FAULTS = `${SITES}faults`

let instance: Instance

before(async () => {
  instance = await startInstance(FAULTS, { NPP_ASYNC_SVC_PROCESSES: '2', NPP_HANDLER_TIMEOUT: '3', NPP_MAX_CALL_BYTES: '99999' })
})

after(async () => {
  await instance.stop()
})

async function get(path: string): Promise<{ readonly status: number; readonly body: string; readonly headers: Headers }> {
  const answer = await fetch(instance.url + path)
  return { status: answer.status, body: await answer.text(), headers: answer.headers }
}

/** Error lines of the log that hold the text. */
function errors(text: string): Record<string, unknown>[] {
  return instance.log.filter((line) => line['level'] === 50 && JSON.stringify(line).includes(text))
}

describe('answers of services', () => {
  test('each of 500 concurrent calls gets its own', async () => {
    const tokens = Array.from({ length: 500 }, (_, index) => `token-${index}`)
    const answers = await Promise.all(tokens.map((token) => get(`/identity/${token}`)))
    for (const [index, { status, body }] of answers.entries()) {
      assert.equal(status, 200)
      assert.match(body, new RegExp(`"token":"token-${index}"`))
    }
  })

  test('undefined, bytes as they are, and what fits into a message', async () => {
    assert.equal((await get('/nothing')).body, '{"result":"undefined"}')
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256))
    const answer = await fetch(`${instance.url}/bytes`, { method: 'POST', body: bytes })
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
    assert.equal((await get('/large?bytes=8000')).body.length, 8000)
  })

  test('a page service writes status, fields and body', async () => {
    const answer = await fetch(`${instance.url}/page/some/where`, { method: 'POST', body: 'sent' })
    assert.equal(answer.status, 201)
    assert.ok(Number(answer.headers.get('x-from')) > 0)
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.equal(await answer.text(), '<p>POST /page/some/where sent</p>')
  })

  test('a page redirects as a handler does', async () => {
    const answer = await fetch(`${instance.url}/move-page`, { redirect: 'manual' })
    assert.equal(answer.status, 308)
    assert.equal(answer.headers.get('location'), '/hello?%C3%BC=1')
  })
})

describe('faults of services', () => {
  test('one that throws: 500 with a request id, its message and stack in the log, once', async () => {
    for (const [path, secret] of [
      ['/throwing', 'Error: secret of the service'],
      ['/rejecting', 'Error: late secret of the service'],
    ] as const) {
      const { status, body, headers } = await get(path)
      assert.equal(status, 500)
      const id = headers.get('x-request-id') ?? ''
      assert.notEqual(id, '')
      assert.ok(body.includes(id))
      assert.ok(!body.includes('secret'))
      await eventually('it is logged', () => errors(secret).length > 0)
      assert.equal(errors(secret).length, 1)
      assert.equal(errors(secret)[0]?.['name'], 'npp_svc')
      assert.match(String(errors(secret)[0]?.['error']), /\n +at /)
    }
  })

  test('a handler may catch it, with the code that the service gave it', async () => {
    assert.equal((await get('/caught')).body, '{"code":"NPP_SERVICE_FAILED","service":"throwing","serviceCode":"E_SITE"}')
  })

  test('an unknown service: 500 and NPP_NO_SUCH_SERVICE in the log, never 200', async () => {
    const { status, body } = await get('/unknown')
    assert.equal(status, 500)
    assert.ok(!body.includes('there is no service'))
    await eventually('it is logged', () => errors('NPP_NO_SUCH_SERVICE').length > 0)
    assert.match(String(errors('NPP_NO_SUCH_SERVICE')[0]?.['msg']), /there is no service unknown; there are: identity, slow, /)
  })

  test('too slow: 504 at the deadline, and the late reply reaches nobody', async () => {
    const late = Array.from({ length: 10 }, (_, index) => get(`/slow/late-${index}?ms=300&timeoutMs=100`))
    for (const { status } of await Promise.all(late)) assert.equal(status, 504)
    // While the late replies come in, the slots of the calls they belonged to are taken by other calls.
    const others = await Promise.all(Array.from({ length: 200 }, (_, index) => get(`/identity/mine-${index}`)))
    for (const [index, { status, body }] of others.entries()) {
      assert.equal(status, 200)
      assert.match(body, new RegExp(`"token":"mine-${index}"`))
    }
  })

  test('what cannot be sent, either way, says so in the log and answers 500', async () => {
    assert.equal((await get('/unsendable')).status, 500)
    assert.equal((await get('/unsendable-input')).status, 500)
    await eventually('both are logged', () => errors('callback is a function').length > 0 && errors('token is a function').length > 0)
  })

  test('what is larger than maxCallBytes: 413 for the input, 500 for the result, which the service logs', async () => {
    assert.equal((await fetch(`${instance.url}/bytes`, { method: 'POST', body: 'x'.repeat(100_000) })).status, 413)
    assert.equal((await get('/large?bytes=100000')).status, 500)
    await eventually('it is logged', () => errors('the result of large has').length > 0)
  })

  test('a page that writes nothing, or answers twice: 500, never an empty or mixed 200', async () => {
    assert.equal((await get('/empty-page')).status, 500)
    assert.equal((await get('/twice-page')).status, 500)
  })

  test('a page that splits its header is refused', async () => {
    const { status, headers } = await get('/bad-page')
    assert.equal(status, 500)
    assert.equal(headers.get('set-cookie'), null)
  })
})

describe('faults of handlers', () => {
  test('one that throws or rejects: 500 with a request id, the stack in the log only', async () => {
    for (const [path, secret] of [
      ['/throws', 'Error: secret of the handler'],
      ['/throws-then', 'Error: secret of the getter'],
      ['/rejects', 'Error: late secret of the handler'],
    ] as const) {
      const { status, body, headers } = await get(path)
      assert.equal(status, 500)
      const id = headers.get('x-request-id') ?? ''
      assert.ok(body.includes(id))
      assert.ok(!body.includes('secret'))
      await eventually('it is logged', () => errors(secret).length > 0)
      assert.equal(errors(secret)[0]?.['requestId'], id)
      assert.match(String(errors(secret)[0]?.['error']), /\n +at /)
    }
  })

  test('one that never answers: 504 at its deadline; one whose promise forgets to: 500', async () => {
    assert.equal((await get('/silent')).status, 504)
    assert.equal((await get('/forgets')).status, 500)
  })

  test('an answer after the deadline goes to nobody', async () => {
    const socketless = get('/late?ms=3500&token=stale')
    assert.equal((await socketless).status, 504)
    const next = await Promise.all(Array.from({ length: 20 }, (_, index) => get(`/late?ms=700&token=${index}`)))
    for (const [index, { body }] of next.entries()) assert.equal(body, `late ${index}`)
  })

  test('one that returns a thenable is awaited like any other', async () => {
    assert.equal((await get('/thenable')).body, 'in time')
  })

  test('a field with CR LF in it is refused, not sent', async () => {
    const { status, headers } = await get(`/split?value=${encodeURIComponent('a\r\nSet-Cookie: stolen=1')}`)
    assert.equal(status, 500)
    assert.equal(headers.get('set-cookie'), null)
  })

  test('one that answers twice: the first answer stands, the second is an error in the log', async () => {
    assert.equal((await get('/twice')).body, 'first')
    await eventually('it is logged', () => errors('NPP_ALREADY_ANSWERED').length > 0)
  })
})

test('a service that computes holds up neither the engine nor the other service', async () => {
  const busy = fetch(`${instance.url}/busy?ms=1500`)
  let done = false
  const settled = busy.finally(() => {
    done = true
  })
  const answers: boolean[] = []
  for (let round = 0; round < 20; round++) {
    assert.equal((await get('/hello')).body, 'Hello World!')
    assert.equal((await get(`/identity/${round}`)).status, 200)
    answers.push(done)
  }
  assert.ok(answers.includes(false), 'others were answered while the service was computing')
  assert.equal((await settled).status, 200)
})
