import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { CasToken, FrontCache } from '../../contract/front-cache.js'
import type { CacheKey } from '../../contract/locator.js'
import type { Stage } from './rule.js'

/** A key as the store makes them, and one that nobody used before. */
export const freshKey = (): CacheKey => `contract:${randomBytes(32).toString('base64url')}`

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Far enough for everything a rule does. */
export const inAMinute = ({ now }: Stage): number => now() + 60_000

/** Stores where nothing stands, and gives the token. */
export const stored = async (
  cache: FrontCache,
  key: CacheKey,
  value: Uint8Array,
  expiresAt: number,
): Promise<CasToken> => {
  const answer = await cache.add(key, value, expiresAt)
  assert.equal(answer.outcome, 'stored', 'the entry could not be added')
  assert.ok(answer.outcome === 'stored')
  return answer.token
}

/** What stands at `key` is exactly `value`. */
export const holds = async (cache: FrontCache, key: CacheKey, value: Uint8Array): Promise<void> => {
  const entry = await cache.get(key)
  assert.ok(entry !== undefined, 'there is no entry')
  assert.ok(Buffer.compare(entry.value, value) === 0, 'the entry holds other bytes than were stored')
}

export const holdsNothing = async (cache: FrontCache, key: CacheKey): Promise<void> => {
  assert.equal(await cache.get(key), undefined)
}

/** The entry may be gone; what stands at `key`, if anything does, is `value`. */
export const holdsNothingBut = async (cache: FrontCache, key: CacheKey, value: Uint8Array): Promise<void> => {
  const entry = await cache.get(key)
  if (entry !== undefined) assert.deepEqual(Buffer.from(entry.value), Buffer.from(value))
}

/** A token of `key` as it stands. */
export const tokenOf = async (cache: FrontCache, key: CacheKey): Promise<CasToken> => {
  const entry = await cache.get(key)
  assert.ok(entry !== undefined, 'there is no entry')
  return entry.token
}
