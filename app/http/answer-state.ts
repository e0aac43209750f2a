/**
 * Whether an answer is still to come. One that has expired is taken away from its handler: what that says goes nowhere. One that is sending
 * a file has been answered as far as the handler goes.
 */
export const AnswerState = { Open: 0, Answered: 1, Expired: 2, Sending: 3 } as const
export type AnswerState = (typeof AnswerState)[keyof typeof AnswerState]
