import type { StoredSession } from '../contract/backend.js'

const NAME = /^[0-9a-f]{16}$/

const MOMENTS = ['identifiedAt', 'createdAt', 'seenAt', 'expiresAt', 'absoluteExpiresAt', 'idleTtlMs'] as const
const COUNTS = ['version', 'reads', 'writes', 'userEpoch'] as const

/**
 * Whether what a backend made of a row or document is a session that the store can work with, and write into the cache.
 * What somebody else has written there need not be one.
 */
export const isReadableSession = (session: StoredSession): boolean =>
  NAME.test(session.lineage) &&
  session.writeIds.every((writeId) => NAME.test(writeId)) &&
  MOMENTS.every((name) => Number.isFinite(session[name])) &&
  COUNTS.every((name) => Number.isSafeInteger(session[name]) && session[name] >= 0) &&
  Number.isInteger(session.codecId) &&
  session.codecId >= 0 &&
  session.codecId <= 255
