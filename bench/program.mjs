import { BenchError } from './commands.mjs'
import { endAll, killAll } from './pinned-process.mjs'

const endGraceMs = 12_000

let interrupted = false

export function isInterrupted() {
  return interrupted
}

// Ends what was started however the program ends. `main` resolves to the exit code.
export async function runProgram(main) {
  for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
    process.on(signal, () => {
      if (interrupted) process.exit(code)
      interrupted = true
      process.stderr.write('\nending what was started …\n')
      void endAll(endGraceMs).finally(() => process.exit(code))
    })
  }
  process.on('exit', killAll)
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    // When interrupted, everything fails; the signal's handler ends this process.
    if (interrupted) return
    process.stderr.write(`bench: ${error instanceof BenchError ? error.message : error.stack}\n`)
    await endAll(endGraceMs)
    process.exitCode = 2
  }
}
