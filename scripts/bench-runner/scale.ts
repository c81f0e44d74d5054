/** Many sessions: what a call costs then, what memory they take, and what a restart of the cache does. */
import type { MemcachedServer } from '../servers/index.js'
import type { RunFamily } from './bench.js'
import { recoveryOf } from './recovery.js'
import { type Case, figuresOf, found, inRounds, type Sample } from './rounds.js'
import type { Lived, ScalePlaces, ScaleQuestion } from './scale-subject.js'
import { pairedRatio, summaryOf } from './statistics.js'
import { type Subject, startSubject } from './subject.js'
import { type Counted, startTiers } from './tiers.js'

const COUNTS = [1_000, 10_000, 100_000] as const
const OF_FIGURES = [1_000, 100_000] as const
const AT_ONCE = 16
const CACHE_MB = 512
/** When the cache is restarted, and for how long calls are made in all. */
const RESTART = { afterMs: 2_000, seconds: 6 } as const

/** So many sessions are in use while the cache is restarted. */
const FEW = 500

interface Started {
  readonly subject: Subject
  readonly places: ScalePlaces
  readonly cache: Counted<MemcachedServer>
  readonly database: Counted<string>
}

interface Filled extends Started {
  readonly sessions: number
}

const nameOf = (sessions: number): string => `${sessions} sessions`

export const scale: RunFamily = async ({ seconds, rounds, quick }, tell) => {
  const tiers = await startTiers()
  const subjects: Subject[] = []
  try {
    const start = async (): Promise<Started> => {
      const [cache, database] = [await tiers.memcached(CACHE_MB), await tiers.database()]
      const subject = await startSubject('scale-subject')
      subjects.push(subject)
      const places: ScalePlaces = { memcached: cache.server.address, database: database.server }
      return { subject, places, cache, database }
    }

    tell('memory')
    const memoryOf = async (thing: 'unusedStore' | 'idleSession' | 'unflushedSession'): Promise<number> => {
      const { subject, places } = await start()
      const bytes = await subject.ask<number>({ memoryOf: thing, places } satisfies ScaleQuestion)
      await subject.end()
      return bytes
    }
    const [unusedStore, idleSession, unflushedSession] = [
      await memoryOf('unusedStore'),
      await memoryOf('idleSession'),
      await memoryOf('unflushedSession'),
    ]

    const fill = async ({ subject, places }: Started, sessions: number, isPutOff: boolean): Promise<void> => {
      await subject.ask({ open: places, sessions, isPutOff } satisfies ScaleQuestion)
    }

    tell('making sessions')
    const stores: Filled[] = []
    for (const sessions of quick ? OF_FIGURES : COUNTS) {
      const started = await start()
      await fill(started, sessions, true)
      stores.push({ sessions, ...started })
    }
    const calls = ['load', 'save'] as const
    const cases: readonly Case[] = calls.flatMap((call) =>
      stores.map(({ sessions, subject }) => ({
        name: nameOf(sessions),
        group: call === 'save' ? 'load and save' : call,
        run: () => subject.ask<Sample>({ measure: call, load: { seconds, atOnce: AT_ONCE } } satisfies ScaleQuestion),
      })),
    )
    const measured = await inRounds(cases, rounds, (round) => tell(`round ${round} of ${rounds}`))

    tell('restart of the cache')
    const few = await start()
    await fill(few, FEW, false)
    const before = await few.database.counts()
    const living = few.subject.ask<readonly Lived[]>({
      live: { seconds: RESTART.seconds, atOnce: AT_ONCE },
    } satisfies ScaleQuestion)
    await new Promise((resolve) => setTimeout(resolve, RESTART.afterMs))
    await few.cache.server.restart()
    const recovery = recoveryOf(await living, RESTART.afterMs)
    const after = await few.database.counts()

    const ratio = (group: string) => {
      const cpu = (sessions: number) => figuresOf(found(measured, group, nameOf(sessions)), 'cpuUs')
      return pairedRatio(cpu(100_000), cpu(1_000))
    }
    return {
      family: 'scale',
      measured,
      columns: ['cpuUs', 'perSecond', 'p50Us', 'p99Us'],
      versions: await tiers.versions(),
      notes: [
        `Restart of Memcached under load (${AT_ONCE} calls at once, of which a fifth writes, ${nameOf(FEW)}): ` +
          `${recovery.failed} of ${recovery.calls} calls were rejected, the last one ${Math.round(recovery.lastFailureMs)} ms ` +
          `after the restart began; calls went on as before after ` +
          `${recovery.recoveredMs === undefined ? 'more time than was measured' : `${Math.round(recovery.recoveredMs)} ms`}; ` +
          `p99 since then ${Math.round(recovery.p99Ms)} ms; ` +
          `${(after.statements ?? 0) - (before.statements ?? 0)} statements at the database.`,
      ],
      figures: {
        'scale.cpu.load.100000.over1000': ratio('load'),
        'scale.cpu.save.100000.over1000': ratio('load and save'),
        'scale.bytes.idleSession': summaryOf([idleSession]),
        'scale.bytes.unflushedSession': summaryOf([unflushedSession]),
        'scale.bytes.unusedStore': summaryOf([unusedStore]),
      },
    }
  } finally {
    await Promise.all(subjects.map((subject) => subject.end()))
    await tiers.stop()
  }
}
