/** What a service process under npp start tells its supervisor, over the channel of node:cluster. */
export const ServiceReport = {
  /** It has attached, so its start has gone well. */
  Attached: 'npp: attached',
  /** It was told to end, by SIGTERM, and does so when its calls are done. */
  Told: 'npp: told to end',
} as const
