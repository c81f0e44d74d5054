import { createHash, randomBytes } from 'node:crypto'
import type { Lineage, StoredSession, WriteId } from '../contract/backend.js'
import type { Locator } from '../contract/locator.js'

const DAY_MS = 86_400_000

/** Sixteen random hexadecimal digits. */
export const sampleLineage = (): Lineage => randomBytes(8).toString('hex')

/** Sixteen random hexadecimal digits. */
export const sampleWriteId = (): WriteId => randomBytes(8).toString('hex')

/** A session nobody has used before, addressed as the store would: by the SHA-256 of a random id. */
export const sampleLocator = ({
  namespace = 'contract',
  bornMonth,
}: {
  readonly namespace?: string
  readonly bornMonth?: string
} = {}): Locator => ({
  key: `${namespace}:${createHash('sha256').update(randomBytes(16)).digest('base64url')}`,
  ...(bornMonth === undefined ? {} : { bornMonth }),
})

/**
 * A live session in its first version, a day from its end, with a lineage and a write id of its own; whatever
 * matters to the test is given in `overrides`.
 */
export const storedSession = (overrides: Partial<StoredSession> = {}): StoredSession => {
  const createdAt = overrides.createdAt ?? Date.now()
  return {
    lineage: sampleLineage(),
    version: 1,
    writeIds: [sampleWriteId()],
    codecId: 1,
    data: Uint8Array.of(0x81, 0xa1, 0x61, 0x01),
    app: '',
    userId: undefined,
    userEpoch: 0,
    identifiedAt: 0,
    address: undefined,
    userAgent: undefined,
    reads: 0,
    writes: 1,
    createdAt,
    seenAt: createdAt,
    expiresAt: createdAt + DAY_MS,
    absoluteExpiresAt: createdAt + 30 * DAY_MS,
    idleTtlMs: DAY_MS,
    hasOwnIdleTtl: false,
    ...overrides,
  }
}
