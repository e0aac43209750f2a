import { NppError } from '../../shared/errors.ts'

/** A service threw or rejected. Its stack is in the log of the service process. */
export class ServiceError extends NppError {
  /** Name of the service. */
  readonly service: string
  /** `code` of the error that the service threw, '' where it had none. */
  readonly serviceCode: string

  constructor(service: string, serviceCode: string, message: string) {
    super('NPP_SERVICE_FAILED', `service ${service} failed: ${message}`)
    this.service = service
    this.serviceCode = serviceCode
  }
}
