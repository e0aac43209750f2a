import { Exchange, type ExchangeContext } from '../../app/http/exchange.ts'

/** An exchange of no request, for tests of the answer; `answered` hears of it. */
export function exchangeFor(answered: (exchange: Exchange) => void = () => undefined): Exchange {
  const context: ExchangeContext = {
    addressOf: () => '',
    nextRequestId: () => 'id',
    call: () => Promise.reject(new Error('no calls here')),
    answered,
    sendFile: () => undefined,
  }
  return new Exchange(context)
}
