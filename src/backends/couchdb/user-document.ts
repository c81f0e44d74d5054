import type { Seat, UserLocator, UserRecord } from '../../contract/backend.js'
import {
  assertKept,
  byRevision,
  type Content,
  type Form,
  type Revision,
  type UnreadableLeaf,
  unreadable,
  userHashOf,
} from './document.js'

/** What one leaf of a user's document says. */
export type UserLeaf =
  | { readonly kind: 'user'; readonly revision: Revision; readonly userId: string; readonly record: UserRecord }
  | UnreadableLeaf

const FORMAT = 1

/** @throws TypeError for a user id whose hash would be another's as well */
export const keyOfUser = ({ namespace, userId }: UserLocator): string => {
  assertKept(userId, 'a user id')
  return `${namespace}:${userHashOf(userId)}`
}

export const contentOfUser = ({ userId }: UserLocator, { epoch, seats }: UserRecord): Content => ({
  kind: 'user',
  format: FORMAT,
  userId,
  epoch,
  ...(seats === undefined ? {} : { seats: seats.map(({ locator, takenAt }) => ({ ...locator, takenAt })) }),
})

const leafOf = (document: Content): UserLeaf => {
  const { _rev: revision, kind, format, userId, epoch, seats } = document
  if (typeof revision !== 'string') throw new TypeError('A document has a revision')
  const those = seatsIn(seats)
  if (kind !== 'user' || format !== FORMAT || typeof userId !== 'string' || typeof epoch !== 'number' || those === null)
    return unreadable(revision)
  return { kind, revision, userId, record: { epoch, seats: those } }
}

/** `undefined` where nobody has counted, `null` for what is no list of seats. */
const seatsIn = (value: unknown): readonly Seat[] | undefined | null => {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) return null
  const seats = (value as readonly unknown[]).map(seatIn)
  return seats.every((seat) => seat !== undefined) ? seats : null
}

const seatIn = (value: unknown): Seat | undefined => {
  const { key, bornMonth, takenAt } = (value ?? {}) as Content
  if (typeof key !== 'string' || typeof takenAt !== 'number') return undefined
  if (bornMonth === undefined) return { locator: { key }, takenAt }
  return typeof bornMonth === 'string' ? { locator: { key, bornMonth }, takenAt } : undefined
}

/**
 * Of several leaves the one that logs out the most: the highest epoch. A newer program's comes first, since nobody here
 * knows its epoch.
 */
const winnerOf = (leaves: readonly UserLeaf[]): UserLeaf | undefined =>
  [...leaves].sort((one, other) => weightOf(other) - weightOf(one) || byRevision(other.revision, one.revision))[0]

const weightOf = (leaf: UserLeaf): number => (leaf.kind === 'user' ? leaf.record.epoch : Number.MAX_VALUE)

/** Documents of the users' database. */
export const USER_RECORDS: Form<UserLeaf> = { idOf: (key) => `u:${key}`, leafOf, winnerOf }
