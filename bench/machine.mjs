import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { BenchError } from './commands.mjs'
import { descriptorLimit } from './descriptors.mjs'

export function readMachine(loadTool) {
  const allowed = allowedCores()
  const { serverCore, loadCore } = chooseCores(allowed)
  const [load] = loadavg()
  const facts = {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: allowed.length,
    serverCore,
    loadCore,
    memoryMB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
    load: loadTool === 'wrk' ? wrkVersion() : loadTool,
    descriptors: descriptorLimit(),
  }
  const warnings = []
  if (serverCore === loadCore) warnings.push('only one core: server and load take it from each other, the numbers will be noisy')
  else if (siblings(serverCore).includes(loadCore)) {
    warnings.push('server and load run on two threads of one physical core: compare rows with each other, not with other machines')
  }
  if (load > 0.5) warnings.push(`the machine is busy (load average ${load.toFixed(2)}): the numbers will be noisy`)
  return { facts, warnings }
}

export function readTicksPerSecond() {
  const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  if (!(ticks > 0)) throw new BenchError('getconf CLK_TCK gave no number')
  return ticks
}

function wrkVersion() {
  // wrk -v ends with 1, hence no exec that throws.
  return spawnSync('wrk', ['-v'], { encoding: 'utf8' })
    .stdout.split('\n')[0]
    .replace(/\s*Copyright.*/, '')
}

function allowedCores() {
  // In a container, core 0 may belong to somebody else.
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return parseCoreList(list)
}

function chooseCores(allowed) {
  const [serverCore, ...others] = allowed
  const neighbours = siblings(serverCore)
  const loadCore = others.find((core) => !neighbours.includes(core)) ?? others[0] ?? serverCore
  return { serverCore, loadCore }
}

function siblings(core) {
  try {
    return parseCoreList(readFileSync(`/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`, 'utf8').trim())
  } catch {
    return [core]
  }
}

function parseCoreList(list) {
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
