/** How fast sessions that are due reach the database, from the save to its acknowledgement. */
import type { RunFamily } from './bench.js'
import type { Flusher, FlushQuestion } from './flush-subject.js'
import { type Case, figuresOf, found, inRounds, type Sample } from './rounds.js'
import { pairedRatio } from './statistics.js'
import { startSubject } from './subject.js'
import { startTiers } from './tiers.js'

const FLUSHERS = ['nonstick', 'upserts one by one', 'upserts in one statement'] as const satisfies readonly Flusher[]
const AT_ONCE = [1, 4, 16, 64, 256] as const
const OF_FIGURES = [64] as const
const groupOf = (atOnce: number): string => `${atOnce} due at once`

export const flush: RunFamily = async ({ seconds, rounds, quick }, tell) => {
  const tiers = await startTiers()
  const subject = await startSubject('flush-subject')
  try {
    const [cache, database] = [await tiers.memcached(), await tiers.database()]
    await subject.ask({
      open: { memcached: cache.server.address, database: database.server },
    } satisfies FlushQuestion)
    const cases: readonly Case[] = (quick ? OF_FIGURES : AT_ONCE).flatMap((atOnce) =>
      FLUSHERS.map((name) => ({
        name,
        group: groupOf(atOnce),
        run: () => subject.ask<Sample>({ flush: name, atOnce, seconds } satisfies FlushQuestion),
      })),
    )
    const measured = await inRounds(cases, rounds, (round) => tell(`round ${round} of ${rounds}`))
    const [ours, upserts] = FLUSHERS.map((name) => figuresOf(found(measured, groupOf(64), name), 'perSecond'))
    return {
      family: 'flush',
      measured,
      columns: ['perSecond', 'cpuUs'],
      versions: await tiers.versions(),
      figures: { 'flush.perSecond.64.overUpserts': pairedRatio(ours ?? [], upserts ?? []) },
    }
  } finally {
    await subject.end()
    await tiers.stop()
  }
}
