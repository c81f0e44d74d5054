/** The names of the keys in Redis. docs/redis.md shows them. */
import { createHash } from 'node:crypto'
import type { UserLocator } from '../../contract/backend.js'
import { type CacheKey, splitKey } from '../../contract/locator.js'

/** Sessions of one namespace are in so many groups. All keys of a group are in one slot of a cluster. */
export const GROUPS = 256

/** A key as Redis has it. */
export interface Place {
  readonly namespace: string
  readonly hash: string
  readonly group: number
}

/** `text` comes back as it was, and breaks no name of a key. */
const isNamespace = (text: string): boolean => text !== '' && !/[{}\p{Cc}\p{Surrogate}]/u.test(text)

/** @throws TypeError for a key that is none */
export const placeOfKey = (key: CacheKey): Place => {
  const { namespace, hash } = splitKey(key)
  const bytes = Buffer.from(hash, 'base64url')
  const [group] = bytes
  if (group === undefined || bytes.toString('base64url') !== hash || !isNamespace(namespace))
    throw new TypeError('A key is a namespace, a colon and the base64url of a hash')
  return { namespace, hash, group }
}

/** What a user is called in keys and indexes: 22 characters, whatever his id is. */
export const userHashOf = (userId: string): string =>
  createHash('sha256').update(userId, 'utf8').digest().subarray(0, 16).toString('base64url')

/** What the indexes of a group have of a session: its hash, its user and its application. */
export const memberOf = (hash: string, userId: string | undefined, app: string): string =>
  `${hash}:${userId === undefined ? '' : userHashOf(userId)}:${app}`

/** The hash in a member of an index. */
export const hashIn = (member: string): string => member.slice(0, member.indexOf(':'))

export class Keys {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** The hash of one session, or its tombstone. */
  session({ namespace, group, hash }: Place): string {
    return `${this.#group(namespace, group)}:${hash}`
  }

  /** The session, and the indexes of its group, in the order in which the functions take them. */
  all(place: Place): readonly string[] {
    const { namespace, group } = place
    const { listed, ends, seen, users, tombs } = this.indexes(namespace, group)
    return [this.session(place), listed, ends, seen, users, tombs]
  }

  /** The sorted sets of a group. */
  indexes(namespace: string, group: number): Readonly<Record<'listed' | 'ends' | 'seen' | 'users' | 'tombs', string>> {
    const name = this.#group(namespace, group)
    return {
      /** Live sessions by their hash. */
      listed: `${name}#listed`,
      /** Live sessions by `expiresAt`. */
      ends: `${name}#ends`,
      /** Live sessions by `seenAt`. */
      seen: `${name}#seen`,
      /** Live sessions of somebody, by user. */
      users: `${name}#users`,
      /** Tombstones by `keepUntil`. */
      tombs: `${name}#tombs`,
    }
  }

  /** The record of a user. */
  user({ namespace, userId }: UserLocator): string {
    return `${this.#prefix}{${namespace}:u:${userHashOf(userId)}}`
  }

  /** The set of the namespaces in which anything was ever kept. */
  get namespaces(): string {
    return `${this.#prefix}{namespaces}`
  }

  /** Who purges at this moment. */
  get purger(): string {
    return `${this.#prefix}{purger}`
  }

  #group(namespace: string, group: number): string {
    return `${this.#prefix}{${namespace}:${group.toString(16).padStart(2, '0')}}`
  }
}
