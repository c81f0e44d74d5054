import { lifeUntil } from '../life.js'
import { ofOdoo, taggedJson } from '../python.js'
import { scanned } from '../redis-scan.js'
import type { Item, SourceKind } from '../source.js'

/** Whose a session of Odoo is lives for a week, and nobody's for three hours, unless its variables say otherwise. */
const TTL_MS = 7 * 86_400_000
const ANONYMOUS_TTL_MS = 3 * 3_600_000

/**
 * session_redis of camptocamp: JSON in which dates and sets stand with their type, under `session:` and the id. With its
 * option PREFIX the keys begin with `session::`, that prefix, and a colon.
 */
export const sessionRedis: SourceKind = {
  summary: 'session_redis for Odoo; with its PREFIX: --prefix session::PREFIX:',
  at: 'redis',
  open: (options) =>
    scanned(options, 'session:', ({ ref, name: id, value, expiresAt, now }): Item => {
      // Without its own prefix a store would take the sessions of others for its own, as session_redis does.
      if (options.prefix === undefined && id.startsWith(':')) return { ref, unreadable: 'it is of another prefix' }
      const read = ofOdoo(taggedJson(value.toString()))
      if ('unreadable' in read) return { ref, ...read }
      const usual = read.data['uid'] ? (options.idleTtlMs ?? TTL_MS) : ANONYMOUS_TTL_MS
      const lived = lifeUntil(expiresAt, usual, now)
      return 'life' in lived ? { ref, id, session: { data: read.data, ...lived.life } } : { ref, ...lived }
    }),
}
