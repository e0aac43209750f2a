/** Whether an answer is still to come. One that has expired is taken away from its handler: what that says goes nowhere. */
export const AnswerState = { Open: 0, Answered: 1, Expired: 2 } as const
export type AnswerState = (typeof AnswerState)[keyof typeof AnswerState]
