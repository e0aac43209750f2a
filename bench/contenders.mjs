import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bunCommand, findBun } from './bun.mjs'
import { BenchError } from './commands.mjs'
import { buildFloor, floorCommand } from './floor.mjs'

const here = import.meta.dirname

const nppCommand = join(here, '../cli/npp.mjs')

const environment = { ...process.env, NODE_ENV: 'production' }

const usual = { prepare: async () => {}, env: environment, ownPage: false, discardsOutput: false }

/** A program of peers/; `flags` are Node's own. */
export function peer(name) {
  return { ...usual, name, command: (scenario, flags = []) => [process.execPath, [...flags, join(here, 'peers', `${name}.mjs`)]] }
}

/** npp, configured by its variables; with its welcome site unless another is named. */
export function npp(name, variables, site = join(here, '../examples/welcome')) {
  return {
    ...usual,
    name,
    prepare: async () => {
      if (!existsSync(nppCommand)) throw new BenchError('did not start: there is no cli/npp.mjs in this repository')
    },
    command: (scenario, flags = []) => [process.execPath, [...flags, nppCommand, 'start', site]],
    env: {
      ...environment,
      NPP_HTTP_ADDRESS: '127.0.0.1',
      NPP_HTTP_PORT: '0',
      NPP_LOG_LEVEL: 'warn',
      // More than any scenario has, so that nobody is refused or sent away.
      NPP_MAX_CONNECTIONS: '100000',
      NPP_KEEP_ALIVE_TIMEOUT: '3600',
      NPP_ASYNC_SVC_PROCESSES: '1',
      NPP_ASYNC_ID: `bench-${process.pid}`,
      ...variables,
    },
    // Its welcome site has a page of its own, so only the sizes are compared.
    ownPage: true,
  }
}

export const contenders = [
  { ...usual, name: 'floor', prepare: buildFloor, command: floorCommand },
  npp('npp', {}),
  npp('npp-node', { NPP_TRANSPORT: 'node' }),
  { ...npp('npp-template', {}, join(here, 'site')), ownPage: false },
  // Its log is the standard output: to a pipe, it would be a measurement of whoever reads.
  { ...npp('npp-log', { NPP_LOG_LEVEL: 'info', NPP_ACCESS_LOG: '1' }), discardsOutput: true },
  { ...usual, name: 'bun', prepare: findBun, command: bunCommand },
  peer('node-http'),
  peer('fastify'),
  peer('hono'),
]

// By name, the errors of those that cannot run.
export async function prepareAll(chosen) {
  const broken = new Map()
  for (const contender of chosen) {
    await contender.prepare().catch((error) => broken.set(contender.name, error))
  }
  return broken
}
