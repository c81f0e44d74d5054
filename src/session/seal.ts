import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import type { CacheKey } from '../contract/locator.js'
import { SessionStoreError } from '../errors.js'

/*
 * How bytes of a session are sealed: encrypted, and bound to the place where they stand, so that nobody who has no key
 * can read them, change them, or put them elsewhere. The cipher is AES-256-GCM. `docs/data-format.md` has the layout byte
 * by byte.
 */

/** A key that the options gave, as it is used. */
export interface SealKey {
  /** What names the key in what it has sealed: a number of four bytes, from which no key can be told. */
  readonly id: number
  /** What the keys of single sessions are derived from. */
  readonly root: Uint8Array
}

/** What is sealed: an entry of the cache, the facts of a row that a listing shows, or the data of a row. */
export type SealPurpose = 'cache' | 'facts' | 'data'

/** What hides the users and applications from whoever reads the backend: a keyed hash. */
export type HashedName = (what: 'user' | 'app', namespace: string, name: string) => string

/** How a process seals, and what it opens. */
export interface Sealing {
  /**
   * The key that seals; `undefined` in a process that still writes unsealed.
   *
   * @throws SessionStoreError `E_CONFIG` where the function of the options gives no keys that can be used
   */
  current(): SealKey | undefined
  /**
   * The key of this id.
   *
   * @throws SessionStoreError `E_SESSION_SEAL` where this process was not given it, `E_CONFIG` as above
   */
  keyOf(id: number): SealKey
  /** Whether what is not sealed is believed. */
  readonly acceptsUnsealed: boolean
  /** `undefined` where users and applications stand in the backend as they are. */
  readonly hashed: HashedName | undefined
  /** As many unpredictable bytes. */
  randomBytes(size: number): Uint8Array
}

/** How many bytes a key of the options has. */
export const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** How many bytes longer the sealed bytes are than what was sealed. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES

const hmac = (key: Uint8Array, ...parts: readonly (string | Uint8Array)[]): Buffer => {
  const hash = createHmac('sha256', key)
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/**
 * Makes a key of the 32 bytes that the options gave. Where users are hashed, it is another key than where they are not,
 * or by another key: a process that would look for a user under another name opens nothing, instead of missing sessions.
 */
export const sealKeyOf = (key: Uint8Array, hashUserIds: Uint8Array | undefined): SealKey => {
  const root = new Uint8Array(hkdfSync('sha256', key, hashUserIds ?? '', 'nonstick seal 1', KEY_BYTES))
  return { root, id: hmac(root, 'id').readUInt32BE(0) }
}

/** Hashes names by a key of their own. The same name has another hash in another namespace. */
export const hashedNames =
  (key: Uint8Array): HashedName =>
  (what, namespace, name) =>
    hmac(key, `nonstick ${what}\0${namespace}\0`, name).toString('base64url')

/**
 * The key of one session and purpose. A key may seal 2^32 messages by random nonces (NIST SP 800-38D, 8.3). As each
 * session has keys of its own, no session comes near that.
 */
const sessionKeyOf = ({ root }: SealKey, purpose: SealPurpose, key: CacheKey): Buffer => hmac(root, `${purpose}\0`, key)

/** Which bytes are sealed under which key, and what they are bound to. */
export interface SealedPlace {
  readonly key: CacheKey
  readonly purpose: SealPurpose
  /** What stands beside the sealed bytes, readable, and must be as it was. */
  readonly beside: readonly (string | Uint8Array)[]
}

const besideOf = ({ beside }: SealedPlace): Buffer =>
  Buffer.concat(beside.map((part) => (typeof part === 'string' ? Buffer.from(part, 'utf8') : part)))

/** Seals bytes: twelve of the nonce, sixteen of the tag, and as many as were given. */
export const sealBytes = (sealing: Sealing, sealKey: SealKey, place: SealedPlace, plain: Uint8Array): Buffer => {
  const nonce = sealing.randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', sessionKeyOf(sealKey, place.purpose, place.key), nonce, {
    authTagLength: TAG_BYTES,
  })
  cipher.setAAD(besideOf(place))
  const encrypted = cipher.update(plain)
  cipher.final()
  return Buffer.concat([nonce, cipher.getAuthTag(), encrypted])
}

/** What was sealed. `undefined` where it is not what this key has sealed for this place. */
export const openBytes = (sealKey: SealKey, place: SealedPlace, sealed: Uint8Array): Buffer | undefined => {
  if (sealed.length < SEAL_BYTES) return undefined
  const decipher = createDecipheriv(
    'aes-256-gcm',
    sessionKeyOf(sealKey, place.purpose, place.key),
    sealed.subarray(0, NONCE_BYTES),
    { authTagLength: TAG_BYTES },
  )
  decipher.setAAD(besideOf(place))
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, SEAL_BYTES))
  const plain = decipher.update(sealed.subarray(SEAL_BYTES))
  try {
    decipher.final()
  } catch {
    return undefined // the one error that it raises says that the tag is another
  }
  return plain
}

/** What stands in a tier is sealed, or is not, in a way that this process must not believe or cannot open. */
export const sealError = (because: string): SessionStoreError =>
  new SessionStoreError('E_SESSION_SEAL', `Stored session ${because}`)

/** The error of a process that was given no keys at all. */
export const sealedForOthers = (): SessionStoreError =>
  sealError('is sealed, and this program was given no `sealing`: give it the keys that the others have')
