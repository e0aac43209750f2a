// For pm2: npp_app and its services as two apps, which pm2 restarts, scales and logs; npp itself forks nothing then.
//   pm2 start ecosystem.config.js      pm2 scale npp_svc 3      pm2 delete ecosystem.config.js
// A site copies this file and names its own folder. docs/DEPLOY.md has the rest.

const site = 'examples/welcome'
const services = Number(process.env.NPP_ASYNC_SVC_PROCESSES ?? 1)

// Longer than drainTimeout and what services get to end: pm2 kills what takes longer.
const killTimeout = 13_000

const common = {
  script: 'cli/npp.mjs',
  exec_mode: 'fork',
  kill_timeout: killTimeout,
  exp_backoff_restart_delay: 100,
  env: { NODE_ENV: 'production', NPP_ASYNC_SVC_PROCESSES: '0' },
}

export const apps = [
  // pm2 counts npp_app as online when it listens.
  { ...common, name: 'npp_app', args: ['start', site], instances: 1, wait_ready: true, listen_timeout: 15_000 },
  { ...common, name: 'npp_svc', args: ['svc', site], instances: services },
]
