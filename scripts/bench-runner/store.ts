/** What the calls of the store cost, beside the clients that it stands on and beside a bare socket. */
import type { RunFamily } from './bench.js'
import { HEAP_FLAGS } from './measuring.js'
import { type Case, figuresOf, found, inRounds, ratioIn, type Sample } from './rounds.js'
import { summaryOf } from './statistics.js'
import type { OperationName, StoreQuestion, StoreSetting } from './store-subject.js'
import { type Subject, startSubject } from './subject.js'
import { type Counted, startTiers } from './tiers.js'

const AT_ONCE = [1, 16, 64] as const
const OURS = 'nonstick'
const CLIENT = 'nonstick/memcached alone'
const PASSING = 'nonstick, codec passed by'
const BARE = 'bare binary socket'
const INSERT = 'bare insert (pg)'
const OF_FIGURES = [OURS, PASSING, CLIENT, BARE, INSERT] as const
const KINDS = [...OF_FIGURES, 'memjs', 'memcached', 'memcache-client', 'redis'] as const
const GROUPS_OF_FIGURES = ['load, 16 at once', 'load, 64 at once', 'create, 16 at once']

/** A process with one kind of store or client in it. */
interface Opened {
  readonly kind: string
  readonly subject: Subject
  readonly operations: readonly OperationName[]
  readonly database: Counted<string> | undefined
}

const groupOf = (operation: OperationName, atOnce: number): string => `${operation}, ${atOnce} at once`

export const store: RunFamily = async ({ seconds, rounds, quick }, tell) => {
  const tiers = await startTiers()
  const subjects: Subject[] = []
  try {
    const open = async (kind: StoreSetting['kind'], flags: readonly string[] = []): Promise<Opened> => {
      const [memcached, redis, database] = await Promise.all([
        tiers.memcached(),
        kind === 'redis' ? tiers.redis() : undefined,
        kind.startsWith('nonstick') || kind === INSERT ? tiers.database() : undefined,
      ])
      const subject = await startSubject('store-subject', flags)
      subjects.push(subject)
      const setting: StoreSetting = {
        kind,
        memcached: memcached.server.address,
        ...(redis === undefined ? {} : { redis: redis.server.url }),
        ...(database === undefined ? {} : { database: database.server }),
      }
      const operations = await subject.ask<readonly OperationName[]>({ open: setting } satisfies StoreQuestion)
      return { kind, subject, operations, database }
    }

    tell('starting')
    const opened = await Promise.all((quick ? OF_FIGURES : KINDS).map((kind) => open(kind)))
    const all: readonly Case[] = AT_ONCE.flatMap((atOnce) =>
      opened.flatMap(({ kind, subject, operations }) =>
        operations.map((operation) => ({
          name: kind,
          group: groupOf(operation, atOnce),
          run: () => subject.ask<Sample>({ measure: operation, load: { seconds, atOnce } } satisfies StoreQuestion),
        })),
      ),
    )
    const cases = quick ? all.filter(({ group }) => GROUPS_OF_FIGURES.includes(group)) : all
    const measured = await inRounds(cases, rounds, (round) => tell(`round ${round} of ${rounds}`))

    tell('heap, round trips and rows')
    const [heap, watched] = await Promise.all([open(OURS, HEAP_FLAGS), open('nonstick, watched')])
    const heapOf = async (operation: OperationName) =>
      summaryOf([await heap.subject.ask<number>({ heapOf: operation, atOnce: 16 } satisfies StoreQuestion)])
    const awaited = await watched.subject.ask<number>({ awaitedForUnknownId: true } satisfies StoreQuestion)
    const counts = async () => (await watched.database?.counts())?.rows ?? Number.NaN
    const [sessions, times] = [10, 100]
    const before = await counts()
    await watched.subject.ask({ change: { sessions, times } } satisfies StoreQuestion)
    // Each creation is a row as well.
    const rows = (await counts()) - before - sessions

    const cpu = (operation: OperationName, atOnce: number, one: string, other: string) =>
      ratioIn(measured, { group: groupOf(operation, atOnce), measure: 'cpuUs', one, other })
    const group = groupOf('load', 16)
    const gets = figuresOf(found(measured, group, CLIENT), 'cpuUs')
    const onTop = figuresOf(found(measured, group, PASSING), 'cpuUs').map(
      (us, round) => us - (gets[round] ?? Number.NaN),
    )
    return {
      family: 'store',
      measured,
      columns: ['cpuUs', 'perSecond', 'p50Us', 'p99Us'],
      versions: await tiers.versions(),
      figures: {
        'store.roundTrips.unknownId': summaryOf([awaited]),
        'store.rowsPerWrite': summaryOf([rows / (sessions * times)]),
        'store.cpu.cacheGet16.overBareSocket': cpu('load', 16, CLIENT, BARE),
        'store.cpu.cacheGet64.overBareSocket': cpu('load', 64, CLIENT, BARE),
        'store.cpuUs.load.overCacheClient': summaryOf(onTop),
        'store.heapBytes.load': await heapOf('load'),
        'store.heapBytes.save': await heapOf('save'),
        'store.cpu.create.overInsert': cpu('create', 16, OURS, INSERT),
      },
    }
  } finally {
    await Promise.all(subjects.map((subject) => subject.end()))
    await tiers.stop()
  }
}
