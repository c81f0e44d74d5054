import { Command } from 'commander'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { UsageError } from '../exits.js'
import { report } from '../output.js'
import { idFromInput, userMeant } from '../which.js'
import { refuseHalf } from './destroy.js'

interface Flags extends StoreFlags {
  readonly except?: true
}

const DESCRIPTION =
  'Logs a user out everywhere: after it, no process serves a session that was this user’s before. Running it again ' +
  'where it failed goes on.'

/** `nonstick destroy-user`: ends all sessions of a user. */
export const destroyUserCommand = (): Command =>
  withStoreFlags(
    new Command('destroy-user')
      .summary('end all sessions of a user')
      .description(DESCRIPTION)
      .argument('<user>', 'the user, as the application’s `identify` names it; - reads it from standard input')
      .option(
        '--except',
        'keep one session, whose id is read from standard input (needs a config module with identify)',
      ),
  ).action(async (user: string, flags: Flags) =>
    withSessions('destroy-user', flags, (sessions, { identify }) => {
      if (flags.except === true && identify === undefined)
        throw new UsageError(
          'Expected --config with a module that has `identify`, without which --except cannot tell whose a session is',
        )
      return destroyUser(sessions, user, flags)
    }),
  )

const destroyUser = async (sessions: Sessions, argument: string, flags: Flags): Promise<void> => {
  if (flags.except === true && argument === '-')
    throw new UsageError('Expected the user as an argument where --except reads an id from standard input')
  const user = await userMeant(argument)
  const except = flags.except === true ? { except: await idFromInput() } : {}
  const told = await sessions.destroyByUser(user, { ...except, by: 'operator' })
  report(flags, told, () => [`${told.destroyed} ${told.destroyed === 1 ? 'session has' : 'sessions have'} ended.`])
  refuseHalf(told)
}
