import type { FaultKind } from './faults.js'
import { FAULT_KINDS, isOfOldStores, isOfUsers, isUse } from './faults.js'
import type { Lots } from './random.js'

export type ServerList = readonly [number, ...number[]]

const LISTS: readonly Config['lists'][] = [
  [[0], [0, 1]],
  [[0], [0, 1]],
  [
    [0, 1],
    [0, 1, 2],
  ],
  [[0, 1], [0]],
  [[0, 1], [1]],
  [
    [0, 1],
    [0, 2],
  ],
]

/** One schedule's world, drawn from its seed. */
export interface Config {
  readonly processes: number
  /** The cache servers' numbers by the list that all begin with, and by the one that a change of it leads to. */
  readonly lists: readonly [ServerList, ServerList]
  readonly persistOn: 'create' | 'identify' | 'due'
  /** `function`: the application merges, and refuses where both changed the one key that all share. */
  readonly conflict: 'merge' | 'reject' | 'function'
  /** How many operations are started, those of the end not counted. */
  readonly operations: number
  readonly maxStaleCount: number
  readonly maxStaleMs: number
  readonly maxUnflushed: number
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly tombstoneTtlMs: number
  readonly onBackendDown: 'serve' | 'reject'
  readonly onCacheUnreachable: 'acknowledge' | 'reject'
  readonly deadlineMs: number
  readonly cacheTimeoutMs: number
  readonly backendTimeoutMs: number
  readonly breakerFailures: number
  readonly cacheRetryMs: number
  readonly backendRetryMs: number
  readonly leaseMs: number
  readonly leaseWaitMs: number
  readonly unknownIdTtlMs: number
  /** Clocks are at most this far apart. */
  readonly skewMs: number
  /** The mean pause between two operations of one client. */
  readonly thinkMs: number
  /** How often an operation makes a new session. */
  readonly sessions: number
  /** Sessions are made and ended far more often than elsewhere. */
  readonly shortSessions: boolean
  /**
   * Creations are given up before they have ended, and in the end all sessions expire and their ids are used again.
   * @default false
   */
  readonly reusesIds?: boolean
  /** The longest value that the cache takes, in bytes. */
  readonly maxValueBytes: number
  /** A value that is too long, or refused, takes along what stood there: as an eviction does. */
  readonly refusalEvicts: boolean
  /** For how long after it has expired the backend keeps a session when it is purged. */
  readonly purgeGraceMs: number
  /** The faults that may happen; each schedule has some of them, so that not every one is drowned in all. */
  readonly faults: ReadonlySet<FaultKind>
  /** How many times anything is done to the world while the operations run. */
  readonly strikes: number
  /** How likely each message meets its own fault. */
  readonly noise: number
  /** Whose the sessions may be. Without it, the backend knows of no users. */
  readonly users?: UsersConfig | undefined
  /** Without it there is no old store. */
  readonly oldStore?: OldStoreConfig | undefined
  /** Whether what the processes write is sealed: by each of them under one of two keys, which all of them have. */
  readonly sealed?: boolean
}

/** The store that the application had before. */
export interface OldStoreConfig {
  /** How likely a new session is one of the old store. */
  readonly share: number
  /** Whether a session that was taken over is removed there. */
  readonly removes: boolean
}

export interface UsersConfig {
  readonly names: readonly [string, ...string[]]
  /** How likely an operation is one about a user. */
  readonly share: number
  /** How many sessions each may have; the same for all processes from the beginning. */
  readonly limit?: { readonly most: number; readonly onTooMany: 'end-oldest' | 'refuse' } | undefined
  /** How many traps are set for calls about users. */
  readonly traps: number
  /** In the end each user is logged out everywhere. */
  readonly endsWithLogout: boolean
}

/** Drawn apart from all else, so that a schedule without users is what it was before there were any. */
export const usersOf = (lots: Lots): UsersConfig | undefined => {
  if (!lots.happens(0.3)) return undefined
  const most = lots.pick([1, 2, 2, 3])
  const onTooMany = lots.pick(['end-oldest', 'end-oldest', 'refuse'] as const)
  return {
    names: lots.happens(0.6) ? ['alice'] : ['alice', 'bob'],
    share: lots.pick([0.3, 0.5, 0.8]),
    limit: lots.happens(0.5) ? { most, onTooMany } : undefined,
    traps: lots.pick([0, 0, 2, 6]),
    endsWithLogout: lots.happens(0.3),
  }
}

/** Those that are drawn apart from all else, as they came later than others. */
const OF_THEIR_OWN: ReadonlySet<FaultKind> = new Set(['call aborted', 'id asked for before'])

/** Drawn apart from all else, as the users are. */
export const oldStoreOf = (lots: Lots): OldStoreConfig | undefined =>
  lots.happens(0.4) ? { share: lots.pick([0.4, 0.7, 1]), removes: lots.happens(0.4) } : undefined

/** The faults a message can meet, and those that strike the world from time to time. */
export const configOf = (lots: Lots): Config => {
  // Two kinds of world: with the default deadlines, in which clocks may be seconds apart; and a quick one.
  const quick = lots.happens(0.6)
  const faults = new Set<FaultKind>()
  const share = lots.pick([0.15, 0.35, 0.6, 1])
  // Or few kinds of faults, but these over and over, in one session that all are at work on: what is deep needs that.
  const isNarrow = lots.happens(0.25)
  const drawn = FAULT_KINDS.filter((kind) => !OF_THEIR_OWN.has(kind) && !isOfUsers(kind) && !isOfOldStores(kind))
  for (const kind of drawn) if (lots.happens(isUse(kind) ? 0.5 : isNarrow ? 0.08 : share)) faults.add(kind)
  if (isNarrow && lots.happens(0.7)) faults.add('troubles together')
  const short = lots.happens(0.3)
  // Its lots are its own, so that a schedule without it is the one that its seed has always given.
  if (lots.branch('aborts').happens(0.5)) faults.add('call aborted')
  if (lots.branch('guesses').happens(0.5)) faults.add('id asked for before')
  // Where clocks step by an hour, sessions end by that which live for less.
  if (short) faults.delete('clock stepped')
  const idleTtlMs = short ? 6_000 : 86_400_000
  return {
    processes: lots.pick([3, 3, 4]),
    lists: lots.pick(LISTS),
    persistOn: lots.pick(['create', 'create', 'create', 'identify', 'due']),
    conflict: lots.pick(['merge', 'merge', 'merge', 'reject', 'function']),
    operations: (isNarrow ? 45 : 30) + lots.whole(10),
    maxStaleCount: lots.pick(isNarrow ? [1, 2, 3, 10, 10] : [1, 1, 2, 2, 3, 3, 4, 6, 10]),
    maxStaleMs: lots.pick([150, 1_000, 5_000]),
    maxUnflushed: lots.pick([1, 50, 50]),
    idleTtlMs,
    absoluteTtlMs: short ? 20_000 : 30 * 86_400_000,
    onBackendDown: lots.pick(['serve', 'serve', 'reject']),
    onCacheUnreachable: lots.pick(['acknowledge', 'acknowledge', 'reject']),
    breakerFailures: lots.pick([2, 5, 5, 1_000_000]),
    ...(quick ? { cacheRetryMs: 40, backendRetryMs: 80 } : { cacheRetryMs: 200, backendRetryMs: 500 }),
    ...(quick
      ? {
          deadlineMs: 1_500,
          cacheTimeoutMs: 120,
          backendTimeoutMs: 250,
          leaseMs: 400,
          leaseWaitMs: 100,
          unknownIdTtlMs: 1_000,
          skewMs: 40,
        }
      : {
          deadlineMs: 10_000,
          cacheTimeoutMs: 2_000,
          backendTimeoutMs: 3_000,
          leaseMs: 5_000,
          leaseWaitMs: 1_000,
          unknownIdTtlMs: 3_000,
          skewMs: 2_000,
        }),
    // Longer than any copy could come back.
    tombstoneTtlMs: short ? 20_500 + (quick ? 80 : 4_000) : 31 * 86_400_000,
    thinkMs: isNarrow ? 3 : lots.pick([3, 10, 40]),
    sessions: isNarrow ? 1 : lots.pick([1, 1, 2, 3]),
    shortSessions: lots.happens(0.25),
    faults,
    strikes: isNarrow ? 16 : lots.pick([1, 2, 4, 8]),
    noise: lots.pick([0.01, 0.03, 0.08]),
    maxValueBytes: faults.has('value too large') ? lots.pick([700, 1_000, 1_500]) : 1_000_000,
    refusalEvicts: lots.happens(0.3),
    // As the backends have it by default: a day.
    purgeGraceMs: 86_400_000,
  }
}

/** Drawn apart from all else, as the users are. */
export const isSealed = (lots: Lots): boolean => lots.happens(0.15)

/** What `Config` looks like in a report. */
export const shownConfig = ({ faults, ...rest }: Config): string =>
  `${JSON.stringify(rest)}\n  faults: ${[...faults].join(', ') || 'none'}`
