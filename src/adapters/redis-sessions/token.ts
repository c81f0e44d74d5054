import { createHash } from 'node:crypto'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { sessionIdFrom } from '../../session/id.js'

/** `Z` stands before the time and nowhere else. */
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYabcdefghijklmnopqrstuvwxyz0123456789'
const RANDOM_LENGTH = 55
const TIME_LENGTH = 8

/** The first bytes, as many of them as there are letters some whole number of times: so each letter is equally likely. */
const FAIR_BYTES = 256 - (256 % LETTERS.length)

/**
 * A new token in the form that redis-sessions gives its own: 55 random letters and digits, a `Z`, and the moment in
 * milliseconds to the base of 36; 64 characters. The random part has 326 bits from a CSPRNG.
 */
export const newToken = (runtime: Pick<Runtime, 'now' | 'randomBytes'>): string => {
  let random = ''
  while (random.length < RANDOM_LENGTH)
    for (const byte of runtime.randomBytes(RANDOM_LENGTH))
      if (byte < FAIR_BYTES && random.length < RANDOM_LENGTH) random += LETTERS[byte % LETTERS.length]
  return `${random}Z${runtime.now().toString(36).padStart(TIME_LENGTH, '0')}`
}

const WITH_TIME = /^.{55}Z([0-9a-z]{8})$/

/** The moment that a token says it was made at; `undefined` where it has another form. */
const madeAt = (token: string): EpochMs | undefined => {
  const [, time] = WITH_TIME.exec(token) ?? []
  return time === undefined ? undefined : Number.parseInt(time, 36)
}

/**
 * The id under which the store keeps the session of a token: a hash, so that a token of one application opens nothing in
 * another. It has the month of the token's birth in front, as the store's own ids do, so that a sharded backend finds it
 * with one look. A token that does not tell its birth has an id that does not either.
 */
export const sessionIdOf = (app: string, token: string): string => {
  const hash = createHash('sha256').update(`${app}:${token}`).digest()
  const bornAt = madeAt(token)
  return bornAt === undefined ? hash.toString('base64url') : sessionIdFrom(bornAt, hash)
}
