import type { EpochMs } from '../../contract/time.js'
import { isPlainObject } from '../../tools/is-plain-object.js'
import type { ResolvedManners } from './manners.js'

/** The data of a session as the store keeps it. */
export interface RedisSessionRecord {
  readonly app: string
  /** The user's. */
  readonly id: string
  readonly ip: string
  /** In seconds. */
  readonly ttl: number
  /** How many times it was read, and how many times it was written, both with the creation counted in. */
  readonly r: number
  readonly w: number
  /** The last use. */
  readonly usedAt: EpochMs
  /** Only with `no_resave`: when it ends, used or not. */
  readonly endsAt?: EpochMs
  readonly d?: Readonly<Record<string, unknown>>
  /** Whether `kill` has begun. */
  readonly isKilled?: true
}

/**
 * Names the user of a session that this facade made; `undefined` for any other data. A store that is made elsewhere and
 * given as `sessions` needs it as its `identify`, or one that calls it.
 */
export const userOfRedisSession = (data: unknown): string | undefined => {
  const record = recordIn(data)
  return record === undefined ? undefined : userOf(record)
}

/** The name of a user for the store: an application's name has no colon, so that no two users share one. */
export const userOf = ({ app, id }: { readonly app: string; readonly id: string }): string => `${app}:${id}`

/** The record that a session's data is; `undefined` where it is something else, which another part of a program stored. */
const recordIn = (data: unknown): RedisSessionRecord | undefined => {
  if (!isPlainObject(data)) return undefined
  const { app, id, ip, ttl, r, w, usedAt, endsAt, d } = data as Partial<RedisSessionRecord>
  const areTexts = [app, id, ip].every((value) => typeof value === 'string')
  const areNumbers = [ttl, r, w, usedAt].every((value) => typeof value === 'number')
  const isWhole = (endsAt === undefined || typeof endsAt === 'number') && (d === undefined || isPlainObject(d))
  return areTexts && areNumbers && isWhole ? (data as unknown as RedisSessionRecord) : undefined
}

/** redis-sessions counts in whole seconds of the clock, and so do the sessions here. */
export const secondsOf = (moment: EpochMs): number => Math.floor(moment / 1_000)

/** For how many seconds nobody has used it. A use that another process's clock puts into the future was just now. */
const idleSeconds = ({ usedAt }: RedisSessionRecord, now: EpochMs): number =>
  Math.max(0, secondsOf(now) - secondsOf(usedAt))

/** The record of a session of this application that lives; `undefined` for all else. */
export const livingRecord = (data: unknown, app: string, now: EpochMs): RedisSessionRecord | undefined => {
  const record = recordIn(data)
  if (record === undefined || record.app !== app || record.isKilled === true) return undefined
  if (record.ttl < idleSeconds(record, now)) return undefined
  return record.endsAt !== undefined && secondsOf(record.endsAt) < secondsOf(now) ? undefined : record
}

/** What `create` is given. */
export type Birth = Pick<RedisSessionRecord, 'app' | 'id' | 'ip' | 'ttl'> & {
  readonly d: Readonly<Record<string, unknown>> | undefined
  readonly no_resave: boolean
}

export const newRecord = ({ app, id, ip, ttl, d, no_resave }: Birth, now: EpochMs): RedisSessionRecord => ({
  ...{ app, id, ip, ttl, r: 1, w: 1, usedAt: now },
  ...(no_resave ? { endsAt: now + ttl * 1_000 } : {}),
  ...dataOf(d ?? {}),
})

/** The record after a `get`. */
export const afterRead = (record: RedisSessionRecord, now: EpochMs, renews: boolean): RedisSessionRecord => ({
  ...record,
  r: record.r + 1,
  ...(renews ? used(record, now) : {}),
})

/** The record after a `set`, which adds to the data, replaces parts of it, or removes them. `null` removes all. */
export const afterWrite = (
  { d, ...record }: RedisSessionRecord,
  now: EpochMs,
  change: Readonly<Record<string, unknown>> | null,
): RedisSessionRecord => ({
  ...record,
  w: record.w + 1,
  ...used(record, now),
  ...(change === null ? {} : dataOf({ ...d, ...change })),
})

const used = ({ usedAt }: RedisSessionRecord, now: EpochMs): Pick<RedisSessionRecord, 'usedAt'> => ({
  usedAt: Math.max(usedAt, now),
})

/** The data without what is null; none at all where nothing is left. */
const dataOf = (d: Readonly<Record<string, unknown>>): Pick<RedisSessionRecord, 'd'> => {
  const kept = Object.entries(d).filter(([, value]) => value !== null)
  return kept.length === 0 ? {} : { d: Object.fromEntries(kept) }
}

/** A session as the calls give it. */
export interface Reply {
  readonly id: string
  r: number
  w: number
  ttl: number
  idle: number
  ip: string
  d?: unknown
  no_resave?: boolean
}

/** A record as its readers see it. With `no_resave` the `ttl` is what is left of it. */
export const replyOf = (
  record: RedisSessionRecord,
  now: EpochMs,
  { emptyData }: Pick<ResolvedManners, 'emptyData'>,
): Reply => {
  const { id, r, w, ip, endsAt, d } = record
  const ttl = endsAt === undefined ? record.ttl : secondsOf(endsAt) - secondsOf(now)
  const none = emptyData === 'null' ? { d: null } : {}
  return {
    ...{ id, r, w, ttl, idle: idleSeconds(record, now), ip },
    ...(endsAt === undefined ? {} : { no_resave: true }),
    // The reader may change what he is given, and several readers are given what was read once.
    ...(d === undefined ? none : { d: structuredClone(d) }),
  }
}

/** How long nothing but time can end it, in ms. */
export const lifeLeftMs = ({ usedAt, ttl, endsAt }: RedisSessionRecord, now: EpochMs): number =>
  Math.min(usedAt + ttl * 1_000, endsAt ?? Number.POSITIVE_INFINITY) - now
