import { Command, CommanderError } from 'commander'
import { activityCommand } from './commands/activity.js'
import { completionCommand } from './commands/completion.js'
import { destroyCommand } from './commands/destroy.js'
import { destroyUserCommand } from './commands/destroy-user.js'
import { doctorCommand } from './commands/doctor.js'
import { importCommand } from './commands/import.js'
import { inspectCommand } from './commands/inspect.js'
import { listCommand } from './commands/list.js'
import { purgeCommand } from './commands/purge.js'
import { purgeSourceCommand } from './commands/purge-source.js'
import { setupCommand } from './commands/setup.js'
import { statsCommand } from './commands/stats.js'
import { EndsWith, EXIT, UsageError } from './exits.js'
import { version } from './version.js'

const AFTER = `
Where the sessions are is said by flags, by the environment (NONSTICK_CACHE, NONSTICK_BACKEND or
DATABASE_URL, NONSTICK_NAMESPACE and a variable for each option) or by a config module (--config).

It ends with 0 if all is well, 1 if something failed or has to be mended, 2 for wrong use, and 3 if there
is no such session. docs/cli.md has the rest.`

const COMMANDS: readonly (() => Command)[] = [
  setupCommand,
  doctorCommand,
  statsCommand,
  listCommand,
  inspectCommand,
  destroyCommand,
  destroyUserCommand,
  activityCommand,
  purgeCommand,
  importCommand,
  purgeSourceCommand,
  completionCommand,
]

/** The command `nonstick` with all its commands. It prints no error and ends no process: whoever parses with it does. */
export const program = (): Command => {
  const root = new Command('nonstick')
    .description('Looks after the sessions that nonstick keeps in Memcached and a database.')
    .usage('<command> [options]')
    .version(version(), '--version', 'print the version')
    .addHelpText('after', AFTER)
    .helpCommand('help [command]', 'show the help of a command')
  for (const make of COMMANDS) root.addCommand(make())
  for (const each of [root, ...root.commands])
    each
      .exitOverride()
      .configureOutput({ outputError: () => {} })
      .helpOption('-h, --help', 'show this help')
  return root
}

/** What a mistake in the arguments becomes. Nothing of a value is shown: it may be a password or an id. */
export const told = (error: unknown): unknown => {
  if (!(error instanceof CommanderError)) return error
  if (error.exitCode === 0) return new EndsWith(EXIT.fine)
  if (error.code === 'commander.help') return new EndsWith(EXIT.usage)
  if (error.code === 'commander.excessArguments')
    return new UsageError('There is an argument that belongs to no option (--password takes none: it asks)')
  if (error.code === 'commander.unknownCommand')
    return new UsageError('There is no such command; nonstick --help lists them')
  const words = error.message.replace(/^error: /, '').replace(/'(--?[\w-]+)=[^\n]*/, "'$1' with a value")
  return new UsageError(`${words.charAt(0).toUpperCase()}${words.slice(1)}`)
}
