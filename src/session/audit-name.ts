import { createHash, createHmac } from 'node:crypto'
import type { CacheKey } from '../contract/locator.js'

/*
 * How a session is named in the audit trail. Its id and its key change with `regenerate`, so the name is made of the key
 * that it had first, its origin, which a session that was given a new id carries along.
 */

/** How many bytes an origin has: as many as stood free in the header of an envelope. */
const ORIGIN_BYTES = 6
/** How many bytes of the hash are the name. */
const NAME_BYTES = 16

/** The origin of what was made under this key: a number from 1 to 2^48 - 1. */
const originOfKey = (key: CacheKey): number =>
  createHash('sha256').update('nonstick origin\0').update(key).digest().readUIntBE(0, ORIGIN_BYTES) || 1

/** The origin of a session that stands under this key. */
export const originOf = (key: CacheKey, { origin }: { readonly origin?: number }): number => origin ?? originOfKey(key)

/**
 * The name of a session in the audit trail: 22 characters, which nobody can make without the key of the trail, and from
 * which nobody can tell the id, the key or the handle of the session.
 */
export const auditName = (auditKey: Uint8Array, namespace: string, origin: number): string => {
  const bytes = Buffer.alloc(ORIGIN_BYTES)
  bytes.writeUIntBE(origin, 0, ORIGIN_BYTES)
  return createHmac('sha256', auditKey)
    .update(`nonstick audit 1\0${namespace}\0`)
    .update(bytes)
    .digest()
    .subarray(0, NAME_BYTES)
    .toString('base64url')
}
