import { NppError } from '../../shared/errors.ts'
import { isStandardSchema, issuesOf, type StandardResult, type StandardSchema } from '../../shared/standard-schema.ts'
import { isThenable } from '../../shared/thenable.ts'
import type { CallAsync, CallOptions } from '../api.ts'
import type { Caller } from './caller.ts'
import { InputError } from './input-error.ts'

/** What checks the inputs of services, by their names. */
export type InputSchemas = Readonly<Record<string, StandardSchema | undefined>>

/**
 * The callAsync that handlers and events get. An input that has a schema is checked before anything is sent; it travels as it was given, and the
 * service makes of it what its own schema makes. Throws NPP_SITE_INVALID for a schema that is none.
 */
export function callAsyncOf(caller: Caller, schemas: InputSchemas = {}): CallAsync {
  const checks = new Map(Object.entries(schemas))
  for (const [name, schema] of checks) {
    if (schema !== undefined && !isStandardSchema(schema))
      throw new NppError('NPP_SITE_INVALID', `schemas of the site: that of ${name} is not a Standard Schema`)
  }
  const callAsync = (name: string, input?: unknown, options?: CallOptions): Promise<unknown> => {
    const schema = checks.get(name)
    if (schema === undefined) return caller.call(name, input, options)
    return checked(name, input, schema, () => caller.call(name, input, options))
  }
  const noReply = (name: string, input?: unknown, options?: CallOptions): Promise<void> => {
    const schema = checks.get(name)
    if (schema === undefined) return caller.callNoReply(name, input, options)
    return checked(name, input, schema, () => caller.callNoReply(name, input, options))
  }
  return Object.assign(callAsync, { noReply })
}

/** Calls when the input is valid, in the same turn where the schema can tell at once. What the schema throws rejects. */
async function checked<T>(name: string, input: unknown, schema: StandardSchema, call: () => Promise<T>): Promise<T> {
  const told = schema['~standard'].validate(input)
  const result: StandardResult<unknown> = isThenable(told) ? await told : told
  if (result.issues !== undefined) throw new InputError(name, issuesOf(result.issues))
  return call()
}
