import { expressItem } from '../express-session.js'
import { rowsOf } from '../pg-rows.js'
import type { SourceKind } from '../source.js'

interface Row {
  readonly sess: unknown
  readonly ends: string
}

/** connect-pg-simple: a row with the session as JSON and the moment at which it ends, by the time zone of its connection. */
export const connectPgSimple: SourceKind = {
  summary: 'express-session on connect-pg-simple',
  at: 'postgres',
  open: (options) =>
    rowsOf<Row>(options, {
      table: 'session',
      idColumn: 'sid',
      columns: { sess: 'sess', ends: 'extract(epoch from expire::timestamptz) * 1000' },
      itemOf: ({ id, sess, ends }) =>
        expressItem(sess, {
          ref: id,
          id,
          expiresAt: Number(ends),
          idleTtlMs: options.idleTtlMs,
          now: options.runtime.now(),
        }),
    }),
}
