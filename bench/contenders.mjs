import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BenchError } from './commands.mjs'
import { buildFloor, floorCommand } from './floor.mjs'

const here = import.meta.dirname

const nppCommand = join(here, '../cli/npp.mjs')

const environment = { ...process.env, NODE_ENV: 'production' }

function peer(name) {
  return {
    name,
    prepare: async () => {},
    command: () => [process.execPath, [join(here, 'peers', `${name}.mjs`)]],
    env: environment,
    ownPage: false,
  }
}

/** npp with its welcome site, over one of its socket layers. */
function npp(name, transport) {
  return {
    name,
    prepare: async () => {
      if (!existsSync(nppCommand)) throw new BenchError('did not start: there is no cli/npp.mjs in this repository')
    },
    command: () => [process.execPath, [nppCommand, 'start', join(here, '../examples/welcome')]],
    env: {
      ...environment,
      NPP_HTTP_ADDRESS: '127.0.0.1',
      NPP_HTTP_PORT: '0',
      NPP_LOG_LEVEL: 'warn',
      NPP_TRANSPORT: transport,
      NPP_ASYNC_SVC_PROCESSES: '1',
      NPP_ASYNC_ID: `bench-${process.pid}`,
    },
    // Its welcome site has a page of its own, so only the sizes are compared.
    ownPage: true,
  }
}

export const contenders = [
  { name: 'floor', prepare: buildFloor, command: floorCommand, env: environment, ownPage: false },
  npp('npp', 'node'),
  npp('npp-native', 'native'),
  peer('node-http'),
  peer('fastify'),
  peer('hono'),
]
