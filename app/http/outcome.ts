/** What came of bytes that were parsed: the parser wants more of them, it has a whole message, or it has found a fault. */
export const Outcome = { NeedMore: 0, Complete: 1, Refused: 2 } as const
export type Outcome = (typeof Outcome)[keyof typeof Outcome]
