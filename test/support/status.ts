import { statusOf, type InstanceStatus, type ServiceStatus } from '../../cli/status.ts'
import { createSystemClock } from '../../shared/clock.ts'
import type { Instance } from './instance.ts'

/** What the scoreboard of a running instance says. */
export function statusNow(instance: Instance): InstanceStatus {
  return statusOf(instance.id, { clock: createSystemClock().monotonic(), wall: Date.now() })
}

/** The figures of a service; undefined before any. */
export function figuresOf(instance: Instance, name: string): ServiceStatus | undefined {
  return statusNow(instance).services.find((service) => service.name === name)
}

/** Pids of the service processes that live. */
export function servicePidsOf(instance: Instance): number[] {
  return statusNow(instance).serviceProcesses.map(({ pid }) => pid)
}
