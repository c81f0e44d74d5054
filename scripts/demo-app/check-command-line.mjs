// Reads the command line before anything is installed or built. Ends with 0 if the demo can go on, and with 2 for a
// mistake in the command line; with `--help` among the words it explains the options.
import { HELP, parseOptions, UsageError } from './options.mjs'
import { tryPort } from './port.mjs'

try {
  const { help, port } = parseOptions(process.argv.slice(2))
  if (help) console.log(HELP)
  else await tryPort(port)
} catch (error) {
  console.error(`scripts/demo: ${error.message}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
