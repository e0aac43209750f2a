/**
 * What a validation library gives npp to check data with: Standard Schema, version 1, as zod, valibot, arktype and others implement it. Declared
 * here so that npp depends on none of them. Source: https://standardschema.dev
 */
export interface StandardSchema<I = unknown, O = I> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<O> | Promise<StandardResult<O>>
    readonly types?: { readonly input: I; readonly output: O } | undefined
  }
}

export type StandardResult<O> = { readonly value: O; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What is wrong with one part of an input. */
export interface InputIssue {
  /** Where it is: names and indexes with dots between them, '' for the input as a whole. */
  readonly path: string
  readonly message: string
}

/** The issues as plain data. */
export function issuesOf(issues: readonly StandardIssue[]): InputIssue[] {
  return issues.map(({ path = [], message }) => ({
    path: path.map((step) => String(typeof step === 'object' ? step.key : step)).join('.'),
    message,
  }))
}

/** The issues as one line, for a log. */
export function sayIssues(issues: readonly InputIssue[]): string {
  return issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
}

export function isStandardSchema(value: unknown): value is StandardSchema {
  // A schema may be a function: arktype's are.
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !('~standard' in value)) return false
  const standard = value['~standard']
  if (typeof standard !== 'object' || standard === null || !('version' in standard) || !('validate' in standard)) return false
  return standard.version === 1 && typeof standard.validate === 'function'
}
