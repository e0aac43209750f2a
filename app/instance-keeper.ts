import type { OwnedInstance } from '../ipc/instance.ts'
import type { OwnedQueue } from '../ipc/owned-queue.ts'
import type { ScoreboardFile } from '../ipc/scoreboard-file.ts'
import { ProcessKind } from '../ipc/scoreboard.ts'
import { messageOf } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import type { Log } from '../shared/log.ts'
import { ServiceWatch, type Bereaved, type ServiceWatchOptions } from './call/service-watch.ts'

export interface InstanceKeeperOptions {
  readonly instance: Pick<OwnedInstance, 'id' | 'epoch' | 'requests' | 'replies' | 'scoreboard'>
  /** Who is told of calls that services had in hand which ended before they attached again. */
  readonly bereaved: Bereaved
  readonly watch: ServiceWatchOptions['watch']
  /** Told of each look. */
  readonly looked: () => void
  readonly log: Log
}

/** A scoreboard that services have until they attach again. */
interface FormerBoard {
  readonly file: ScoreboardFile
  readonly watch: ServiceWatch
}

const REPEAT_AFTER = Math.ceil(Limits.nameTroubleMs / Limits.nameCheckMs)

/**
 * Looks now and then whether the queues and the scoreboard of the instance still have their names, and makes anew what has lost its own: whoever
 * removes a name by hand takes it from services that come later, and from nobody else. Services that have the former ones are served by
 * them until they notice: docs/adr/0013.
 */
export class InstanceKeeper {
  readonly #options: InstanceKeeperOptions
  #former: FormerBoard[] = []
  /** By name, at how many looks in a row it could not be made anew. */
  readonly #troubles = new Map<string, number>()
  readonly #timer: NodeJS.Timeout

  constructor(options: InstanceKeeperOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.look(), Limits.nameCheckMs)
    this.#timer.unref()
  }

  look(): void {
    const { requests, replies, scoreboard } = this.#options.instance
    for (const queue of [requests, replies])
      this.#keep(
        `queue ${queue.name}`,
        () => queue.isCurrent(),
        () => queue.renew(),
      )
    // Who has the name of the request queue has that of the scoreboard.
    if (!this.#troubles.has(`queue ${requests.name}`))
      this.#keep(
        `scoreboard of ${this.#options.instance.id}`,
        () => scoreboard.isCurrent(),
        () => this.#renewScoreboard(),
      )
    this.#tidy(requests, replies)
    this.#options.looked()
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const { file, watch } of this.#former.splice(0)) {
      watch.close()
      file.close()
    }
  }

  #keep(what: string, isCurrent: () => boolean, renew: () => boolean): void {
    const { log } = this.#options
    try {
      if (isCurrent()) this.#troubles.delete(what)
      else if (renew()) {
        this.#troubles.delete(what)
        log.warn({}, `somebody has removed the name of the ${what}: it is made anew, and services attach again; no call is lost`)
      } else this.#trouble(what, 1, `the ${what} belongs to another npp_app by now: stop one of them, or give it another NPP_ASYNC_ID`)
    } catch (error) {
      this.#trouble(what, 0, `somebody has removed the name of the ${what}, and it cannot be made anew; tried again: ${messageOf(error)}`)
    }
  }

  /** Says so after so many looks, and again from time to time: another npp_app may be starting, and give up. */
  #trouble(what: string, after: number, message: string): void {
    const looks = this.#troubles.get(what) ?? 0
    this.#troubles.set(what, looks + 1)
    if (looks % REPEAT_AFTER === after) this.#options.log.error({}, message)
  }

  #renewScoreboard(): boolean {
    const { instance, bereaved, watch, log } = this.#options
    const file = instance.scoreboard.renew(instance.id)
    const former = new ServiceWatch({ board: file.board, engine: 0, epoch: instance.epoch, watch, log })
    former.attach(bereaved)
    this.#former.push({ file, watch: former })
    return true
  }

  /** Moves on what lies in former queues, and gives back what no service has any more. */
  #tidy(requests: OwnedQueue, replies: OwnedQueue): void {
    requests.forward()
    requests.closeUnused()
    replies.closeUnused()
    this.#former = this.#former.filter(({ file, watch }) => {
      watch.look()
      if (file.board.occupants().some(({ kind }) => kind === ProcessKind.Service)) return true
      watch.close()
      file.close()
      return false
    })
  }
}
