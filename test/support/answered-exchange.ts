import { Exchange, type ExchangeContext } from '../../app/http/exchange.ts'
import { NppError } from '../../shared/errors.ts'

/** An exchange of no request, for tests of the answer; `answered` hears of it. */
export function exchangeFor(answered: (exchange: Exchange) => void = () => undefined, isSecure = false): Exchange {
  const context: ExchangeContext = {
    trustedPeers: undefined,
    isSecure: () => isSecure,
    addressOf: () => '',
    nextRequestId: () => 'id',
    callAsync: Object.assign(() => Promise.reject(new Error('no calls here')), { noReply: () => Promise.resolve() }),
    answered,
    sendFile: () => undefined,
    stream: () => undefined,
    detach: () => Promise.reject(new Error('no connection here')),
  }
  return new Exchange(context)
}

/** Why an exchange expires, where the reason does not matter. */
export const GONE: NppError = new NppError('NPP_CLIENT_GONE', 'the client is gone')
