#!/usr/bin/env node
/** The command `nonstick`: `program.ts` has its commands, and docs/cli.md what they do. */
import { isError } from '../tools/is-error.js'
import { EndsWith, EXIT, type ExitCode, errorCodeOf, exitCodeOf } from './exits.js'
import { sayErrorInJson, warn } from './output.js'
import { program, told } from './program.js'

const args: readonly string[] = process.argv.slice(2)

/** The command's name, for the beginning of a complaint. */
const commandName = (): string => {
  const names = new Set(program().commands.map((command) => command.name()))
  const [first = ''] = args
  return names.has(first) ? first : ''
}

const run = async (): Promise<ExitCode> => {
  try {
    await program().parseAsync(args, { from: 'user' })
    return EXIT.fine
  } catch (raised) {
    const error = told(raised)
    // The message alone: the properties of an error may hold how we connected, and causes what somebody stored.
    const message = isError(error) ? error.message || error.name : String(error)
    if (!(error instanceof EndsWith) || error.message !== '') {
      warn(commandName(), message)
      // The arguments themselves are asked, as the error may be that they could not be read.
      if (args.includes('--json')) sayErrorInJson({ code: errorCodeOf(error), message })
    }
    return exitCodeOf(error)
  }
}

let exitCode: ExitCode = EXIT.fine
let isBroken = false
let isLost = false

/** A command whose result could not be written down has failed, unless it ends with another code anyway. */
const settle = (): void => {
  process.exitCode = exitCode === EXIT.fine && isLost ? EXIT.fault : exitCode
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (isBroken) return
  isBroken = true
  // A reader that has seen enough, such as `head`, ends the pipe: that is no fault, and hides none that was found.
  if (error.code === 'EPIPE') return
  isLost = true
  warn(commandName(), `the result could not be written to standard output: ${error.code ?? error.name}`)
  settle()
})

exitCode = await run()
settle()
