import { type Kinds, oneOf, trueOrFalse, whole } from '../../tools/options.js'

/**
 * In what the ports of redis-sessions to other languages differ from it. Without any of these options everything is as in
 * redis-sessions 4 for Node.
 */
export interface Manners {
  /**
   * What a call says that has several mistakes: the first one, or all of them, in the order of the parameters. Both ways
   * the error's `failures` lists what it says.
   * @default 'first'
   */
  readonly errors?: 'first' | 'all' | undefined

  /** What the id of a user may be: 1 to 128 characters, or 1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`. @default 'any' */
  readonly ids?: 'any' | 'word' | undefined

  /** The least `ttl` and the least `deltaTime`, in seconds: whole, 1 to 3_600. @default 10 */
  readonly leastSeconds?: number | undefined

  /** The `ttl` of a session that is made without one, in seconds: whole, from `leastSeconds` to `maxTtl`. @default 7_200 */
  readonly defaultTtl?: number | undefined

  /**
   * The `deltaTime` of `activity` and `soapp` where none is given, in seconds: whole, at least `leastSeconds`. Absent: they
   * refuse a call without one.
   */
  readonly defaultDeltaTime?: number | undefined

  /**
   * What `d` may hold: texts, numbers, booleans and null, and one of them at least; or whatever the store's codec can
   * write, also nothing at all.
   * @default 'scalars'
   */
  readonly values?: 'scalars' | 'any' | undefined

  /** Whether the `r` that `get` gives counts this very `get`. @default false */
  readonly countsOwnRead?: boolean | undefined

  /** Whether `get` counts as use of a session, and so lengthens its life. @default true */
  readonly renewsOnGet?: boolean | undefined

  /** What a session without data has as its `d`: nothing at all, or null. @default 'absent' */
  readonly emptyData?: 'absent' | 'null' | undefined

  /** Whether `set` with null, or nothing, as its `d` removes all data. Otherwise it is refused. @default false */
  readonly nullClears?: boolean | undefined

  /** What `kill` gives where there is no such session: `{ kill: 0 }`, or null. @default 'zero' */
  readonly killOfNone?: 'zero' | 'null' | undefined
}

/** The manners with every default in its place. */
export type ResolvedManners = {
  readonly [Name in Exclude<keyof Manners, 'defaultDeltaTime'>]-?: Exclude<Manners[Name], undefined>
} & Pick<Manners, 'defaultDeltaTime'>

/** The manners of ex-redis-sessions, the port to Elixir: `new RedisSessions({ ...EX_REDIS_SESSIONS, … })`. */
export const EX_REDIS_SESSIONS: Manners = Object.freeze({
  errors: 'all',
  ids: 'word',
  leastSeconds: 11,
  defaultTtl: 3_600,
  defaultDeltaTime: 600,
  values: 'any',
  countsOwnRead: true,
  renewsOnGet: false,
  emptyData: 'null',
  nullClears: true,
  killOfNone: 'null',
})

export const MANNERS: Kinds<Manners> = {
  errors: oneOf('first', 'all'),
  ids: oneOf('any', 'word'),
  leastSeconds: whole(1, 3_600),
  defaultTtl: whole(1),
  defaultDeltaTime: whole(1),
  values: oneOf('scalars', 'any'),
  countsOwnRead: trueOrFalse,
  renewsOnGet: trueOrFalse,
  emptyData: oneOf('absent', 'null'),
  nullClears: trueOrFalse,
  killOfNone: oneOf('zero', 'null'),
}

export const resolveManners = (given: Manners): ResolvedManners => ({
  errors: given.errors ?? 'first',
  ids: given.ids ?? 'any',
  leastSeconds: given.leastSeconds ?? 10,
  defaultTtl: given.defaultTtl ?? 7_200,
  ...(given.defaultDeltaTime === undefined ? {} : { defaultDeltaTime: given.defaultDeltaTime }),
  values: given.values ?? 'scalars',
  countsOwnRead: given.countsOwnRead ?? false,
  renewsOnGet: given.renewsOnGet ?? true,
  emptyData: given.emptyData ?? 'absent',
  nullClears: given.nullClears ?? false,
  killOfNone: given.killOfNone ?? 'zero',
})
