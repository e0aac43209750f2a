import type { PayloadStore } from '../../ipc/payload-store.ts'
import { NppError, messageOf } from '../../shared/errors.ts'
import type { OutgoingCall } from './outgoing-call.ts'

const NOTHING = new Uint8Array(0)

/** The input of a call that no message holds: it lies in a store, and who runs the call takes it from there. */
export class LargeInput {
  readonly #store: PayloadStore
  readonly #waitMs: number
  #payload: Uint8Array | undefined
  /** What the message says in its place. */
  #reference: Uint8Array = NOTHING

  /** `payload` is kept while the call may have to leave again; `waitMs` is what it may take until the input is taken. */
  constructor(store: PayloadStore, payload: Uint8Array, waitMs: number) {
    this.#store = store
    this.#payload = payload
    this.#waitMs = waitMs
  }

  /** The payload is there, to be put into the store once more. */
  get isKept(): boolean {
    return this.#payload !== undefined
  }

  /** Puts the payload into the store, in place of what was there; returns the reference to it. Throws as PayloadStore.put does. */
  put(): Uint8Array {
    this.discard()
    if (this.#payload !== undefined) this.#reference = this.#store.put(this.#payload, this.#waitMs)
    return this.#reference
  }

  /** Keeps the payload, as bytes that nobody else has. */
  own(): void {
    if (this.#payload !== undefined) this.#payload = new Uint8Array(this.#payload)
  }

  /** Keeps the payload no longer. What is in the store stays there. */
  forget(): void {
    this.#payload = undefined
  }

  /** Removes from the store what nobody has taken. */
  discard(): void {
    if (this.#reference.byteLength > 0) this.#store.discard(this.#reference, 0)
    this.#reference = NOTHING
  }
}

/**
 * Puts the input of the call, which is its body, into the store, and has the body say where; or says why not. `waitMs` is what the call may take;
 * `isShared`: the site may change the input once the call is made.
 */
export function spillInput(
  call: OutgoingCall,
  store: PayloadStore | undefined,
  messageSize: number,
  waitMs: number,
  isShared: boolean,
): NppError | undefined {
  const { body, service } = call
  const bytes = body.byteLength
  if (store === undefined || bytes > store.mostBytes) {
    const bound = store === undefined ? `a message holds ${messageSize}` : `maxCallBytes allows ${store.mostBytes}`
    return new NppError('NPP_CALL_TOO_LARGE', `the input of ${service.name} has ${bytes} bytes; ${bound}`)
  }
  const large = new LargeInput(store, body, waitMs)
  call.large = large
  const fault = respillInput(call)
  if (fault !== undefined) return fault
  if (!call.mayComeBack) large.forget()
  else if (isShared) large.own()
  return undefined
}

/** Puts a large input into the store once more, as somebody may have taken it; or says why not. Of a call without one does nothing. */
export function respillInput(call: OutgoingCall): NppError | undefined {
  const { large, service } = call
  if (large === undefined) return undefined
  try {
    call.body = large.put()
    return undefined
  } catch (error) {
    const code = error instanceof NppError ? error.code : 'NPP_SHM_FAILED'
    return new NppError(
      code === 'NPP_SHM_FULL' ? 'NPP_CALL_NO_MEMORY' : code,
      `the input of ${service.name} cannot be sent: ${messageOf(error)}`,
      { cause: error },
    )
  }
}
