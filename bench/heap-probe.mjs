// Loaded into npp_app with --import. The first SIGUSR2 begins the record, the second ends it: a line of JSON on standard error.
import { writeSync } from 'node:fs'
import { GCProfiler, getHeapStatistics } from 'node:v8'

const standardError = 2

let profiler
let before

function liveBytes() {
  // Twice: what the first one found unreachable may have held buffers until its finalizers ran.
  globalThis.gc()
  globalThis.gc()
  const { used_heap_size: used, external_memory: external } = getHeapStatistics()
  return { used, external }
}

function begin() {
  before = liveBytes()
  profiler = new GCProfiler()
  profiler.start()
  writeSync(standardError, 'heap: recording\n')
}

function end() {
  const usedAtEnd = getHeapStatistics().used_heap_size
  const collections = profiler.stop().statistics
  profiler = undefined
  // What was in use before a collection, less what the one before it had left, was allocated in between.
  let allocated = 0
  let left = before.used
  const counts = {}
  for (const { gcType, beforeGC, afterGC } of collections) {
    allocated += beforeGC.heapStatistics.usedHeapSize - left
    left = afterGC.heapStatistics.usedHeapSize
    counts[gcType] = (counts[gcType] ?? 0) + 1
  }
  allocated += usedAtEnd - left
  writeSync(standardError, `heap: ${JSON.stringify({ allocated, counts, before, after: liveBytes() })}\n`)
}

process.on('SIGUSR2', () => (profiler === undefined ? begin() : end()))
