import type { Seat } from '../contract/backend.js'
import type { CacheKey, Locator } from '../contract/locator.js'
import type { EpochMs } from '../contract/time.js'

/*
 * The limit of a user's sessions, as pure decisions. The user's record in the backend has a seat for each session that
 * he may have at once. A login takes a seat by compare-and-set before it makes the session, so of many logins at once
 * no more come through than there are seats.
 */

/** What becomes of a login of a user who has as many sessions as he may have. */
export type OnTooManySessions = 'end-oldest' | 'refuse'

export interface SeatLimit {
  readonly maxSessionsPerUser: number
  readonly onTooManySessions: OnTooManySessions
}

/** A session of the user that the backend holds, and since when it is his. */
export type Living = Seat

/** What a login has to do. */
export type Seating =
  /** It has a seat already. */
  | { readonly seating: 'seated' }
  /** These are the seats with its own. Before it takes it, the sessions that leave are ended. */
  | { readonly seating: 'take'; readonly seats: readonly Seat[]; readonly leaving: readonly Locator[] }
  /** As far as the record tells, all seats are taken. The sessions that live have to be looked up. */
  | { readonly seating: 'look' }
  /** All seats are taken, and the login is refused. */
  | { readonly seating: 'refuse' }

export interface SeatQuestion {
  /** As the record has them. */
  readonly seats: readonly Seat[] | undefined
  /** The sessions that live, once they were looked up. */
  readonly living: readonly Living[] | undefined
  readonly me: Locator
  /**
   * The session that ends when this one is there, as it gets a new id. It does not count, and keeps the seat that it may
   * have, as another login in it may be under way.
   */
  readonly instead?: Locator | undefined
  readonly now: EpochMs
  /** How long a session may take to appear in the backend after its seat was taken, in ms. */
  readonly graceMs: number
  readonly limit: SeatLimit
}

/**
 * Decides about a seat. As long as the record has room, the record alone decides: until all seats are taken, the seat of a
 * session that has ended counts as one in use. When all are taken, the sessions that live are looked up, and the seats are
 * made anew from them and from the logins that are still under way. A session that lives and has no seat counts as well.
 * There are such sessions where the limit is new, or where a session was given a new id.
 */
export const seatFor = ({ seats, living, me, instead, now, graceMs, limit }: SeatQuestion): Seating => {
  const { maxSessionsPerUser, onTooManySessions } = limit
  if (seats?.some(({ locator }) => locator.key === me.key) === true) return { seating: 'seated' }
  const standing = living === undefined ? seats : standingOf(seats ?? [], living, me.key, now, graceMs)
  if (standing === undefined) return { seating: 'look' }
  const others = standing.filter(({ locator }) => locator.key !== instead?.key)
  const tooMany = Math.max(0, others.length - maxSessionsPerUser + 1)
  if (tooMany > 0 && living === undefined) return { seating: 'look' }
  if (tooMany > 0 && onTooManySessions === 'refuse') return { seating: 'refuse' }
  const leaving = others.slice(0, tooMany)
  const rest = standing.filter((seat) => !leaving.includes(seat))
  // The newest comes last, whatever the clocks of the processes say.
  const takenAt = Math.max(now, (rest.at(-1)?.takenAt ?? 0) + 1)
  return {
    seating: 'take',
    seats: [...rest, { locator: me, takenAt }],
    leaving: leaving.map(({ locator }) => locator),
  }
}

/** Who has a seat by right, the oldest first: the sessions that live, and the logins that are still under way. */
const standingOf = (
  seats: readonly Seat[],
  living: readonly Living[],
  me: CacheKey,
  now: EpochMs,
  graceMs: number,
): readonly Seat[] => {
  const seated = new Map(seats.map((seat) => [seat.locator.key, seat]))
  const others = underWay({ seats, living, now, graceMs })
  // A session that was his long before it took its seat was taken over from an old store.
  const placeOf = (session: Living): Seat => {
    const seat = seated.get(session.locator.key)
    return seat === undefined || session.takenAt < seat.takenAt - graceMs ? session : seat
  }
  return [...living.map(placeOf), ...others]
    .filter(({ locator }) => locator.key !== me)
    .sort((one, other) => one.takenAt - other.takenAt || (one.locator.key < other.locator.key ? -1 : 1))
}

/**
 * The seats of sessions that are not among those that live, and may come to be: of logins that are still under way. A
 * session that was destroyed is none; whoever asks takes its seat out before.
 */
export const underWay = ({
  seats,
  living,
  now,
  graceMs,
}: Pick<SeatQuestion, 'now' | 'graceMs'> & {
  readonly seats: readonly Seat[]
  readonly living: readonly Living[]
}): readonly Seat[] => {
  const alive = new Set(living.map(({ locator }) => locator.key))
  return seats.filter(({ locator, takenAt }) => !alive.has(locator.key) && Math.abs(now - takenAt) < graceMs)
}
