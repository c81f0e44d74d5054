import { lifeSince, lifeUntil } from '../life.js'
import { rowsOf } from '../pg-rows.js'
import { ofOdoo, pickled, pickledOrJson } from '../python.js'
import { scanned } from '../redis-scan.js'
import type { Item, SourceKind } from '../source.js'

/** Seven days, in both of its stores. */
const MUK_TTL_MS = 7 * 86_400_000

interface Row {
  readonly payload: Buffer | string
  readonly used: string
}

/** The session store of MuK for Odoo, in PostgreSQL: a pickle (JSON in its version for Odoo 11), touched once a day. */
export const mukPostgres: SourceKind = {
  summary: 'the session store of MuK for Odoo, in PostgreSQL (--source-table sessions for Odoo 11)',
  at: 'postgres',
  open: (options) =>
    rowsOf<Row>(options, {
      table: 'odoo_sessions',
      idColumn: 'sid',
      columns: { payload: 'payload', used: `extract(epoch from write_date at time zone 'UTC') * 1000` },
      itemOf: ({ id, payload, used }): Item => {
        const lived = lifeSince({ seenAt: Number(used) }, options.idleTtlMs ?? MUK_TTL_MS, options.runtime.now())
        if (!('life' in lived)) return { ref: id, ...lived }
        const read = pickledOrJson(Buffer.from(payload as string))
        return 'unreadable' in read
          ? { ref: id, ...read }
          : { ref: id, id, session: { data: read.data, ...lived.life } }
      },
    }),
}

/** The same in Redis: always a pickle, under the prefix and the id, with a life of seven days from the last use. */
export const mukRedis: SourceKind = {
  summary: 'the session store of MuK for Odoo, in Redis; --prefix as it has one',
  at: 'redis',
  open: (options) =>
    scanned(options, '', ({ ref, name: id, value, expiresAt, now }): Item => {
      const read = ofOdoo(pickled(value))
      if ('unreadable' in read) return { ref, ...read }
      const lived = lifeUntil(expiresAt, options.idleTtlMs ?? MUK_TTL_MS, now)
      return 'life' in lived ? { ref, id, session: { data: read.data, ...lived.life } } : { ref, ...lived }
    }),
}
