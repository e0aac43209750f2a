import type { StandardSchema } from 'npp/svc'

/** As a validation library would make it. */
export const evenSchema: StandardSchema<number> = {
  '~standard': {
    version: 1,
    vendor: 'npp-test',
    validate: (value) =>
      typeof value === 'number' && value % 2 === 0 ? { value } : { issues: [{ message: 'not even', path: ['number'] }] },
  },
}
