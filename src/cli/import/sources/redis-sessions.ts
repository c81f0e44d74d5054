import { type RedisSessionRecord, userOfRedisSession } from '../../../adapters/redis-sessions/record.js'
import { sessionIdOf } from '../../../adapters/redis-sessions/token.js'
import { APP } from '../../../session/key.js'
import { isPlainObject } from '../../../tools/is-plain-object.js'
import { fromJson } from '../express-session.js'
import { lifeSince } from '../life.js'
import { openRedis } from '../redis-client.js'
import type { Item, Source, SourceKind, SourceOptions } from '../source.js'

const USUAL_PREFIX = 'rs:'
/** How long `nonstick/redis-sessions` keeps a session after its end, as redis-sessions does until it wipes it. */
const KEPT_MS = 600_000

interface Names {
  readonly app: string
  readonly token: string
  readonly id: string
}

/** A member of the set of all sessions, `app:token:id`. The id of a user may hold a colon, and the others none. */
const namesIn = (member: string): Names | undefined => {
  const [, app, token, id] = /^([^:]+):([^:]+):([\s\S]*)$/.exec(member) ?? []
  return app === undefined || token === undefined || id === undefined ? undefined : { app, token, id }
}

/** redis-sessions: a hash for each session, and four kinds of sets that say which there are. */
export const redisSessions: SourceKind = {
  summary: 'redis-sessions, for an application that goes on with nonstick/redis-sessions',
  at: 'redis',
  identify: userOfRedisSession,
  open: async ({ at, prefix = USUAL_PREFIX, runtime }: SourceOptions): Promise<Source> => {
    const redis = await openRedis(at, runtime)
    const all = `${prefix}SESSIONS`
    const keyOf = ({ app, token }: Names): string => `${prefix}${app}:${token}`
    return {
      count: async () => await redis.sizeOfSet(all),
      page: async (after) => {
        const { found: members, next } = await redis.members(after, all)
        const now = runtime.now()
        const named = members.flatMap((ref) => {
          const names = namesIn(ref)
          return names === undefined ? [] : [{ ref, names }]
        })
        const hashes = await redis.hashes(named.map(({ names }) => keyOf(names)))
        const items = named.map(({ ref, names }, at) => itemOf(ref, names, hashes[at] ?? {}, now))
        return { items, next, resumeAt: next }
      },
      remove: async (refs) => {
        for (const member of refs) {
          const names = namesIn(member)
          if (names === undefined) continue
          const { app, token, id } = names
          const ofUser = `${prefix}${app}:us:${id}`
          const left = await redis.together([
            ['ZREM', `${prefix}${app}:_sessions`, `${token}:${id}`],
            ['SREM', ofUser, token],
            ['ZREM', all, member],
            ['DEL', keyOf(names)],
            ['EXISTS', ofUser],
          ])
          if (Number(left.at(-1)) === 0) await redis.together([['ZREM', `${prefix}${app}:_users`, id]])
        }
      },
      close: async () => await redis.close(),
    }
  },
}

const itemOf = (ref: string, { app, token }: Names, hash: Readonly<Record<string, string>>, now: number): Item => {
  const { id, ip, d } = hash
  // What is left of a session that was ended while somebody used it has no user any more.
  if (id === undefined || ip === undefined) return { ref, ended: true }
  const [r, w, ttl, la] = [hash['r'], hash['w'], hash['ttl'], hash['la']].map(Number)
  if (![r, w, ttl, la].every(Number.isFinite)) return { ref, unreadable: 'its counters are no numbers' }
  if (!APP.test(app)) return { ref, unreadable: 'its app has another name than redis-sessions lets an app have' }
  const data = d === undefined ? undefined : fromJson(d)
  if (data !== undefined && !('value' in data)) return { ref, ...data }
  const endsAt = (Number(la) + Number(ttl)) * 1_000
  if (endsAt < now) return { ref, ended: true }
  const record: RedisSessionRecord = {
    ...{ app, id, ip, ttl: Number(ttl), r: Number(r), w: Number(w), usedAt: Number(la) * 1_000 },
    ...(hash['no_resave'] === '1' ? { endsAt } : {}),
    ...(isPlainObject(data?.value) ? { d: data.value } : {}),
  }
  const lived = lifeSince({ seenAt: record.usedAt }, record.ttl * 1_000 + KEPT_MS, now)
  if (!('life' in lived)) return { ref, ...lived }
  return { ref, id: sessionIdOf(app, token), session: { data: record, app, ...lived.life } }
}
