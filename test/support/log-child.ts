// The process of the log tests: node log-child.js <how it ends>. It writes to standard output through the log.
import { openLog } from '../../shared/log.ts'

const [ending = ''] = process.argv.slice(2)
const log = openLog({ name: 'child', level: 'info', pretty: false })
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
  default:
    throw new Error(`no ending ${ending}`)
}
