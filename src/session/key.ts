import { hash } from 'node:crypto'
import { type CacheKey, type Locator, splitKey } from '../contract/locator.js'
import { bornMonthOf } from './id.js'

/** The form of a namespace. It is short enough for the keys of any cache, and has no colon. */
export const NAMESPACE: RegExp = /^[A-Za-z0-9_.-]{1,64}$/

/** The form of an application's name within a namespace. The empty one means none. */
export const APP: RegExp = /^[A-Za-z0-9_.-]{0,64}$/

/** How many bytes of the key's hash an envelope carries. */
export const KEY_CHECK_BYTES = 8

/**
 * Where the tiers keep the session of an id: under a hash of the id, so that no tier, log or dump holds a cookie that
 * can be used. A plain and fast hash suffices, as an id is long and random.
 */
export const locate = (namespace: string, id: string): Locator => {
  const key = `${namespace}:${hash('sha256', id, 'base64url')}`
  const bornMonth = bornMonthOf(id)
  return bornMonth === undefined ? { key } : { key, bornMonth }
}

const HASH = /^[A-Za-z0-9_-]{43}$/

/** Whether a text has the form of the keys that `locate` makes in this namespace. */
export const isKeyOf = (namespace: string, text: string): boolean =>
  text.startsWith(`${namespace}:`) && HASH.test(text.slice(namespace.length + 1))

/** The first bytes of the key's hash: enough to tell one session's envelope from another's. */
export const keyCheck = (key: CacheKey): Uint8Array => {
  const hash = Buffer.from(splitKey(key).hash, 'base64url')
  return hash.length >= KEY_CHECK_BYTES
    ? hash.subarray(0, KEY_CHECK_BYTES)
    : Buffer.concat([hash, Buffer.alloc(KEY_CHECK_BYTES)], KEY_CHECK_BYTES)
}
