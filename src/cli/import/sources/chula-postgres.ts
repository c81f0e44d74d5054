import { lifeSince } from '../life.js'
import { rowsOf } from '../pg-rows.js'
import { pickledOrJson } from '../python.js'
import type { Item, SourceKind } from '../source.js'
import { CHULA_TTL_MS, withoutCounter } from './chula.js'

interface Row {
  readonly values: string
  readonly made: string
  readonly used: string
}

/** Chula's table: the session as a pickle or as JSON, with the moments of its creation and of its last write. */
export const chulaPostgres: SourceKind = {
  summary: 'Chula in PostgreSQL; --idle-ttl is its session_timeout [30m]',
  at: 'postgres',
  open: (options) =>
    rowsOf<Row>(options, {
      table: 'session',
      idColumn: 'guid',
      columns: {
        values: `"values"`,
        made: 'extract(epoch from created) * 1000',
        used: 'extract(epoch from coalesce(updated, created)) * 1000',
      },
      itemOf: ({ id, values, made, used }): Item => {
        const { idleTtlMs = CHULA_TTL_MS, runtime } = options
        const lived = lifeSince({ createdAt: Number(made), seenAt: Number(used) }, idleTtlMs, runtime.now())
        if (!('life' in lived)) return { ref: id, ...lived }
        // Of protocol 0, the one that Chula writes, each byte is one letter.
        const read = pickledOrJson(Buffer.from(values, 'latin1'))
        if ('unreadable' in read) return { ref: id, ...read }
        return { ref: id, id, session: { data: withoutCounter(read.data), ...lived.life } }
      },
    }),
}
