import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { keysRead, type MergeOutcome, mergingThreeWay } from '../../session/merge.js'
import { BY_KEY, combines, type Rules } from '../../session/merge-rules.js'
import { type Encoded, sameBytes } from '../../session/sameness.js'
import { inTurns, type Steps } from '../../tools/turns.js'
import type { Conflict, ConflictSides } from '../conflict.js'
import type { Context, LargestPartOf } from '../context.js'
import type { StoreOptions } from '../options.js'
import type { WriteIntent } from './write.js'

/** The options by which the application itself decides what is stored. */
export type Customs<Data> = Pick<StoreOptions<Data>, 'identify' | 'beforeSave'> & {
  readonly conflict: Conflict<Data>
}

/** What a request wants to be stored: its data as bytes and as a value, and whose session it is. */
export interface Wanted {
  readonly data: Uint8Array
  readonly value: unknown
  /** The data that the request holds. It is `value`, unless `beforeSave` returned something else to store. */
  readonly source: unknown
  readonly userId: string | undefined
}

/** The size of data that is too large is measured up to so many times `maxSessionBytes`. */
const MEASURED = 4

/**
 * Encodes the data as the tiers shall keep it.
 *
 * @throws SessionStoreError `E_SESSION_DATA`, and `E_SESSION_TOO_LARGE` where it is more than `maxSessionBytes` or
 *   `maxSessionValues`
 */
const encoded = ({ values, options }: Context, value: unknown): Uint8Array => {
  const { maxSessionBytes, maxSessionValues } = options
  const tooLarge = (limit: string, got: string, { path, place }: ReturnType<LargestPartOf>): SessionStoreError => {
    const where =
      place === '' ? 'the data itself' : `by positions from 0, ${place}; \`path\` of this error has the names`
    return new SessionStoreError(
      'E_SESSION_TOO_LARGE',
      `Expected session data of at most ${limit}, got ${got}: store less, and large things elsewhere under an id (the largest part: ${where})`,
      { path, applied: 'no' },
    )
  }
  const tooManyBytes = (got: string): SessionStoreError =>
    tooLarge(`${maxSessionBytes} bytes (maxSessionBytes)`, got, values.largestPart(value, 'bytes'))
  // Data that is not far above the limit is encoded all the same, so that the error can name its size.
  const maxBytes = MEASURED * maxSessionBytes
  let data: Uint8Array
  try {
    data = values.encode(value, { maxBytes, maxValues: maxSessionValues })
  } catch (error) {
    if (!isSessionStoreError(error, 'E_SESSION_TOO_LARGE')) throw error
    const largest = values.largestPart(value, 'values')
    // The data itself is none of the values in it.
    const count = largest.size - 1
    // Each value has a byte at least, so that the codec may have met the other limit first.
    if (maxSessionValues < maxBytes && count > maxSessionValues)
      throw tooLarge(`${maxSessionValues} values (maxSessionValues)`, `at least ${count}`, largest)
    throw tooManyBytes(`more than ${maxBytes}, counting an object once for each place that refers to it`)
  }
  if (data.length <= maxSessionBytes) return data
  throw tooManyBytes(String(data.length))
}

/**
 * What a function of the application gave to be stored in place of `data`. A promise is refused, as nobody would await it,
 * and so is what is no object where the data is one: `(data) => delete data.draft` gives `true`.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
const givenBy = (option: 'beforeSave' | 'conflict', given: unknown, data: unknown): unknown => {
  // A promise that nobody waits for must not end the process when it rejects.
  if (given instanceof Promise) given.catch(() => {})
  const isObject = typeof given === 'object' && given !== null
  if (isObject ? !('then' in given && typeof given.then === 'function') : typeof data !== 'object' || data === null)
    return given
  const got = isObject ? 'a promise' : given === undefined || given === null ? 'nothing' : `a ${typeof given}`
  throw new SessionStoreError('E_CONFIG', `Expected \`${option}\` to return the data to store, got ${got}`, {
    applied: 'no',
  })
}

/**
 * What is to be stored of the data: the data itself, or what `beforeSave` gives in its place.
 *
 * @throws SessionStoreError `E_CONFIG` where `beforeSave` gave what is no data
 */
export const valueToStore = <Data>({ beforeSave }: Pick<Customs<Data>, 'beforeSave'>, data: Data): unknown => {
  const given = beforeSave?.(data) ?? undefined
  return given === undefined ? data : givenBy('beforeSave', given, data)
}

/**
 * @throws SessionStoreError `E_SESSION_DATA` and `E_SESSION_TOO_LARGE` where the data cannot be stored, `E_CONFIG` where
 *   `beforeSave` gave what is no data
 */
export const wantedOf = <Data>(context: Context, customs: Customs<Data>, data: Data): Wanted => {
  const value = valueToStore(customs, data)
  if (value === undefined)
    throw new SessionStoreError('E_SESSION_DATA', 'Expected session data, got nothing', { path: 'data', applied: 'no' })
  return { data: encoded(context, value), value, source: data, userId: context.values.userOf(value) }
}

/** How a write decides what to store when it sees what stands; see `WriteIntent`. */
type Resolve = WriteIntent['resolve']

/** Decodes what a tier has, as a step of its own. */
export function* decoded({ values }: Context, view: Encoded): Steps<unknown> {
  yield view.data.length
  return values.decode(view)
}

/**
 * What a session holds that begins with what is wanted. It is a copy: two sessions that a program begins with one object
 * have their data apart.
 */
export const ownCopyOf = async <Data>(context: Context, { data }: Wanted): Promise<Data> =>
  (await inTurns(decoded(context, { codecId: context.values.codecId, data }))) as Data

/** Stores what is wanted over whatever stands there. */
export const overwriting = (context: Context, wanted: Wanted): Resolve =>
  function* (current) {
    const standing = yield* decoded(context, current)
    return { ...wanted, userChanged: wanted.userId !== context.values.userOf(standing) }
  }

/** Stores what stands there as it is. This is for a change of the header alone. */
export const keeping = (context: Context): Resolve =>
  function* (current) {
    const { values } = context
    const value = yield* decoded(context, current)
    yield current.data.length
    return { data: values.encode(value), value, userId: values.userOf(value), userChanged: false }
  }

/** What a request changed: the difference between the copy that it knew and the data that it wants. */
export interface Change {
  readonly basis: Encoded
  /** The user of `basis`. */
  readonly basisUser: string | undefined
  readonly wanted: Wanted
  /** For these top-level keys the value in `wanted` is stored, whatever others wrote. */
  readonly unmergedKeys: readonly string[]
}

/**
 * Stores what is wanted, if the copy that the request knew still stands. Where another request has stored something
 * else meanwhile, the conflict policy decides.
 */
export const resolving = <Data>(
  context: Context,
  customs: Customs<Data>,
  { basis, basisUser, wanted, unmergedKeys }: Change,
): Resolve =>
  function* (current, newerBasis) {
    const { values, telemetry } = context
    const known = newerBasis ?? basis
    const knownUser = newerBasis === undefined ? basisUser : values.userOf(yield* decoded(context, newerBasis))
    if (sameBytes(current, known)) return { ...wanted, userChanged: wanted.userId !== knownUser }
    const { conflict } = customs
    const mine: Encoded = { codecId: values.codecId, data: wanted.data }
    const isStored = sameBytes(current, mine)
    // Under `reject`, what stands was stored by another request, unless an earlier save of the same handle turned out
    // to be in.
    const isOneChange = conflict === 'reject' ? newerBasis !== undefined : !combines(rulesOf(conflict))
    if (isStored && isOneChange && conflict !== 'overwrite') return { ...wanted, userChanged: false }
    if (conflict === 'reject') throw conflicted('another request changed it')
    const standing = yield* decoded(context, current)
    const currentUser = values.userOf(standing)
    if (conflict === 'overwrite') return { ...wanted, userChanged: wanted.userId !== currentUser }
    // The data of one user must not be merged into the session of another.
    if (!isStored && (wanted.userId !== knownUser || currentUser !== knownUser)) throw conflicted('its user changed')

    const descends = newerBasis === undefined
    const merged = yield* decided(context, customs, { base: known, mine, standing }, { unmergedKeys, descends })
    telemetry.count('merges')
    const userId = values.userOf(merged)
    yield current.data.length
    return { data: encoded(context, merged), value: merged, userId, userChanged: userId !== currentUser }
  }

/**
 * Gives what stands, with the changes put back that the cache has lost: those from `anchor`, which lacks them, to
 * `held`. A key that others have changed since then keeps their change, as it came later; then `whole` is false. Gives
 * `undefined` where the data is no plain object, or where the session is another user's by now.
 */
export function* restored<Data>(
  context: Context,
  customs: Customs<Data>,
  { anchor, held, current }: { readonly anchor: Encoded; readonly held: Encoded; readonly current: Encoded },
): Steps<{ readonly view: Encoded; readonly whole: boolean } | undefined> {
  const { values } = context
  const theirs = yield* decoded(context, current)
  const before = yield* decoded(context, anchor)
  const after = yield* decoded(context, held)
  yield current.data.length
  const merged = yield* carried(context, customs, before, theirs, after)
  if (merged.outcome === 'conflict' || values.userOf(merged.data) !== values.userOf(theirs)) return undefined
  yield current.data.length
  return { view: { codecId: values.codecId, data: values.encode(merged.data) }, whole: merged.isWhole }
}

/**
 * Makes the changes from `before` to `after` to another copy, `onto`. Gives `undefined` where the data is no plain
 * object, as its parts cannot be compared then.
 */
export function* carriedOver<Data>(
  context: Context,
  customs: Customs<Data>,
  before: unknown,
  after: unknown,
  onto: unknown,
): Steps<unknown> {
  const merged = yield* carried(context, customs, before, after, onto)
  return merged.outcome === 'conflict' ? undefined : merged.data
}

/** The same of copies as the tiers keep them, each of which is decoded in a step of its own. */
export function* viewCarriedOver<Data>(
  context: Context,
  customs: Customs<Data>,
  { before, after, onto }: { readonly before: Encoded; readonly after: Encoded; readonly onto: Encoded },
): Steps<Encoded | undefined> {
  if (sameBytes(before, after)) return onto
  const { codecId, encode } = context.values
  const from = yield* decoded(context, before)
  const to = yield* decoded(context, after)
  const standing = yield* decoded(context, onto)
  const bytes = Math.max(after.data.length, onto.data.length)
  yield bytes
  const merged = yield* carriedOver(context, customs, from, to, standing)
  if (merged === undefined) return undefined
  yield bytes
  return { codecId, data: encode(merged) }
}

const NONE: ReadonlySet<string> = new Set()

const carried = <Data>(
  { values: { sameness } }: Context,
  { conflict }: Customs<Data>,
  before: unknown,
  after: unknown,
  onto: unknown,
): Steps<MergeOutcome> => {
  const exceptions = { unmergedKeys: NONE, deletionWinsKeys: NONE }
  return mergingThreeWay(before, after, onto, { sameness, rules: rulesOf(conflict), ...exceptions, descends: false })
}

/** The rules by which parts of the data are merged. A policy that has no rules merges key by key. */
const rulesOf = <Data>(conflict: Conflict<Data>): Rules => (typeof conflict === 'object' ? conflict : BY_KEY)

/** How the changes of a request are found. */
interface Terms {
  readonly unmergedKeys: readonly string[]
  /** See `MergeOptions`. */
  readonly descends: boolean
}

function* merge<Data>(
  { values: { sameness } }: Context,
  { identify, conflict }: Customs<Data>,
  { base, mine, current }: ConflictSides<Data>,
  { unmergedKeys, descends }: Terms,
): Steps<unknown> {
  const merged = yield* mergingThreeWay(base, mine, current, {
    sameness,
    rules: rulesOf(conflict),
    unmergedKeys: new Set(unmergedKeys),
    deletionWinsKeys: identify === undefined ? NONE : keysRead(identify as (data: never) => unknown, base),
    descends,
  })
  if (merged.outcome === 'conflict') throw conflicted('another request changed it, and its data is no plain object')
  return merged.data
}

/**
 * What a request wants to be stored over `onto`. The request knows `basis`. If an earlier save of the same handle
 * merged in changes of others, `basis` lacks them, and storing the data as the request holds it would undo them.
 */
export function* rebased<Data>(
  context: Context,
  customs: Customs<Data>,
  { basis, wanted, onto, unmergedKeys }: Omit<Change, 'basisUser'> & { readonly onto: Encoded },
): Steps<Wanted> {
  if (sameBytes(basis, onto) || customs.conflict === 'overwrite') return wanted
  const { values } = context
  const mine: Encoded = { codecId: values.codecId, data: wanted.data }
  const sides = { base: basis, mine, standing: yield* decoded(context, onto) }
  const value = yield* decided(context, customs, sides, { unmergedKeys, descends: false })
  const source = wanted.source === wanted.value ? value : wanted.source
  yield onto.data.length
  return { data: encoded(context, value), value, source, userId: values.userOf(value) }
}

/**
 * Makes one change of two: by the conflict function of the application where there is one, or else by merging.
 *
 * @param standing a copy of what stands, which nobody else has
 */
function* decided<Data>(
  context: Context,
  customs: Customs<Data>,
  { base, mine, standing }: { readonly base: Encoded; readonly mine: Encoded; readonly standing: unknown },
  terms: Terms,
): Steps<unknown> {
  // The copies are made anew each time. A conflict function may change what it is given, and that must not reach the
  // data that the request holds, nor what is stored.
  const sides: ConflictSides<Data> = {
    base: (yield* decoded(context, base)) as Data,
    mine: (yield* decoded(context, mine)) as Data,
    current: standing as Data,
  }
  yield Math.max(base.data.length, mine.data.length)
  const { conflict } = customs
  if (typeof conflict !== 'function') return yield* merge(context, customs, sides, terms)
  const own = sides.mine
  return givenBy('conflict', conflict(sides), own)
}

const conflicted = (why: string): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', `The session could not be saved: ${why} meanwhile`, { applied: 'no' })
