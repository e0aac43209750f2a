import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { ENGINE_TRANSPORTS, startEngine, value } from '../support/engine-process.ts'
import { rawClient } from '../support/raw-client.ts'

const CHILD = fileURLToPath(new URL('../support/drip-child.js', import.meta.url))
const WANTED = 5000
/** select watches descriptors below 1,024. */
const SELECTED = 900
/** Descriptors that a process has beside those of the connections. */
const OWN_DESCRIPTORS = 100
const SECONDS = 3
const REQUEST = 'GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'

function descriptorsAllowed(): number {
  const [, hard = '0'] = /^Max open files\s+\d+\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return hard === 'unlimited' ? WANTED * 2 : Number(hard)
}

async function does(drips: ChildProcess, word: string): Promise<unknown> {
  drips.send(word)
  const [done]: unknown[] = await once(drips, 'message')
  return done
}

describe('clients that send a byte a second', () => {
  for (const kind of ENGINE_TRANSPORTS) {
    it(`hold up no other on ${kind}, cost a read a byte, and are all answered in the end`, async (context) => {
      const allowed = descriptorsAllowed()
      const wanted = kind === 'select' ? SELECTED : WANTED
      const count = Math.min(wanted, allowed - OWN_DESCRIPTORS)
      if (count < wanted) context.diagnostic(`${count} clients instead of ${wanted}: a process may have ${allowed} descriptors`)
      const engine = await startEngine(kind, WANTED + 10)
      context.after(() => engine.kill())
      engine.limit(Math.min(allowed, WANTED * 2))
      await engine.begin()
      const drips = spawn(
        'prlimit',
        [`--nofile=${Math.min(allowed, WANTED * 2)}:`, process.execPath, CHILD, String(engine.port), String(count)],
        {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        },
      )
      context.after(() => {
        drips.kill('SIGKILL')
      })
      assert.equal(await does(drips, 'connect'), count)

      const dripping = new AbortController()
      const others = Array.from({ length: 4 }, async () => {
        const client = await rawClient(context, engine.port)
        let answers = 0
        while (!dripping.signal.aborted) {
          assert.equal((await client.send(REQUEST).answer()).status, 200)
          answers++
          await sleep(10)
        }
        client.socket.destroy()
        return answers
      })
      const load = await engine.load(async () => {
        for (let second = 0; second < SECONDS; second++) assert.equal(await does(drips, 'drip'), count)
      })
      dripping.abort()
      const answers = (await Promise.all(others)).reduce((sum, each) => sum + each, 0)
      assert.ok(answers >= others.length * SECONDS, `${answers} answers to others`)
      assert.ok(load < 0.9, `${load} of a processor`)

      const between = await engine.ask('brief')
      assert.equal(between['readBytes'], count * SECONDS + answers * REQUEST.length)
      assert.ok(value(between, 'reads') <= count * SECONDS + answers, `${between['reads']} reads`)
      assert.equal(await does(drips, 'finish'), count)
      const { readBytes } = await engine.ask('brief')
      assert.equal(readBytes, (count + answers) * REQUEST.length)
      drips.kill('SIGKILL')
      await engine.isEmpty()
    })
  }
})
