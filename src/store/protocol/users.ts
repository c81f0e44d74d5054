import { MOST_SEATS, type RecordToken, type UserLocator, type UserRecord } from '../../contract/backend.js'
import type { CacheKey, Locator } from '../../contract/locator.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import { type Living, type SeatLimit, seatFor, underWay } from '../../session/seats.js'
import type { Identification } from '../../session/transitions.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, rowOf, userOfEnvelope } from '../context.js'
import { destroy, destroyAndTell } from './destroy.js'

/*
 * Whose session it is, and that logging a user out everywhere misses none. The backend keeps a record of each user with
 * a number, the epoch, that each such logout raises. A session of a user is written with the epoch that was read before,
 * and before anybody is served it as his, the epoch is read again. So either the logout finds the session in its listing,
 * or whoever made the session finds that the epoch was raised.
 */

const PAUSES: Pauses = { firstMs: 2, longestMs: 100 }
/** How many sessions of a user one call of the backend may bring. */
const SESSIONS_AT_ONCE = 500

const userAt = ({ options: { namespace } }: Context, userId: string): UserLocator => ({ namespace, userId })

/**
 * Prepares for a session to become a user's: reads the epoch of the user and, where the number of sessions is limited,
 * takes a seat, for which the oldest session may have to end. Calling it again for the same session takes no second seat,
 * also where the answer to the first call was lost.
 *
 * @param instead the session that ends when this one is there, as it gets a new id
 * @throws SessionStoreError `E_SESSION_LIMIT` where the user has as many sessions as he may have, and none is ended
 */
export const becoming = async (
  context: Context,
  locator: Locator,
  userId: string | undefined,
  call: Call,
  instead?: Locator,
): Promise<Identification> => {
  const { runtime, backend, options } = context
  const identifiedAt = runtime.now()
  if (userId === undefined) return { userEpoch: 0, identifiedAt: 0, isProved: true }
  if (!backend.knowsUsers) return { userEpoch: 0, identifiedAt, isProved: true }
  const user = userAt(context, userId)
  const { seatLimit } = options
  if (seatLimit !== undefined) return await seated(context, { locator, instead, user, seatLimit, call })
  const { record } = await backend.readUser(user)
  return { userEpoch: record.epoch, identifiedAt, isProved: false }
}

interface Login {
  readonly locator: Locator
  readonly instead: Locator | undefined
  readonly user: UserLocator
  readonly seatLimit: SeatLimit
  readonly call: Call
}

const seated = async (context: Context, login: Login): Promise<Identification> => {
  const { locator, instead, user, seatLimit, call } = login
  const { runtime, backend, options } = context
  let found: Found | undefined
  for (let attempt = 0; ; attempt += 1) {
    if (attempt > 1) await sleep(runtime, pauseAfter(runtime, PAUSES, attempt - 1))
    call.refuseIfLate()
    const { record, token } = await backend.readUser(user)
    const now = runtime.now()
    const graceMs = options.thawMs + options.maxClockSkewMs
    // If the user was logged out everywhere since, a session that stays has another epoch than the look has seen.
    const look = found?.epoch === record.epoch ? found : undefined
    const seats = record.seats?.filter(({ locator: { key } }) => look?.ended.has(key) !== true)
    const seating = seatFor({ seats, living: look?.living, me: locator, instead, now, graceMs, limit: seatLimit })
    found = undefined
    switch (seating.seating) {
      case 'seated':
        return { userEpoch: record.epoch, identifiedAt: now, isProved: false }
      case 'look':
        // The sessions that live are looked up after the record was read. A session that has no seat in the record by then
        // is in the backend already, so the look finds it.
        found = await lookUp(context, { user, record, graceMs, call })
        break
      case 'refuse':
        throw tooManySessions(seatLimit)
      case 'take': {
        if (!(await makeRoom(context, seating.leaving, login))) {
          found = await lookUp(context, { user, record, graceMs, call })
          break
        }
        const written = await writeRecord(context, user, { ...record, seats: seating.seats }, token)
        if (written === 'written') return { userEpoch: record.epoch, identifiedAt: now, isProved: false }
        break
      }
    }
  }
}

/**
 * Ends the sessions that leave. Resolves to `false` where one had ended already: it may live on under a new id, which
 * takes no seat of its own.
 */
const makeRoom = async (
  context: Context,
  leaving: readonly Locator[],
  { call, user: { userId } }: Pick<Login, 'call' | 'user'>,
): Promise<boolean> => {
  let isMade = true
  for (const locator of leaving) {
    call.refuseIfLate()
    const { outcome } = await destroyAndTell(context, locator, { by: 'limit', userId })
    if (outcome === 'already-destroyed') isMade = false
  }
  return isMade
}

/** A write whose answer was lost counts as one that others came before: what stands is read anew. */
const writeRecord = async (
  { backend }: Context,
  user: UserLocator,
  record: UserRecord,
  token: RecordToken,
): Promise<'written' | 'changed'> => {
  try {
    return await backend.writeUser(user, record, token)
  } catch (error) {
    if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
    return 'changed'
  }
}

/** What the backend holds of a user whose seats are all taken. */
interface Found {
  /** The epoch of the user when it was looked up. */
  readonly epoch: number
  readonly living: readonly Living[]
  /** Of the sessions whose logins may be under way, those that were destroyed. */
  readonly ended: ReadonlySet<CacheKey>
}

interface Look {
  readonly user: UserLocator
  readonly record: UserRecord
  readonly graceMs: number
  readonly call: Call
}

const lookUp = async (context: Context, look: Look): Promise<Found> => {
  const { epoch, seats = [] } = look.record
  const living = await livingOf(context, look)
  const doubtful = underWay({ seats, living, now: context.runtime.now(), graceMs: look.graceMs })
  const ended = new Set<CacheKey>()
  for (const { locator } of doubtful)
    if (rowOf(await context.backend.read(locator)).state === 'destroyed') ended.add(locator.key)
  return { epoch, living, ended }
}

/**
 * The sessions of a user that the backend holds, as far as there may be seats for them. A session that a logout everywhere
 * has not ended yet is ended here: another logout, from which it is excepted, may just be writing it under a higher epoch,
 * and it would live on and not have been counted.
 */
const livingOf = async (context: Context, { user, record, call }: Look): Promise<readonly Living[]> => {
  const { runtime, backend } = context
  const living: Living[] = []
  let after: string | undefined
  do {
    const page = await backend.list({
      ...user,
      now: runtime.now(),
      limit: SESSIONS_AT_ONCE,
      withData: false,
      maxBytes: 1,
      ...(after === undefined ? {} : { after }),
    })
    for (const entry of page.entries) {
      const { locator } = entry
      if ('unreadable' in entry) living.push({ locator, takenAt: 0 })
      else if (entry.session.userEpoch >= record.epoch) living.push({ locator, takenAt: entry.session.identifiedAt })
      else {
        call.refuseIfLate()
        await destroy(context, locator, { isLoggedOut: true, by: 'epoch', userId: user.userId })
      }
    }
    after = page.next
  } while (after !== undefined && living.length < 2 * MOST_SEATS)
  return living
}

/**
 * Whether a session that was made a user's may be served as his: the epoch of the user was not raised since it was read.
 * It has to be asked after the session is in the backend. If the epoch was raised, the session is ended in both tiers.
 *
 * Rejects if the backend cannot be asked; then nobody knows, and nobody may be served.
 */
export const isProved = async (context: Context, locator: Locator, envelope: LiveEnvelope): Promise<boolean> => {
  if (isLarge(envelope)) await ownTurn()
  const userId = userOfEnvelope(context, envelope)
  if (userId === undefined || !context.backend.knowsUsers) return true
  const { record } = await context.backend.readUser(userAt(context, userId))
  if (record.epoch <= envelope.userEpoch) return true
  // Whoever reads the row sees that it has ended, even where the tombstone does not come through.
  await destroy(context, locator, { isLoggedOut: true, by: 'epoch', userId }).catch(() => {})
  return false
}

const tooManySessions = ({ maxSessionsPerUser }: SeatLimit): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_LIMIT',
    `The user has ${maxSessionsPerUser} sessions already (maxSessionsPerUser); end one of them first`,
    { applied: 'no' },
  )
