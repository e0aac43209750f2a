import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { formatFigures, judge } from './figures.mjs'

// What a run says, and what it leaves in a file.
export class Report {
  constructor(script, words, { facts, warnings }, method) {
    this.content = {
      command: ['node', `bench/${script}`, ...words].join(' '),
      machine: facts,
      warnings,
      method,
      scenarios: [],
      figures: [],
    }
  }

  announce() {
    const { command, machine, warnings, method } = this.content
    say(`command   ${command}`)
    say(`date      ${machine.date}`)
    say(
      `machine   ${machine.cpu}, ${machine.cores} core(s), ${machine.memoryMB} MB; server on core ${machine.serverCore}, load on core ${machine.loadCore}`,
    )
    say(`software  Linux ${machine.kernel}, Node ${machine.node}, load by ${machine.load}`)
    say(`method    ${method}`)
    for (const warning of warnings) say(`WARNING   ${warning}`)
  }

  add({ name, title }, results, table) {
    this.content.scenarios.push({ name, title, results })
    say(`\n## ${name}: ${title}\n\n${table}`)
  }

  skip({ name, title }, reason) {
    this.content.scenarios.push({ name, title, skipped: reason, results: [] })
    say(`\n## ${name}: ${title}\n\nSKIPPED: ${reason}`)
  }

  // The closing figures, the file, and the exit code.
  end(file) {
    const results = this.content.scenarios.flatMap((scenario) => scenario.results)
    const allValid = results.every(({ isValid, skipped }) => isValid || skipped !== undefined)
    this.content.figures = judge(this.content.scenarios)
    if (this.content.figures.length > 0) say(`\n## figures\n\n${formatFigures(this.content.figures)}`)
    if (file !== undefined) writeFileSync(resolve(file), `${JSON.stringify(this.content, null, 2)}\n`)
    if (!allValid) say('\nAt least one row failed or is invalid.')
    return allValid ? 0 : 1
  }
}

export function say(text) {
  process.stdout.write(`${text}\n`)
}

export function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}
