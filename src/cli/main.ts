#!/usr/bin/env node
/** The command `nonstick`: `program.ts` has its commands, and docs/cli.md what they do. */
import { isError } from '../tools/is-error.js'
import { EndsWith, exitCodeOf } from './exits.js'
import { warn } from './output.js'
import { program, told } from './program.js'

const main = async (args: readonly string[]): Promise<void> => {
  try {
    await program().parseAsync(args, { from: 'user' })
  } catch (raised) {
    const error = told(raised)
    // The message alone: the properties of an error may hold how we connected, and causes what somebody stored.
    const message = isError(error) ? error.message || error.name : String(error)
    if (!(error instanceof EndsWith) || error.message !== '') warn(commandIn(args), message)
    process.exitCode = exitCodeOf(error)
  }
}

/** The command's name, for the beginning of a complaint. */
const commandIn = (args: readonly string[]): string => {
  const names = new Set(program().commands.map((command) => command.name()))
  const [first = ''] = args
  return names.has(first) ? first : ''
}

// A reader that has seen enough, such as `head`, ends the pipe: that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

await main(process.argv.slice(2))
