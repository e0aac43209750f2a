import type { HeaderLimits } from '../../app/http/parser.ts'

/** The defaults of the configuration. */
export const HEADER_LIMITS: HeaderLimits = { headerBytes: 16_384, headerFields: 100, targetBytes: 8000 }
