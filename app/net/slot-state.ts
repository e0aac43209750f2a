/** What a slot is, as bits. Without Open it is free. */
export const Is = {
  Open: 1,
  /** Closed, or about to be by a command on its way; its owner is told at the end of this turn. */
  Closing: 2,
  /** Our side was ended: nothing more is written. */
  Ended: 4,
  /** Output waits in the addon. */
  Stalled: 8,
  Paused: 16,
} as const

/** What keeps a write from going into the arena of the turn. */
export const NO_PLAIN_WRITE: number = Is.Closing | Is.Ended | Is.Stalled
