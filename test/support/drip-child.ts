// A process of its own with many slow clients: node drip-child.js <port> <count>. At each word of the parent it does one step, and reports
// how many clients have got that far.
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const [port = '', count = ''] = process.argv.slice(2)
const REQUEST = Buffer.from('GET /hello HTTP/1.1\r\nHost: a\r\n\r\n')
/** Connections that are begun at a time: fewer than wait in a backlog. */
const BURST = 100

class Drip {
  readonly socket: Socket
  text = ''
  sent = 0
  isOpen = false

  constructor() {
    this.socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    this.socket
      .on('connect', () => {
        this.isOpen = true
      })
      .on('data', (chunk: Buffer) => {
        this.text += chunk.toString('latin1')
      })
      .on('error', () => this.socket.destroy())
      .on('close', () => {
        this.isOpen = false
      })
  }

  send(bytes: number): void {
    this.socket.write(REQUEST.subarray(this.sent, this.sent + bytes))
    this.sent += bytes
  }

  get isAnswered(): boolean {
    return this.text.startsWith('HTTP/1.1 200 ') && this.text.endsWith('\r\n\r\nHello World!') && this.text.split('HTTP/1.1').length === 2
  }
}

const drips: Drip[] = []

async function until(holds: (drip: Drip) => boolean, tries = 1500): Promise<number> {
  for (let round = 0; round < tries && !drips.every(holds); round++) await sleep(10)
  return drips.filter(holds).length
}

async function step(word: string): Promise<number> {
  switch (word) {
    case 'connect':
      while (drips.length < Number(count)) {
        for (let left = Math.min(BURST, Number(count) - drips.length); left > 0; left--) drips.push(new Drip())
        await until((drip) => drip.isOpen || drip.socket.destroyed)
      }
      return until((drip) => drip.isOpen, 1)
    case 'drip': {
      // A second for all of them, spread over it as clients that know nothing of each other are.
      for (let part = 0; part < 50; part++) {
        for (let index = part; index < drips.length; index += 50) drips[index]?.send(1)
        await sleep(20)
      }
      return until((drip) => drip.isOpen, 1)
    }
    default:
      for (const drip of drips) drip.send(REQUEST.byteLength - drip.sent)
      return until((drip) => drip.isAnswered)
  }
}

async function carryOut(word: string): Promise<void> {
  process.send?.(await step(word))
}

process.on('message', (word) => void carryOut(String(word)))
