const farMs = 60_000
const spreadMs = 500

/** setTimeout and clearTimeout. */
export class NodeTimers {
  #timers = []
  #expired = 0
  #wanted = 0
  #done = () => {}

  armFar(count) {
    for (let index = 0; index < count; index++) this.#timers[index] = setTimeout(this.#expire, farMs + (index % spreadMs), index, index)
  }

  cancelAll() {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.length = 0
  }

  armNear(count) {
    this.#expired = 0
    this.#wanted = count
    // Of one delay, in one list of Node's: its cheapest case. Spread, each round would wait for the last one.
    for (let index = 0; index < count; index++) setTimeout(this.#expire, 1, index, index)
  }

  async expireAll() {
    while (this.#expired < this.#wanted) {
      await new Promise((resolve) => {
        this.#done = resolve
      })
    }
  }

  #expire = () => {
    this.#expired++
    if (this.#expired === this.#wanted) this.#done()
  }
}
