import { SessionStoreError } from '../errors.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { keysRead, mergeThreeWay } from '../session/merge.js'
import type { Context } from './context.js'
import type { View } from './handle.js'
import type { ConflictPolicy, StoreOptions } from './options.js'
import type { Resolved } from './write.js'

/** The application's own say in what is stored. */
export type Customs<Data> = Pick<StoreOptions<Data>, 'identify' | 'beforeSave'> & {
  readonly conflict: ConflictPolicy<Data>
}

/** What a request wants stored: its data as bytes and as a value, and whose it is. */
export interface Wanted {
  readonly data: Uint8Array
  readonly value: unknown
  readonly userId: string | undefined
}

/**
 * What a tier shall keep of the data.
 *
 * @throws SessionStoreError `E_SESSION_DATA`, and `E_SESSION_TOO_LARGE` where it is more than `maxSessionBytes`
 */
const encoded = ({ values, options: { maxSessionBytes } }: Context, value: unknown): Uint8Array => {
  const data = values.encode(value)
  if (data.length <= maxSessionBytes) return data
  throw new SessionStoreError(
    'E_SESSION_TOO_LARGE',
    `Expected session data of at most ${maxSessionBytes} bytes (maxSessionBytes), got ${data.length}`,
    { applied: 'no' },
  )
}

/** @throws SessionStoreError `E_SESSION_DATA` and `E_SESSION_TOO_LARGE` where the data cannot be stored. */
export const wantedOf = <Data>(context: Context, { beforeSave }: Customs<Data>, data: Data): Wanted => {
  const value = beforeSave?.(data) ?? data
  if (value === undefined)
    throw new SessionStoreError('E_SESSION_DATA', 'Expected session data, got nothing', { path: 'data', applied: 'no' })
  return { data: encoded(context, value), value, userId: context.values.userOf(value) }
}

/** Stores what is wanted over whatever stands there. */
export const overwriting =
  (context: Context, wanted: Wanted): ((current: LiveEnvelope) => Resolved) =>
  (current) => ({
    ...wanted,
    userChanged: wanted.userId !== context.values.userOf(context.values.decode(current)),
  })

/** Stores what stands there, as it is: for a change of the header alone. */
export const keeping =
  ({ values }: Context): ((current: LiveEnvelope) => Resolved) =>
  (current) => {
    const value = values.decode(current)
    return { data: values.encode(value), value, userId: values.userOf(value), userChanged: false }
  }

/**
 * Stores what is wanted where the request's own view still stands, and asks the conflict policy where another
 * request came between.
 */
export const resolving =
  <Data>(
    context: Context,
    customs: Customs<Data>,
    view: View,
    viewUser: string | undefined,
    wanted: Wanted,
    unmergedKeys: readonly string[],
  ): ((current: LiveEnvelope) => Resolved) =>
  (current) => {
    if (sameBytes(current, view)) return { ...wanted, userChanged: wanted.userId !== viewUser }
    const { conflict } = customs
    const { values, telemetry } = context
    const theirs = values.decode(current)
    const currentUser = values.userOf(theirs)
    if (conflict === 'overwrite') return { ...wanted, userChanged: wanted.userId !== currentUser }
    if (conflict === 'reject') throw conflicted('another request changed it')
    if (sameBytes(current, { codecId: values.codecId, data: wanted.data })) return { ...wanted, userChanged: false }
    // Alice's cart must not land in Bob's session.
    if (wanted.userId !== viewUser || currentUser !== viewUser) throw conflicted('its user changed')

    const base = values.decode(view)
    const merged =
      conflict === 'merge'
        ? merge(context, customs, base, wanted.value, theirs, unmergedKeys)
        : conflict({ base: base as Data, mine: wanted.value as Data, current: theirs as Data })
    telemetry.count('merges')
    const userId = values.userOf(merged)
    return { data: encoded(context, merged), value: merged, userId, userChanged: userId !== currentUser }
  }

const merge = <Data>(
  context: Context,
  { identify }: Customs<Data>,
  base: unknown,
  mine: unknown,
  current: unknown,
  unmergedKeys: readonly string[],
): unknown => {
  const deletionWinsKeys =
    identify === undefined ? new Set<string>() : keysRead(identify as (data: never) => unknown, base)
  // Merged from copies of their own: what the request holds must not be shared with what is stored.
  const copy = context.values.decode({ codecId: context.values.codecId, data: context.values.encode(mine) })
  const merged = mergeThreeWay(base, copy, current, { unmergedKeys: new Set(unmergedKeys), deletionWinsKeys })
  if (merged.outcome === 'conflict') throw conflicted('another request changed it, and its data is no plain object')
  return merged.data
}

export const sameBytes = (a: View, b: View): boolean => a.codecId === b.codecId && Buffer.compare(a.data, b.data) === 0

const conflicted = (why: string): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', `The session could not be saved: ${why} meanwhile`, { applied: 'no' })
