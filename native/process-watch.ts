import { readFileSync } from 'node:fs'
import { errnoOf, messageOf, NppError } from '../shared/errors.ts'
import { Limits } from '../shared/limits.ts'
import { addon, type AddonProcessWatch } from './addon.ts'

/** proc_pid_stat(5): the state and, after 18 further fields, the start; the name before them may hold anything, parentheses too. */
const STATE_AND_START = /^ (\S) (?:\S+ ){18}(\d+)/

interface ProcessState {
  /** When the process was started, in ticks of the kernel since boot: with the pid it names one process for as long as the machine runs. */
  readonly start: number
  /** It has ended, and its parent has not asked how. */
  readonly ended: boolean
}

/** What /proc tells of a process; undefined where there is none. Throws the system's error where that cannot be said, as EMFILE. */
function stateOf(pid: number): ProcessState | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch (error) {
    // ESRCH: it ended while the file was read.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return undefined
    throw error
  }
  const [, state = '', start = ''] = STATE_AND_START.exec(text.slice(text.lastIndexOf(')') + 1)) ?? []
  return start === '' ? undefined : { start: Number(start), ended: state === 'Z' || state === 'X' }
}

/** When a process was started, in ticks of the kernel since boot; undefined where there is none, or it has ended. Source: proc_pid_stat(5), field 22. */
export function startOfProcess(pid: number): number | undefined {
  const state = stateOf(pid)
  return state === undefined || state.ended ? undefined : state.start
}

/**
 * Whether the process that was started then still runs, rather than none or a later one of the same pid; without a start, whether any runs. True
 * also where the system does not
 * say: whoever is taken for dead loses what is his.
 */
export function isProcessAlive(pid: number, start?: number): boolean {
  try {
    const found = startOfProcess(pid)
    return start === undefined ? found !== undefined : found === start
  } catch {
    return true
  }
}

/** Waits for a process to end. */
export interface ProcessWatch {
  /**
   * SIGKILL to that process, and to no later one of its pid. False where it has ended, the watch is closed, or this user may not: its end is told
   * as any other.
   */
  kill(): boolean
  /** The listener hears nothing from now on. Closing twice does nothing. */
  close(): void
}

export interface ProcessWatchOptions {
  /** Pid and start, as startOfProcess tells it, of a process that need not be a child. */
  readonly pid: number
  readonly start: number
  /** Whether the watch keeps the event loop going. Default: false. */
  readonly hold?: boolean
}

/** By looking at /proc again and again. Where the kernel knows no pidfd, or this process has no descriptor left. */
export function pollProcess({ pid, start, hold = false }: ProcessWatchOptions, onEnd: () => void): ProcessWatch {
  let closed = false
  const timer = setInterval(() => {
    if (isProcessAlive(pid, start)) return
    closed = true
    clearInterval(timer)
    onEnd()
  }, Limits.processPollMs)
  if (!hold) timer.unref()
  return {
    kill: () => !closed && killProcess(pid, start),
    close: () => {
      closed = true
      clearInterval(timer)
    },
  }
}

/** By the pid, right after a look at whose it is: between the two the process may end, but its pid is not given to another so soon. */
function killProcess(pid: number, start: number): boolean {
  try {
    return startOfProcess(pid) === start && process.kill(pid, 'SIGKILL')
  } catch {
    return false // ESRCH, EPERM, or /proc cannot be read.
  }
}

/** Tells in the next turn, as if it had been waited for. */
function tellSoon(hold: boolean, onEnd: () => void): ProcessWatch {
  const soon = setImmediate(onEnd)
  if (!hold) soon.unref()
  return {
    kill: () => false,
    close: () => {
      clearImmediate(soon)
    },
  }
}

/**
 * Tells once, and never before this returns, that a process has ended, also when it had ended before or another has its pid by now. What the
 * listener throws goes to 'uncaughtException'. Throws NppError NPP_PROCESS_ARGUMENT for a pid that cannot be one, or NPP_NATIVE_MISSING.
 * Source: pidfd_open(2), from Linux 5.3.
 */
export function watchProcess(options: ProcessWatchOptions, onEnd: () => void): ProcessWatch {
  const { pid, start, hold = false } = options
  const native = openWatch(pid)
  if (native === 'ended') return tellSoon(hold, onEnd)
  if (native === 'unknown') return pollProcess(options, onEnd)
  // After the pidfd is open: it may be that of a later process of this pid.
  if (!isProcessAlive(pid, start)) {
    native.close()
    return tellSoon(hold, onEnd)
  }
  let fallback: ProcessWatch | undefined
  native.onEnd = (status) => {
    if (status < 0) fallback = pollProcess(options, onEnd)
    else onEnd()
  }
  try {
    native.wait(hold)
  } catch {
    native.close()
    return pollProcess(options, onEnd) // epoll_ctl: the user has no watch left, or the machine no memory.
  }
  return {
    kill: () => fallback?.kill() ?? killNative(native, options),
    close: () => {
      native.close()
      fallback?.close()
    },
  }
}

function killNative(native: AddonProcessWatch, { pid, start }: ProcessWatchOptions): boolean {
  try {
    return native.kill()
  } catch {
    return killProcess(pid, start) // A sandbox may know no pidfd_send_signal.
  }
}

function openWatch(pid: number): AddonProcessWatch | 'ended' | 'unknown' {
  const { ProcessWatch } = addon()
  try {
    return new ProcessWatch(pid)
  } catch (cause) {
    const code = errnoOf(cause)
    if (code === 'NPP_PROCESS_ARGUMENT') throw new NppError(code, `Watching the process ${pid} failed: ${messageOf(cause)}`, { cause })
    return code === 'ESRCH' ? 'ended' : 'unknown'
  }
}
