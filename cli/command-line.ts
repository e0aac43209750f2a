import { NppError } from '../shared/errors.ts'

/** A command line taken apart. */
export interface CommandLine {
  readonly command: string
  /** The site folder, '.' without one. */
  readonly folder: string
  /** A configuration file to read instead of the site's npp.conf. */
  readonly configFile: string | undefined
  /** Flags that stand for configuration keys, as given. */
  readonly flags: readonly (readonly [string, string])[]
  /** --json: for programs instead of people. */
  readonly json: boolean
}

/** Takes `command [folder] [--flag value | --flag=value …]` apart. Throws NPP_USAGE. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [command = 'help', ...rest] = args
  if (command === '--help' || command === '-h') return { command: 'help', folder: '.', configFile: undefined, flags: [], json: false }
  if (command === '--version' || command === '-v') return { command: 'version', folder: '.', configFile: undefined, flags: [], json: false }
  const folders: string[] = []
  const flags: (readonly [string, string])[] = []
  let configFile: string | undefined
  let json = false
  for (let index = 0; index < rest.length; index++) {
    const word = rest[index] ?? ''
    if (!word.startsWith('-')) {
      folders.push(word)
      continue
    }
    if (word === '--json') {
      if (command !== 'status') throw new NppError('NPP_USAGE', `--json goes with npp status, not with npp ${command}`)
      json = true
      continue
    }
    const equals = word.indexOf('=')
    const name = equals === -1 ? word : word.slice(0, equals)
    const value = equals === -1 ? rest[++index] : word.slice(equals + 1)
    if (value === undefined) throw new NppError('NPP_USAGE', `${name} needs a value, as in ${name}=…`)
    if (name === '--config') configFile = value
    else flags.push([name, value])
  }
  if (folders.length > 1) throw new NppError('NPP_USAGE', `one site folder is expected, not ${folders.length}: ${folders.join(' ')}`)
  return { command, folder: folders[0] ?? '.', configFile, flags, json }
}
