import type { Summary } from './statistics.js'

/** The families of cases, in the order in which they run. */
export const FAMILIES = ['request', 'store', 'codec', 'flush', 'scale'] as const
export type Family = (typeof FAMILIES)[number]

/** What a figure must reach. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number } | { readonly below: number }

interface Goal {
  readonly family: Family
  readonly bound: Bound
  /** What the figure is, in the words of the tables. */
  readonly says: string
}

/** Every figure that has a goal. The order is that of the tables. */
export const GOALS = {
  'request.cpu.read.overMemoryStore': {
    family: 'request',
    bound: { atMost: 1.0 },
    says: 'CPU of the server process for a request that only reads, 1.5 KB, over MemoryStore',
  },
  'request.cpu.write.overMemoryStore': {
    family: 'request',
    bound: { atMost: 1.15 },
    says: 'The same for a request that writes',
  },
  'request.cpu.read.overConnectRedis': {
    family: 'request',
    bound: { below: 1 },
    says: 'CPU for a request that only reads, 1.5 KB, over connect-redis',
  },
  'request.cpu.write.overConnectRedis': {
    family: 'request',
    bound: { below: 1 },
    says: 'The same for a request that writes',
  },
  'request.cpu.read.overConnectMemcached': {
    family: 'request',
    bound: { below: 1 },
    says: 'CPU for a request that only reads, 1.5 KB, over connect-memcached',
  },
  'request.cpu.write.overConnectMemcached': {
    family: 'request',
    bound: { below: 1 },
    says: 'The same for a request that writes',
  },
  'request.roundTrips.read': {
    family: 'request',
    bound: { atMost: 1 },
    says: 'Commands at the cache for a request that only reads',
  },
  'request.statements.read': {
    family: 'request',
    bound: { atMost: 0.002 },
    says: 'Statements at the database for a request that only reads',
  },
  'store.roundTrips.unknownId': {
    family: 'store',
    bound: { atMost: 2 },
    says: 'Commands at the cache that a load of an unknown id waits for',
  },
  'store.rowsPerWrite': {
    family: 'store',
    bound: { atMost: 0.1 },
    says: 'Rows that the database writes for a change, by count, with N = 10',
  },
  'store.cpu.cacheGet16.overBareSocket': {
    family: 'store',
    bound: { atMost: 2 },
    says: 'CPU for a get of the cache client over the bare binary socket, 16 at once',
  },
  'store.cpu.cacheGet64.overBareSocket': {
    family: 'store',
    bound: { atMost: 2 },
    says: 'The same, 64 at once',
  },
  'store.cpuUs.load.overCacheClient': {
    family: 'store',
    bound: { atMost: 5 },
    says: 'Microseconds of CPU for a load of a warm session of 1.5 KB beyond the get of the cache client, decoding excluded, 16 at once',
  },
  'store.heapBytes.load': { family: 'store', bound: { atMost: 8_192 }, says: 'Bytes of heap that a load allocates' },
  'store.heapBytes.save': { family: 'store', bound: { atMost: 12_288 }, says: 'Bytes of heap that a save allocates' },
  'store.cpu.create.overInsert': {
    family: 'store',
    bound: { atMost: 2 },
    says: 'CPU for a create over a bare insert of the same data, 16 at once',
  },
  'codec.speed.1500.overJson': {
    family: 'codec',
    bound: { atLeast: 0.85 },
    says: 'Encodings and decodings of 1.5 KB in a second of CPU, over those of JSON',
  },
  'codec.speed.20000.overJson': {
    family: 'codec',
    bound: { atLeast: 1.4 },
    says: 'The same for 20 KB',
  },
  'codec.bytes.1500.overJson': {
    family: 'codec',
    bound: { atMost: 0.65 },
    says: 'Bytes of 1.5 KB, over those of JSON',
  },
  'codec.bytes.20000.overJson': {
    family: 'codec',
    bound: { atMost: 0.65 },
    says: 'Bytes of 20 KB, over those of JSON',
  },
  'flush.perSecond.64.overUpserts': {
    family: 'flush',
    bound: { atLeast: 4 },
    says: 'Sessions flushed in a second, 64 due at once, from the save to its acknowledgement, over upserts one by one through the same pool',
  },
  'scale.cpu.load.100000.over1000': {
    family: 'scale',
    bound: { atMost: 1.1 },
    says: 'CPU for a load with 100,000 sessions, over the same with 1,000',
  },
  'scale.cpu.save.100000.over1000': {
    family: 'scale',
    bound: { atMost: 1.1 },
    says: 'CPU for a load and a save with 100,000 sessions, over the same with 1,000',
  },
  'scale.bytes.idleSession': {
    family: 'scale',
    // The least that V8 keeps for anything is 16 bytes: what is less is no trace of a session.
    bound: { below: 16 },
    says: 'Bytes that the process keeps of a session that it has served and that is flushed (none, as far as can be measured)',
  },
  'scale.bytes.unflushedSession': {
    family: 'scale',
    bound: { atMost: 200 },
    says: 'Bytes that the process keeps of a session with a change that is not flushed',
  },
  'scale.bytes.unusedStore': {
    family: 'scale',
    bound: { atMost: 204_800 },
    says: 'Bytes of a NonstickStore on Memcached and PostgreSQL that nobody has called, beyond the first in its process',
  },
} as const satisfies Readonly<Record<string, Goal>>

export type FigureName = keyof typeof GOALS

/** The figures of one family. Each of them is measured in each run of the family. */
export type Figures = Partial<Readonly<Record<FigureName, Summary>>>

/** What the last line of `scripts/bench --json` says. */
export interface Verdict {
  readonly figures: Readonly<Record<string, number>>
  /** How far the rounds lay from each figure. */
  readonly spreads: Readonly<Record<string, number>>
  readonly bounds: Readonly<Record<string, Bound>>
  /** The figures that do not reach their bound, and those of the families that ran that nobody measured. */
  readonly missed: readonly string[]
}

export const reaches = (figure: number, bound: Bound): boolean => {
  if ('atMost' in bound) return figure <= bound.atMost
  return 'atLeast' in bound ? figure >= bound.atLeast : figure < bound.below
}

/** The bound as a table shows it. */
export const wordsOf = (bound: Bound): string => {
  if ('atMost' in bound) return `≤ ${bound.atMost}`
  return 'atLeast' in bound ? `≥ ${bound.atLeast}` : `< ${bound.below}`
}

/** Four digits tell all that a measurement knows. */
export const rounded = (figure: number): number => Number(figure.toPrecision(4))

export const verdictOf = (ran: readonly Family[], measured: Figures): Verdict => {
  const names = (Object.keys(GOALS) as FigureName[]).filter((name) => ran.includes(GOALS[name].family))
  const known = names.flatMap((name) => {
    const summary = measured[name]
    return summary === undefined || Number.isNaN(summary.median) ? [] : [{ name, summary }]
  })
  const reached = known.filter(({ name, summary }) => reaches(rounded(summary.median), GOALS[name].bound))
  return {
    figures: Object.fromEntries(known.map(({ name, summary }) => [name, rounded(summary.median)])),
    spreads: Object.fromEntries(known.map(({ name, summary }) => [name, rounded(summary.spread)])),
    bounds: Object.fromEntries(names.map((name) => [name, GOALS[name].bound])),
    missed: names.filter((name) => !reached.some((one) => one.name === name)),
  }
}
