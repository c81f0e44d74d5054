import { Command, Option } from 'commander'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { milliseconds } from '../flags.js'
import { duration, report } from '../output.js'

interface Flags extends StoreFlags {
  readonly app?: string
  readonly within: number
}

/** As redis-sessions has it. */
const USUAL_WITHIN_MS = 600_000

/** `nonstick activity`: how many sessions and users were active lately. */
export const activityCommand = (): Command =>
  withStoreFlags(
    new Command('activity')
      .summary('count the sessions and users that were active lately')
      .description(
        'Counts the sessions that were used lately, and their users, as the backend knows them: uses of the last minutes may be missing.',
      )
      .addOption(
        new Option('--within <duration>', 'how lately, such as 10m or 1d [10m]')
          .argParser(milliseconds(1))
          .default(USUAL_WITHIN_MS, '10m'),
      )
      .option('--app <name>', 'the sessions of this application within the namespace'),
  ).action(async (flags: Flags) => withSessions('activity', flags, (sessions) => activity(sessions, flags)))

const activity = async (sessions: Sessions, flags: Flags): Promise<void> => {
  const { app, within } = flags
  const of = app === undefined ? {} : { app }
  const [active, all] = await Promise.all([sessions.activity({ ...of, withinMs: within }), sessions.count(of)])
  report(flags, { ...active, withinMs: within, all }, () => [
    `In the last ${duration(within)} there were ${active.sessions} active sessions, of ${active.users} different users. ${all} sessions live.`,
    `Uses of the last ${duration(active.lag.usesMs)} may be missing.`,
  ])
}
