import { isPlainObject } from '../../../tools/is-plain-object.js'
import { fromJson } from '../express-session.js'
import { lifeUntil } from '../life.js'
import { scanned } from '../redis-scan.js'
import type { Item, SourceKind } from '../source.js'

/**
 * koa-redis under koa-session: the session as JSON under its own id, which is the whole key. What `nonstick/koa` stores is
 * the data and koa-session's `_maxAge`; `_expire` is the end of the session, which the store keeps itself.
 */
export const koaRedis: SourceKind = {
  summary: 'koa-session on koa-redis; --prefix is what the application lets its ids begin with',
  at: 'redis',
  open: (options) =>
    scanned(options, '', ({ ref, value, expiresAt, now }): Item => {
      const read = fromJson(value.toString())
      if (!('value' in read)) return { ref, ...read }
      if (!isPlainObject(read.value)) return { ref, unreadable: 'it is no session of koa-session: no object' }
      const { _expire, _maxAge, _session, ...data } = read.value
      const ends = typeof _expire === 'number' ? Math.min(_expire, expiresAt ?? _expire) : expiresAt
      if (ends !== undefined && ends <= now) return { ref, ended: true }
      const idleTtlMs = typeof _maxAge === 'number' ? _maxAge : undefined
      const maxAge = _session === true ? 'session' : idleTtlMs
      const kept = { ...data, ...(maxAge === undefined ? {} : { _maxAge: maxAge }) }
      return { ref, id: ref, session: { data: kept, ...lifeUntil(ends, idleTtlMs ?? options.idleTtlMs, now) } }
    }),
}
