/** The one write that each token names. */
export type Token = string

/**
 * What one process did to one session, and what came of it. Moments are of the machine's one monotonic clock, in ms,
 * so that what different processes did can be put in order.
 */
export interface Operation {
  readonly process: number
  readonly what: 'create' | 'load' | 'write' | 'update' | 'destroy' | 'regenerate' | 'login' | 'logout everywhere'
  readonly startedAt: number
  readonly endedAt: number
  /**
   * `none`: there was no such session. `refused`: it was not applied. `unknown`: it may have been. `failed`: nothing
   * was learnt.
   */
  readonly outcome: 'ok' | 'none' | 'refused' | 'unknown' | 'failed'
  /** Of a write: what it added. */
  readonly token?: Token
  /** The tokens that were seen: by a load, and in the session that a regeneration gave. */
  readonly seen?: readonly Token[]
  /** Whose session it was, as it was loaded. */
  readonly user?: string
  /** Of a write: acknowledged as standing in the backend. */
  readonly durable?: boolean
  readonly error?: string
}

/** The cache was emptied at a moment in between. */
export interface Loss {
  readonly startedAt: number
  readonly endedAt: number
}

/** One sentence for each thing that must not be; none when all is well. */
export type Complaints = readonly string[]

const isWrite = ({ what }: Operation): boolean => what === 'write' || what === 'update'
const acknowledged = (history: readonly Operation[]): readonly Operation[] =>
  history.filter((operation) => isWrite(operation) && operation.outcome === 'ok')
const loads = (history: readonly Operation[]): readonly Operation[] =>
  history.filter(({ what, outcome }) => what === 'load' && outcome === 'ok')
const before = (a: Operation, b: Operation): boolean => a.endedAt < b.startedAt

/** While all servers run, no call ends in doubt or without an answer. */
export const everyCallAnswers = (history: readonly Operation[]): Complaints =>
  history
    .filter(({ outcome }) => outcome === 'unknown' || outcome === 'failed')
    .map((operation) => `${named(operation)} had no answer`)

/** The same where the cache is lost under the writers: a write may then honestly end in doubt. */
export const everyCallAnswersOrDoubts = (history: readonly Operation[]): Complaints =>
  everyCallAnswers(history.filter((operation) => !isDoubt(operation)))

/** More writes followed than the session remembers, before it could be seen whether this one is in. */
export const isDoubt = ({ error }: Operation): boolean => error?.startsWith('E_SESSION_UNKNOWN_OUTCOME ') === true

/** Nothing is seen that nobody wrote, that was refused, or that began only afterwards; and nothing is there twice. */
export const nothingIsMadeUp = (history: readonly Operation[]): Complaints => {
  const writes = new Map(history.filter(isWrite).map((write) => [write.token, write]))
  return history.flatMap((operation) => {
    const { seen = [] } = operation
    const complaints = seen.flatMap((token) => {
      const write = writes.get(token)
      if (write === undefined) return [`${named(operation)} saw ${token}, which nobody wrote`]
      if (before(operation, write)) return [`${named(operation)} saw ${token} before it was written`]
      // A change may be dropped because of a logout after others have seen it; for no other reason.
      if (write.outcome === 'refused' && !write.error?.includes('E_SESSION_DESTROYED'))
        return [`${named(operation)} saw ${token}, which was refused`]
      return []
    })
    const twice = seen.filter((token, at) => seen.indexOf(token) !== at)
    return [...complaints, ...twice.map((token) => `${named(operation)} saw ${token} applied twice`)]
  })
}

/** I3 and I6, where the cache kept the entry: reads see all that was acknowledged before, and never go back. */
export const nothingIsLost = (history: readonly Operation[]): Complaints => {
  const all = loads(history)
  const writes = acknowledged(history)
  return all.flatMap((load) => {
    const seen = new Set(load.seen)
    const owed = writes.filter((write) => before(write, load)).map(({ token = '' }) => token)
    const shown = all.filter((earlier) => before(earlier, load)).flatMap((earlier) => earlier.seen ?? [])
    return [
      ...owed.filter((token) => !seen.has(token)).map((token) => `${named(load)} missed ${token}, acknowledged before`),
      ...[...new Set(shown)]
        .filter((token) => !seen.has(token) && !owed.includes(token))
        .map((token) => `${named(load)} missed ${token}, which an earlier read had seen`),
    ]
  })
}

/** I5: what was acknowledged as durable is seen by every later read, whatever becomes of the cache. */
export const nothingDurableIsMissed = (history: readonly Operation[]): Complaints => {
  const durable = acknowledged(history).filter((write) => write.durable === true)
  return loads(history).flatMap((load) =>
    durable
      .filter((write) => before(write, load) && load.seen?.includes(write.token ?? '') !== true)
      .map(({ token }) => `${named(load)} missed ${token}, acknowledged before as durable`),
  )
}

/** I2: whatever begins after a destroy (or a regeneration) was acknowledged finds no session, and changes none. */
export const goneIsGone = (history: readonly Operation[]): Complaints => {
  const ended = history
    .filter(({ what, outcome }) => (what === 'destroy' || what === 'regenerate') && outcome === 'ok')
    .sort((a, b) => a.endedAt - b.endedAt)[0]
  if (ended === undefined) return ['nothing ended the session']
  return history
    .filter(({ what, outcome }) => outcome === 'ok' && what !== 'destroy')
    .filter((operation) => before(ended, operation))
    .map((operation) => `${named(operation)} succeeded after the session had ended`)
}

/**
 * I4 and I5: each loss of the cache takes at most `maxStaleCount - 1` acknowledged writes, and never a durable one.
 *
 * @param survived the tokens that were there in the end
 */
export const lossesAreBounded = (
  history: readonly Operation[],
  losses: readonly Loss[],
  survived: readonly Token[],
  maxStaleCount: number,
): Complaints => {
  const lost = lostOf(history, survived)
  const durable = lost.filter((write) => write.durable).map((write) => `${named(write)} was durable, and is lost`)
  // A write is taken by the first loss after it stood in the cache, which it did at some moment of its call.
  const left = losses.map(() => maxStaleCount - 1)
  const candidates = lost
    .map((write) => ({
      write,
      first: losses.findIndex(({ endedAt }) => endedAt >= write.startedAt),
      last: losses.findIndex(({ startedAt }) => startedAt >= write.endedAt),
    }))
    .map(({ write, first, last }) => ({ write, first, last: last === -1 ? losses.length - 1 : last }))
    .sort((a, b) => a.last - b.last)
  const beyond = candidates.flatMap(({ write, first, last }) => {
    for (let at = first; at !== -1 && at <= last; at += 1)
      if ((left[at] ?? 0) > 0) {
        left[at] = (left[at] ?? 0) - 1
        return []
      }
    return [`${named(write)} is lost beyond the bound of ${maxStaleCount - 1} for each loss of the cache`]
  })
  return [...durable, ...beyond]
}

/** Which sessions of a user there were when he was logged out everywhere, and how they stand in the backend in the end. */
export interface LogoutEverywhere {
  readonly user: string
  /** Those that were his before. */
  readonly before: ReadonlySet<string>
  /** The one that was to stay. */
  readonly except?: string | undefined
  /** The epoch of the user, and the one that each session that is his stands under. */
  readonly epoch: number
  readonly epochs: ReadonlyMap<string, number>
}

/**
 * I2, for all sessions of a user. Whatever loads a session after the logout had ended is not served one that was the
 * user's before, nor one of a login that had read the epoch before the logout raised it. A login beside the logout that
 * read the epoch afterwards is one that came later, and may stay.
 *
 * @param history each operation with the id of its session
 */
export const loggedOutEverywhere = (
  history: readonly (Operation & { readonly session: string })[],
  { user, before: wereHis, except, epoch, epochs }: LogoutEverywhere,
): Complaints => {
  const logout = history.find(({ what, outcome }) => what === 'logout everywhere' && outcome === 'ok')
  if (logout === undefined) return ['nobody was logged out']
  const isServed = (operation: Operation): boolean =>
    operation.what === 'load' && operation.user === user && before(logout, operation)
  return history.filter(isServed).flatMap((operation) => {
    const { session } = operation
    if (session === except) return []
    if (wereHis.has(session)) return [`${named(operation)} was served a session that was the user's before the logout`]
    if (epochs.get(session) === epoch) return []
    return [`${named(operation)} was served a session of epoch ${epochs.get(session) ?? 'none'}, after ${epoch} began`]
  })
}

/** The acknowledged writes that are not there in the end. */
export const lostOf = (history: readonly Operation[], survived: readonly Token[]): readonly Operation[] => {
  const there = new Set(survived)
  return acknowledged(history).filter(({ token = '' }) => !there.has(token))
}

const named = ({ process, what, token, startedAt, endedAt }: Operation): string =>
  `${what}${token === undefined ? '' : ` of ${token}`} in process ${process} (${moment(startedAt)} to ${moment(endedAt)})`

const moment = (ms: number): string => (ms % 10_000_000).toFixed(3)

/** The history as one reads it: a line for each operation, in the order they began. */
export const told = (history: readonly Operation[], losses: readonly Loss[] = []): string =>
  [
    ...history.map((operation) => {
      const { outcome, error, seen, durable, user } = operation
      const details = [
        error,
        user && `as ${user}`,
        durable === true ? 'durable' : undefined,
        seen && `saw ${seen.join(' ')}`,
      ]
      return { at: operation.startedAt, line: [named(operation), outcome, ...details].filter(Boolean).join(', ') }
    }),
    ...losses.map(({ startedAt, endedAt }) => ({
      at: startedAt,
      line: `the cache was emptied (${moment(startedAt)} to ${moment(endedAt)})`,
    })),
  ]
    .sort((a, b) => a.at - b.at)
    .map(({ line }) => `  ${line}`)
    .join('\n')
