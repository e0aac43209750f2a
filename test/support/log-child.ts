// The process of the log tests: node log-child.js <how it ends>. It writes to standard output through the log.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { writeNow } from '../../native/index.ts'
import { openLog } from '../../shared/log.ts'

const [ending = ''] = process.argv.slice(2)
const log = openLog({ name: 'child', level: 'info', pretty: false, writeNow })
log.info({ number: 1 }, 'first')
log.line('{"msg":"ready-made"}\n')

switch (ending) {
  case 'exit':
    process.exit(3)
    break
  case 'end':
    break
  case 'close':
    log.close()
    break
  case 'crash':
    process.on('uncaughtException', () => {
      log.error({}, 'crashed')
      log.flush()
      process.exit(70)
    })
    throw new Error('nobody catches this')
  case 'uncaught':
    throw new Error('nobody catches this')
  case 'later': {
    // A line waits no longer than its time, though the buffer is not full: the parent ends this process once it has seen it.
    setInterval(() => undefined, 1000)
    break
  }
  case 'flood': {
    // Many lines of all kinds; the parent ends the input once it has read them.
    for (let number = 0; number < 100_000; number++) {
      if (number % 1000 === 0) log.warn({ number }, 'ä€😀')
      else log.line(`{"number":${number},"msg":"${'€'.repeat(number % 40)}"}\n`)
      if (number % 500 === 0) await nextTurn()
    }
    process.stdin.resume()
    break
  }
  case 'stuck':
    for (let number = 0; number < 100_000; number++) log.line(`{"number":${number},"msg":"${'x'.repeat(100)}"}\n`)
    log.error({}, 'nobody reads this')
    process.exit(3)
    break
  default:
    throw new Error(`no ending ${ending}`)
}
