import type { Runtime } from '../contract/time.js'
import { invalidOption, refuseUnknownOptions, SessionStoreError } from '../errors.js'
import { hashedNames, KEY_BYTES, type Sealing, type SealKey, sealError, sealKeyOf } from '../session/seal.js'
import { checkedOption, type Kind, kindOf, secret, trueOrFalse } from '../tools/options.js'

/** 32 bytes, or a text of them in hexadecimal digits, base64 or base64url. */
export type SealingKey = Uint8Array | string

/** How what the store keeps is sealed, as its user types it. Every process of a namespace is given the same. */
export interface SealingOptions {
  /**
   * The keys: the first one seals, and all of them open. A function is asked at each use, so that the keys can change
   * while the program runs. It must be quick, and return another list when the keys have changed; it may return the same
   * one as long as they have not. 1 to 16 keys, all different.
   */
  readonly keys: readonly SealingKey[] | (() => readonly SealingKey[])

  /**
   * Whether sessions that are not sealed are believed: those from before sealing was switched on. As long as it is set,
   * whoever can write to a tier can still make sessions. @default false
   */
  readonly acceptUnsealed?: boolean | undefined

  /**
   * Whether this process seals nothing yet, and only opens. This is the first step of switching on sealing, in which
   * every process learns to open. It needs `acceptUnsealed`. @default false
   */
  readonly writeUnsealed?: boolean | undefined

  /**
   * A key of its own, by which the ids of users and the names of applications are hashed in the backend. It never changes
   * as long as the namespace is in use. It cannot be combined with `acceptUnsealed`. Absent: they stand there as they are.
   */
  readonly hashUserIds?: SealingKey | undefined
}

const MOST_KEYS = 16
const NAMES: ReadonlySet<string> = new Set(['keys', 'acceptUnsealed', 'writeUnsealed', 'hashUserIds'])

/** The bytes of a key that was given as a text. `undefined` for a text that is none. */
const bytesIn = (text: string): Buffer | undefined => {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined
}

/** A copy of a key's bytes, so that nobody's later change of it reaches what is sealed. */
const bytesOf = (key: unknown): Buffer | undefined => {
  const bytes = typeof key === 'string' ? bytesIn(key) : key instanceof Uint8Array ? Buffer.from(key) : undefined
  return bytes?.length === KEY_BYTES ? bytes : undefined
}

const RECIPE = '`openssl rand -base64 32` makes one'

export const aKey: Kind<SealingKey> = secret(
  kindOf(
    'a key of 32 bytes: a Uint8Array, or a text in base64, base64url or 64 hexadecimal digits',
    (value) => bytesOf(value) !== undefined,
    (value) => (value instanceof Uint8Array ? `it has ${value.length} bytes; ${RECIPE}` : RECIPE),
  ),
)

/**
 * The bytes of a key of the options.
 *
 * @throws SessionStoreError `E_CONFIG`, which shows nothing of it
 */
export const keyBytes = (name: string, value: unknown): Buffer => {
  const bytes = bytesOf(checkedOption(name, value, aKey)) ?? Buffer.alloc(0)
  // What was made room for and never filled looks like a key.
  if (bytes.every((byte) => byte === bytes[0]))
    throw invalidOption(name, 'a key of random bytes', value, {
      secret: true,
      cure: `all bytes of it are the same; ${RECIPE}`,
    })
  return bytes
}

/** Keys as they are used, with the list that they were made of. */
interface Keys {
  readonly from: unknown
  readonly all: readonly SealKey[]
}

/** @throws SessionStoreError `E_CONFIG`, which shows nothing of a key */
const keysOf = (from: unknown, name: string, hashUserIds: Buffer | undefined): Keys => {
  const expected = `1 to ${MOST_KEYS} keys in an array, the one that seals first`
  if (!Array.isArray(from) || from.length === 0 || from.length > MOST_KEYS) {
    const cure =
      from instanceof Promise ? { cure: 'the function must not be async; it returns what it has fetched before' } : {}
    throw invalidOption(name, expected, from, { secret: true, ...cure })
  }
  const bytes = Array.from(from, (key: unknown, at) => keyBytes(`${name}[${at}]`, key))
  const all = bytes.map((key) => sealKeyOf(key, hashUserIds))
  for (const [at, { id }] of all.entries()) {
    const same = all.findIndex((other) => other.id === id)
    if (same < at)
      throw invalidOption(`${name}[${at}]`, `another key than \`${name}[${same}]\``, from[at], { secret: true })
    if (hashUserIds !== undefined && bytes[at]?.equals(hashUserIds))
      throw invalidOption('sealing.hashUserIds', `another key than \`${name}[${at}]\``, from[at], { secret: true })
  }
  return { from, all }
}

/** A list of keys that is looked at once; what a function returns, whenever it is another list than before. */
const keysIn = (given: SealingOptions['keys'], hashUserIds: Buffer | undefined): (() => readonly SealKey[]) => {
  if (typeof given !== 'function') {
    const { all } = keysOf(given, 'sealing.keys', hashUserIds)
    return () => all
  }
  let keys: Keys | undefined
  return () => {
    const from = returnedBy(given)
    if (keys === undefined || keys.from !== from) keys = keysOf(from, 'sealing.keys()', hashUserIds)
    return keys.all
  }
}

const returnedBy = (give: () => unknown): unknown => {
  try {
    const given = give()
    // A promise that nobody waits for must not end the process when it rejects.
    if (given instanceof Promise) given.catch(() => {})
    return given
  } catch (cause) {
    throw new SessionStoreError('E_CONFIG', 'Expected `sealing.keys()` to return keys; it threw an error', { cause })
  }
}

/**
 * How a store seals, by its options.
 *
 * @throws SessionStoreError `E_CONFIG`, which names the option and shows nothing of a key
 */
export const sealingOf = (
  options: SealingOptions | undefined,
  runtime: Pick<Runtime, 'randomBytes'>,
): Sealing | undefined => {
  if (options === undefined) return undefined
  refuseUnknownOptions(options, NAMES, 'sealing.')
  const { acceptUnsealed = false, writeUnsealed = false } = options
  checkedOption('sealing.acceptUnsealed', acceptUnsealed, trueOrFalse)
  checkedOption('sealing.writeUnsealed', writeUnsealed, trueOrFalse)
  const hashKey = options.hashUserIds === undefined ? undefined : keyBytes('sealing.hashUserIds', options.hashUserIds)
  if (writeUnsealed && !acceptUnsealed)
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected `sealing.acceptUnsealed` to be true beside `sealing.writeUnsealed`: a process has to believe what it writes',
    )
  if (hashKey !== undefined && acceptUnsealed)
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected `sealing.acceptUnsealed` to be left out beside `sealing.hashUserIds`: users of sessions that stand there already would not be found; take a new namespace',
    )
  const keys = keysIn(options.keys, hashKey)
  keys()
  return {
    current: () => (writeUnsealed ? undefined : keys()[0]),
    keyOf: (id) => {
      const key = keys().find((each) => each.id === id)
      if (key !== undefined) return key
      throw sealError(
        'is sealed with a key that this program was not given: give it all `sealing.keys` that are in use, and the `sealing.hashUserIds` of the others',
      )
    },
    acceptsUnsealed: acceptUnsealed,
    hashed: hashKey === undefined ? undefined : hashedNames(hashKey),
    randomBytes: (size) => runtime.randomBytes(size),
  }
}
