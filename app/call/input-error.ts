import { NppError } from '../../shared/errors.ts'
import { sayIssues, type InputIssue } from '../../shared/standard-schema.ts'

/** The input of a call is not what its schema allows; nothing was sent. */
export class InputError extends NppError {
  /** Name of the service. */
  readonly service: string
  /** All that is wrong with it. */
  readonly issues: readonly InputIssue[]

  constructor(service: string, issues: readonly InputIssue[]) {
    super('NPP_INPUT_INVALID', `the input of ${service} is not valid: ${sayIssues(issues)}`)
    this.service = service
    this.issues = issues
  }
}
