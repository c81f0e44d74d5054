import type { SourceKind } from '../source.js'
import { connectPgSimple } from './connect-pg-simple.js'
import { connectRedis } from './connect-redis.js'
import { sessionFileStore } from './session-file-store.js'

/** The stores that sessions can come from, by the names that `--from` has for them. */
export const SOURCES: Readonly<Record<string, SourceKind>> = {
  'connect-redis': connectRedis,
  'connect-pg-simple': connectPgSimple,
  'session-file-store': sessionFileStore,
}
