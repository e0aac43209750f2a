import { fuzz } from './differential.ts'

/*
 * npm run fuzz [-- minutes [seed]]: one minute and a fresh seed where they are left out. Exit code 1 where there is a finding, which is printed
 * with its input; the seed leads to it again.
 */
const minutes = Number(process.argv[2] ?? 1)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 32)
const until = performance.now() + minutes * 60_000
const result = fuzz(seed, (inputs) => inputs % 100 !== 0 || performance.now() < until)
const share = (part: number): string => `${part} (${((part / result.inputs) * 100).toFixed(1)} %)`
const counts = (map: ReadonlyMap<string, number>): string =>
  Array.from(map)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => `  ${String(count).padStart(9)}  ${name}\n`)
    .join('')
process.stdout.write(
  `seed ${seed}: ${result.inputs} inputs, of which ${share(result.accepted)} begin with a request that npp accepts and ${share(result.refused)} ` +
    `with one that it refuses; ${result.requests} requests compared with llhttp ${process.versions['llhttp'] ?? ''}\n` +
    `refused because\n${counts(result.reasons)}known differences\n${counts(result.differences)}`,
)
if (result.finding === undefined) process.stdout.write('no finding\n')
else {
  process.stdout.write(`FINDING\n${result.finding}\n`)
  process.exitCode = 1
}
