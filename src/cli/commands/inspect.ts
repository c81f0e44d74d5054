import { Command } from 'commander'
import type { SessionInspection } from '../../contract/session-store.js'
import { runtimeOf } from '../../runtime.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { EndsWith, EXIT } from '../exits.js'
import { report } from '../output.js'
import { dataLine, momentAndAge, plainSession } from '../show.js'
import { handleMeant, noSuchSession, standing } from '../which.js'

interface Flags extends StoreFlags {
  readonly data?: true
}

const DESCRIPTION =
  'Shows what is recorded of one session, which tiers have it, and how many of its changes the backend has not got yet. ' +
  'Give its handle as an argument; its id, or the value of its cookie, goes by standard input, so that it shows in no ' +
  'list of processes. Ends with 3 if there is no such session.'

/** `nonstick inspect`: what both tiers know of one session. */
export const inspectCommand = (): Command =>
  withStoreFlags(
    new Command('inspect')
      .summary('show what is known of one session')
      .description(DESCRIPTION)
      .argument('[handle]', 'the handle of the session; without it, the id or the handle is read from standard input')
      .option('--data', 'show the data of the session, too'),
  ).action(async (handle: string | undefined, flags: Flags) =>
    withSessions('inspect', flags, (sessions, options) =>
      inspect(sessions, handle, flags, runtimeOf(options.runtime).now()),
    ),
  )

const inspect = async (
  sessions: Sessions,
  argument: string | undefined,
  flags: Flags,
  nowMs: number,
): Promise<void> => {
  const handle = await handleMeant(sessions, argument)
  const found = await sessions.inspect(handle, { data: flags.data ?? false })
  if (found === undefined) throw noSuchSession()
  const stands = standing(found)
  const { session } = found
  report(flags, { ...found, session: session && plainSession(session) }, () => linesOf(handle, found, nowMs))
  if (stands === 'none') throw noSuchSession()
  if (stands === 'unknown') throw new EndsWith(EXIT.fault, 'a tier that may have the session could not be asked')
}

const linesOf = (handle: string, found: SessionInspection, nowMs: number): readonly string[] => {
  const { session, tiers, unflushed } = found
  const at = (moment: number | undefined): string | undefined =>
    moment === undefined ? undefined : momentAndAge(moment, nowMs)
  const facts: readonly (readonly [string, string | number | undefined])[] = [
    ['handle', handle],
    ['in the cache', tiers.cache],
    ['in the backend', tiers.backend],
    ['unflushed changes', unflushed],
    ['shown as the', session?.from],
    ['user', session?.userId],
    ['application', session?.app],
    ['created', at(session?.createdAt)],
    ['identified', at(session?.identifiedAt)],
    ['last seen', at(session?.seenAt)],
    ['ends unless used', at(session?.expiresAt)],
    ['ends at the latest', at(session?.absoluteExpiresAt)],
    ['uses written down', session?.reads],
    ['changes', session?.writes],
    ['address', session?.address],
    ['user agent', session?.userAgent],
    ['cannot be read', session?.error?.message],
    ['data', session?.data === undefined ? undefined : dataLine(session.data)],
  ]
  return facts.flatMap(([name, value]) =>
    value === undefined || value === ''
      ? []
      : [`${name.padEnd(20)}${name === 'shown as the' ? `${value} has it` : value}`],
  )
}
