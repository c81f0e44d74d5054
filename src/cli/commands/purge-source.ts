import { Command } from 'commander'
import { runtimeOf } from '../../runtime.js'
import { type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { EndsWith, EXIT } from '../exits.js'
import { type SourceFlags, sourceMeant, withSourceFlags } from '../import/flags.js'
import { type Purged, purgeSource } from '../import/purge.js'
import { interruption } from '../interruption.js'
import { report } from '../output.js'
import { progress } from '../progress.js'

interface Flags extends StoreFlags, SourceFlags {
  readonly dryRun?: true
}

const DESCRIPTION =
  'Removes from another store the sessions that were copied from it: those that stand in the backend here, and those that ' +
  'have ended, here or there. What nobody here knows stays there, and so does what was changed there since it was copied, ' +
  'and what cannot be read. Do it when no process ' +
  'works on that store any more: its visitors would be logged out.'

/** `nonstick purge-source`: removes from another store what was copied from it. */
export const purgeSourceCommand = (): Command =>
  withStoreFlags(
    withSourceFlags(
      new Command('purge-source')
        .summary('remove from another store what was copied from it')
        .description(DESCRIPTION)
        .option('--dry-run', 'only say how much would be removed'),
    ),
  ).action(async (flags: Flags) => {
    const meant = sourceMeant('purge-source', flags)
    await withSessions('purge-source', flags, async (sessions, options) => {
      const runtime = runtimeOf(options.runtime)
      const source = await meant.open(runtime)
      const interrupted = interruption()
      const isDry = flags.dryRun === true
      let purged: Purged
      try {
        const bar = progress(await source.count().catch(() => undefined), runtime)
        try {
          const onPart = ({ found }: Purged): void => bar.at(found)
          purged = await purgeSource({ sessions, source, isDry, signal: interrupted.signal, onPart })
        } finally {
          bar.end()
        }
      } finally {
        interrupted.stop()
        await source.close()
      }
      const { removed, different, notHere, unreadable } = purged
      report(flags, { ...(isDry ? { dryRun: true } : {}), ...purged }, () => [
        `${sessionsIn(removed)} ${isDry ? 'would be removed' : 'removed'} there.`,
        ...(different > 0
          ? [`${sessionsIn(different)} were kept, as they were changed there since they were copied.`]
          : []),
        ...(notHere > 0 ? [`${sessionsIn(notHere)} were kept, as they are not here.`] : []),
        ...(unreadable > 0 ? [`${sessionsIn(unreadable)} were kept, as they cannot be read.`] : []),
      ])
      if (interrupted.signal.aborted)
        throw new EndsWith(interrupted.exitCode(), 'it was interrupted. Running it again goes on')
      if (different + notHere > 0)
        throw new EndsWith(EXIT.fault, 'some sessions are not here as they are there. `nonstick import` copies them')
    })
  })

const sessionsIn = (count: number): string => (count === 1 ? '1 session' : `${count} sessions`)
