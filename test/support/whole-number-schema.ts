import type { StandardSchema } from '../../shared/standard-schema.ts'

/** A Standard Schema as a library would make it: takes { n } with a whole number, as a text too, and makes a number of it. */
export function wholeNumberSchema(isAsync = false): StandardSchema<{ n: number | string }, { n: number }> {
  return {
    '~standard': {
      version: 1,
      vendor: 'npp-test',
      validate: (value) => {
        const n = typeof value === 'object' && value !== null && 'n' in value ? Number(value.n) : Number.NaN
        const result = Number.isInteger(n)
          ? { value: { n } }
          : { issues: [{ message: 'not a whole number', path: ['n', { key: 0 }] }, { message: 'nothing else' }] }
        return isAsync ? Promise.resolve(result) : result
      },
    },
  }
}
