import { createSystemClock } from '../dist/shared/clock.js'
import { TimerWheel } from '../dist/shared/timer-wheel.js'

const farMs = 60_000
const spreadMs = 500

/** The wheel on the clock of the machine, set forward for what is to expire: nobody waits. */
export class WheelTimers {
  #ahead = 0
  #system = createSystemClock()
  #wheel = new TimerWheel({ monotonic: () => this.#system.monotonic() + this.#ahead, wall: () => Date.now() })
  #ids = []
  #expired = 0

  armFar(count) {
    for (let index = 0; index < count; index++) this.#ids[index] = this.#wheel.arm(farMs + (index % spreadMs), this, index, index)
  }

  cancelAll() {
    for (const id of this.#ids) this.#wheel.cancel(id)
    this.#ids.length = 0
  }

  armNear(count) {
    this.#expired = 0
    for (let index = 0; index < count; index++) this.#wheel.arm(index % spreadMs, this, index, index)
  }

  async expireAll() {
    const armed = this.#wheel.armed + this.#expired
    this.#ahead += spreadMs * 2
    this.#wheel.advance()
    if (this.#expired !== armed || this.#wheel.armed !== 0) throw new Error(`${this.#expired} of ${armed} timers expired`)
  }

  // Called by the wheel.
  expired() {
    this.#expired++
  }
}
