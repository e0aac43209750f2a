/** What came of bytes that were parsed: the parser wants more of them, has a whole message, has found a fault, or has a header and a body follows. */
export const Outcome = { NeedMore: 0, Complete: 1, Refused: 2, Header: 3 } as const
export type Outcome = (typeof Outcome)[keyof typeof Outcome]
