import { isPlainObject } from '../../../tools/is-plain-object.js'
import { fromJson } from '../express-session.js'
import { lifeUntil } from '../life.js'
import { scanned } from '../redis-scan.js'
import type { Item, SourceKind } from '../source.js'

/**
 * koa-redis under koa-session: the session as JSON under its own id, which is the whole key. koa-session always writes
 * `_expire` with `_maxAge`, or `_session` where its cookie ends with the browser's session. What `nonstick/koa` stores is the
 * data and that `_maxAge`; `_expire` is the end of the session, which the store keeps itself.
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
      const isTimed = typeof _expire === 'number' && typeof _maxAge === 'number'
      // Without a prefix the keys of every other program come by here as well.
      if (!isTimed && _session !== true)
        return { ref, unreadable: 'it is no session of koa-session: neither `_expire` and `_maxAge` nor `_session`' }
      const lived = isTimed
        ? lifeUntil(Math.min(_expire, expiresAt ?? _expire), _maxAge, now)
        : lifeUntil(expiresAt, options.idleTtlMs, now)
      if (!('life' in lived)) return { ref, ...lived }
      const kept = { ...data, _maxAge: _session === true ? 'session' : _maxAge }
      return { ref, id: ref, session: { data: kept, ...lived.life } }
    }),
}
