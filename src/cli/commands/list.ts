import { Command, Option } from 'commander'
import type { SessionInfo } from '../../contract/session-store.js'
import { runtimeOf } from '../../runtime.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { UsageError } from '../exits.js'
import { milliseconds, wholeNumber } from '../flags.js'
import { duration, report } from '../output.js'
import { plainSession, sessionTable } from '../show.js'
import { userMeant } from '../which.js'

interface Flags extends StoreFlags {
  readonly user?: string
  readonly app?: string
  readonly seenWithin?: number
  readonly limit?: number
  readonly after?: string
  readonly newest?: true
  readonly data?: true
}

const DESCRIPTION =
  'Lists sessions by their handles, as the backend knows them: a change of the last minute or so may be missing. The ' +
  'sessions of one user (--user) are shown as they are now. A handle lets nobody in; inspect and destroy take it.'

/** `nonstick list`: a page of the sessions, or those of one user. */
export const listCommand = (): Command =>
  withStoreFlags(
    new Command('list')
      .summary('list sessions, of all or of one user')
      .description(DESCRIPTION)
      .option('--user <id>', 'all sessions of this user; - reads the user from standard input')
      .option('--app <name>', 'the sessions of this application within the namespace')
      .addOption(
        new Option('--seen-within <duration>', 'those that were used lately, such as 10m').argParser(milliseconds(1)),
      )
      .addOption(new Option('--limit <number>', 'how many, 1 to 1000 [100]').argParser(wholeNumber(1, 1_000)))
      .option('--after <cursor>', 'the next page, as the page before says')
      .option('--newest', 'ask the cache for the newest state of each')
      .option('--data', 'show the data of the sessions, too'),
  ).action(async (flags: Flags) =>
    withSessions('list', flags, (sessions, options) => list(sessions, flags, runtimeOf(options.runtime).now())),
  )

const list = async (sessions: Sessions, flags: Flags, nowMs: number): Promise<void> => {
  if (flags.user !== undefined) return listOfUser(sessions, await userMeant(flags.user), flags, nowMs)
  const { app, seenWithin, limit, after, newest = false, data = false } = flags
  const page = await sessions.list({
    data,
    newest,
    ...(app === undefined ? {} : { app }),
    ...(seenWithin === undefined ? {} : { seenWithinMs: seenWithin }),
    ...(limit === undefined ? {} : { limit }),
    ...(after === undefined ? {} : { after }),
  })
  const { next, lag } = page
  report(flags, { sessions: page.map(plainSession), next, lag }, () => [
    ...sessionTable(page, nowMs),
    ...(next === undefined ? [] : [`There are more: --after ${next}`]),
    `Changes of the last ${duration(lag.changesMs)}, and uses of the last ${duration(lag.usesMs)}, may be missing.`,
  ])
}

const listOfUser = async (sessions: Sessions, user: string, flags: Flags, nowMs: number): Promise<void> => {
  for (const flag of ['app', 'seenWithin', 'limit', 'after', 'newest'] as const)
    if (flags[flag] !== undefined)
      throw new UsageError(
        'Expected --user without --app, --seen-within, --limit, --after and --newest: it lists all sessions of the user',
      )
  const found: SessionInfo[] = []
  for await (const session of sessions.listByUser(user, { data: flags.data ?? false })) found.push(session)
  report(flags, { sessions: found.map(plainSession) }, () => sessionTable(found, nowMs))
}
