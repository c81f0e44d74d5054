import { expressItem, fromJson } from '../express-session.js'
import { scanned } from '../redis-scan.js'
import type { SourceKind } from '../source.js'

/** connect-redis: the session as JSON under `sess:` and its id, with a life of the key. */
export const connectRedis: SourceKind = {
  summary: 'express-session on connect-redis',
  at: 'redis',
  open: (options) =>
    scanned(options, 'sess:', ({ ref, name, value, expiresAt, now }) => {
      const read = fromJson(value.toString())
      return 'value' in read
        ? expressItem(read.value, { ref, id: name, expiresAt, idleTtlMs: options.idleTtlMs, now })
        : { ref, ...read }
    }),
}
