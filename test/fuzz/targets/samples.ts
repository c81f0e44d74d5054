import type { StoredSession, UserLocator } from '../../../src/contract/backend.js'
import { SECRET } from '../mutate.js'

const NOW = Date.UTC(2026, 10, 21, 12)

/** A session as a backend keeps it. */
export const sessionSample: StoredSession = {
  lineage: 'a1a2a3a4a5a6a7a8',
  version: 7,
  writeIds: ['1111111111111111', '2222222222222222'],
  codecId: 1,
  data: new Uint8Array(Buffer.from(SECRET)),
  app: 'shop',
  userId: SECRET,
  userEpoch: 2,
  identifiedAt: NOW - 55_000,
  address: '192.0.2.7',
  userAgent: 'Browser/1.0 (größer)',
  reads: 3,
  writes: 7,
  createdAt: NOW - 60_000,
  seenAt: NOW - 4_000,
  expiresAt: NOW + 600_000,
  absoluteExpiresAt: NOW + 6_000_000,
  idleTtlMs: 604_000,
  hasOwnIdleTtl: false,
}

export const user: UserLocator = { namespace: 'shop', userId: SECRET }
