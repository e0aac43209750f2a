import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ServicePresence } from '../../app/service-presence.ts'
import { Limits } from '../../shared/limits.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Given {
  readonly clock = new FakeClock()
  attached = false
  starting = false
  looks = 0
  readonly presence = new ServicePresence(
    this.clock,
    () => {
      this.looks++
      return this.attached
    },
    () => this.starting,
  )

  after(milliseconds: number): boolean {
    this.clock.pass(milliseconds)
    return this.presence.isThere()
  }
}

describe('service presence', () => {
  it('says no where no service ever was, but for the first moment: those of an engine before may be about to attach', () => {
    const given = new Given()
    assert.equal(given.after(0), true)
    assert.equal(given.after(Limits.serviceGraceMs - 1), true)
    assert.equal(given.after(1), false)
  })

  it('says yes while one is attached', () => {
    const given = new Given()
    given.attached = true
    for (let round = 0; round < 100; round++) assert.equal(given.after(37), true)
  })

  it('says yes while one is starting', () => {
    const given = new Given()
    given.starting = true
    assert.equal(given.after(Limits.serviceGraceMs), true)
    given.starting = false
    assert.equal(given.after(0), false)
  })

  it('sees at once a service that comes', () => {
    const given = new Given()
    assert.equal(given.after(Limits.serviceGraceMs), false)
    given.attached = true
    assert.equal(given.after(0), true)
  })

  it('asks the kernel once in a while as long as one is there', () => {
    const given = new Given()
    given.attached = true
    for (let call = 0; call < 1000; call++) given.after(0)
    assert.equal(given.looks, 1)
    given.after(Limits.presenceCheckMs)
    assert.equal(given.looks, 2)
  })

  it('lets calls wait for the successor of one that has gone, and not for ever', () => {
    const given = new Given()
    given.attached = true
    assert.equal(given.after(0), true)
    given.attached = false
    assert.equal(given.after(Limits.presenceCheckMs), true)
    assert.equal(given.after(Limits.serviceGraceMs - 1), true)
    assert.equal(given.after(1), false)
    assert.equal(given.after(1), false)
  })

  it('lets them wait too where nobody had called for long', () => {
    const given = new Given()
    given.attached = true
    given.presence.look()
    given.clock.pass(Limits.serviceGraceMs * 100)
    given.attached = false
    assert.equal(given.after(0), true)
    assert.equal(given.after(Limits.serviceGraceMs), false)
  })

  it('knows from a look when the last one went', () => {
    const given = new Given()
    given.attached = true
    given.presence.look()
    given.attached = false
    given.presence.look()
    assert.equal(given.after(Limits.serviceGraceMs), false)
  })
})
