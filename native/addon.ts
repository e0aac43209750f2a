import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { messageOf, NppError } from '../shared/errors.ts'

export interface AddonQueue {
  readonly descriptor: number
  readonly ownerUid: number
  readonly maxMessages: number
  readonly messageSize: number
  readonly created: boolean
  onReady: (events: number) => void
  push(bytes: Uint8Array, start: number, end: number, priority: number): boolean
  shift(into: Uint8Array): number
  count(): number
  setInterest(mask: number): void
  lock(offset: number, exclusive: boolean): boolean
  unlock(offset: number): boolean
  lockedIn(from: number, to: number): number
  isCurrent(name: string): boolean
  close(): void
}

export interface AddonNet {
  readonly memory: ArrayBuffer
  onBatch: (count: number, again: boolean) => void
  listen(host: string, port: number, backlog: number): [string, number]
  listenUnix(path: string, mode: number, backlog: number): [string, number]
  adopt(descriptor: number): [string, number]
  stopListening(): void
  acceptAgain(): void
  sweep(): number
  execute(count: number): number
  more(): number
  send(slot: number, bytes: Uint8Array, start: number, end: number): number
  sendFile(slot: number, descriptor: number, offset: number, length: number): number
  peer(slot: number): string
  unsent(slot: number): number
  detach(slot: number): number
  counters(): number[]
  close(): void
}

export interface AddonSharedMemory {
  readonly memory: ArrayBuffer
  readonly descriptor: number
  reserve(offset: number, length: number): void
  swap(other: AddonSharedMemory): void
  close(): void
}

export interface AddonProcessWatch {
  onEnd: (status: number) => void
  wait(hold: boolean): void
  kill(): boolean
  close(): void
}

interface Addon {
  readonly Queue: new (name: string, flags: number, mode: number, maxMessages: number, messageSize: number) => AddonQueue
  unlinkQueue(name: string): boolean
  readonly Net: new (polling: number, capacity: number, refusal: Uint8Array, buffered: number) => AddonNet
  readonly SharedMemory: new (path: string, length: number, create: boolean, reserved: number) => AddonSharedMemory
  readonly ProcessWatch: new (pid: number) => AddonProcessWatch
  writeNow(descriptor: number, bytes: Uint8Array, start: number, end: number): number
}

/** Where the addon is built to; dist/native/index.js and native/build are in the same package. */
export const addonPath: string = fileURLToPath(new URL('../../native/build/npp.node', import.meta.url))

let loaded: Addon | undefined

/** Loads the addon unless that was done. Throws NppError NPP_NATIVE_MISSING, which says what to do. */
export function loadAddon(): void {
  addon()
}

export function addon(): Addon {
  if (loaded !== undefined) return loaded
  try {
    const found: Addon = createRequire(import.meta.url)(addonPath)
    loaded = found
    return found
  } catch (cause) {
    throw new NppError(
      'NPP_NATIVE_MISSING',
      `The native addon does not load (${messageOf(cause).split('\n', 1)[0]}). npx npp doctor tells what is missing; npm rebuild npp builds it again (in a checkout: npm run build).`,
      { cause },
    )
  }
}
