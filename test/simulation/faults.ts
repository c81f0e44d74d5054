/** What applications do with sessions and handles, beside one call after another. */
const USES = [
  'handle used again',
  'calls overlap',
  'callback hung',
  'callback threw',
  'conflict function alters its arguments',
  'login before regenerate',
] as const

/** What happens where sessions have users, so that it is counted. */
const OF_USERS = ['logged out everywhere', 'login during a logout', 'oldest session ended', 'login refused'] as const

/** What happens where there is an old store as well, so that it is counted. */
export const OF_OLD_STORES = [
  'given by the old store',
  'old store unanswered',
  'logged out in the old store',
  'stored there again',
] as const

/** Everything that goes wrong in the simulated world, and everything that its applications do beside what is usual. */
export const FAULT_KINDS = [
  ...USES,
  'message delayed',
  'message re-ordered',
  'request dropped',
  'reply dropped',
  'message duplicated',
  'connection cut',
  'command after its connection',
  'entry evicted',
  'entry damaged',
  'cache restarted',
  'cache unreachable',
  'server cut off',
  'outage slept through',
  'server list changed',
  'backend slow',
  'backend down',
  'commit unanswered',
  'process paused',
  'process died',
  'clocks apart',
  'call failed',
  'troubles together',
  'cache slow',
  'cache full',
  'cache away for long',
  'backend away for long',
  'table missing',
  'command very late',
  'value too large',
  'clock stepped',
  'purged',
  ...OF_USERS,
  'call aborted',
  'id asked for before',
  ...OF_OLD_STORES,
] as const

export const isUse = (kind: FaultKind): boolean => (USES as readonly FaultKind[]).includes(kind)

export const isOfUsers = (kind: FaultKind): boolean => (OF_USERS as readonly FaultKind[]).includes(kind)

export const isOfOldStores = (kind: FaultKind): boolean => (OF_OLD_STORES as readonly FaultKind[]).includes(kind)

export type FaultKind = (typeof FAULT_KINDS)[number]

export type FaultCounts = Record<FaultKind, number>

export const noFaults = (): FaultCounts => Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts
