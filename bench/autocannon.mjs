// A process of its own, so that the load can be pinned to its core.
import autocannon from 'autocannon'

const result = await autocannon({ ...JSON.parse(process.argv[2]), timeout: 5 })
const answered = result['2xx'] + result.non2xx

process.stdout.write(
  `${JSON.stringify({
    requests: answered,
    seconds: result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    errors: { socket: result.errors - result.timeouts, timeout: result.timeouts, status: result.non2xx },
  })}\n`,
)
