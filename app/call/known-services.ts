import { Limits } from '../../shared/limits.ts'
import { CalledService } from './called-service.ts'

/** Services that are remembered; a site that makes up names call by call is to fill no memory. */
const MOST_SERVICES = 4096
/** Of these, those that have declared themselves, which are not forgotten: the rest is left for the others. */
const MOST_DECLARED = MOST_SERVICES / 2

/** What the engine knows of the services that it calls, by their names. */
export class KnownServices {
  readonly #services = new Map<string, CalledService>()
  #declared = 0

  /** All of them. */
  values(): Iterable<CalledService> {
    return this.#services.values()
  }

  of(name: string): CalledService {
    const known = this.#services.get(name)
    if (known !== undefined) return known
    const service = new CalledService(name)
    if (this.#services.size >= MOST_SERVICES)
      for (const [other, { isDeclared }] of this.#services) if (!isDeclared) this.#services.delete(other)
    this.#services.set(name, service)
    return service
  }

  /** Takes over what a service process says of its service. '' or why not. */
  declare(declaration: unknown): string {
    if (typeof declaration !== 'object' || declaration === null || !('name' in declaration)) return MALFORMED
    const { name } = declaration
    if (typeof name !== 'string' || Buffer.byteLength(name) > Limits.serviceNameBytes) return MALFORMED
    const service = this.of(name)
    if (!service.isDeclared) {
      if (this.#declared >= MOST_DECLARED) return 'an announcement on the reply queue is of one service too many'
      this.#declared++
    }
    service.declare(declaration)
    return ''
  }
}

const MALFORMED = 'an announcement on the reply queue is malformed'
