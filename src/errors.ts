import { isError } from './tools/is-error.js'
/**
 * Every error nonstick raises on purpose is a `SessionStoreError`.
 *
 * A session that is not there is a value (`undefined`), not an error. Wrong use of the library in the
 * program's own text (a missing argument that TypeScript would have caught) is a `TypeError` and no part of
 * this family. Messages name the tier, the operation and an address; never a session id, a key, session data,
 * a user or a credential.
 *
 * `docs/errors.md` lists each code with its cause and its cure.
 */
export type SessionStoreErrorCode =
  /** An option is missing, of the wrong type or out of range. */
  | 'E_CONFIG'
  /** A session id is empty, not a string, absurdly long, or holds half a surrogate pair. Raised before any I/O. */
  | 'E_INVALID_ID'
  /** A tier could not be reached, or did not answer within its deadline. */
  | 'E_SESSION_UNAVAILABLE'
  /** So many reads wait for the backend already that this one was refused; the tiers themselves may be well. */
  | 'E_OVERLOADED'
  /** Stored bytes carry a format or a codec that this program does not know, for instance a newer one. */
  | 'E_SESSION_FORMAT'
  /** What stands there is sealed with a key that this program was not given, does not open, or is not sealed. */
  | 'E_SESSION_SEAL'
  /** The session changed meanwhile and the change was not merged (policy, change of user, retries spent). */
  | 'E_SESSION_CONFLICT'
  /** The session was destroyed meanwhile; the change was dropped. */
  | 'E_SESSION_DESTROYED'
  /** The user has as many sessions as `maxSessionsPerUser` allows, and a login was to be refused then. */
  | 'E_SESSION_LIMIT'
  /** An answer was lost, and it can no longer be told whether the change was applied. */
  | 'E_SESSION_UNKNOWN_OUTCOME'
  /** The session's value is larger than the configured or possible maximum. */
  | 'E_SESSION_TOO_LARGE'
  /** The session's data holds something that cannot be stored and read back as it is. */
  | 'E_SESSION_DATA'
  /** The backend is there, but its tables are missing or of another version. */
  | 'E_BACKEND_SCHEMA'
  /** The store was closed. */
  | 'E_CLOSED'
  /** The signal that the call was given was aborted. `cause` is the signal's reason. */
  | 'E_ABORTED'

/** What is known about a change whose call failed: nothing happened, or nobody can tell. */
export type Applied = 'no' | 'unknown'

export interface SessionStoreErrorDetails {
  readonly cause?: unknown
  /** Which tier failed, with its address where it has one: `memcached 127.0.0.1:11211`. */
  readonly tier?: string
  /** What was attempted, in the contract's words: `cas`, `read`, `update`. */
  readonly operation?: string
  /** Only on a failed change. Absent means: no change was attempted. */
  readonly applied?: Applied
  /**
   * The tier was reached and refused: a full disk, too many connections, no memory left. Such a tier is not silent, so
   * no circuit breaker counts it. Absent means: it gave no answer, or none that could be understood.
   */
  readonly answered?: boolean
  /**
   * Only where the data is refused: where the offender stands, by the names of the data, `data.cart[2].price`. Names are
   * data too, so the message tells the place by positions alone.
   */
  readonly path?: string
}

const MARK = Symbol.for('nonstick.SessionStoreError')

/** The one class of this library's errors; programs branch on `code`, people read `message`. */
export class SessionStoreError extends Error {
  readonly code: SessionStoreErrorCode
  readonly tier: string | undefined
  readonly operation: string | undefined
  readonly applied: Applied | undefined
  /** `true` where the tier was reached and refused; see `SessionStoreErrorDetails`. */
  readonly answered: boolean
  /** As `SessionStoreErrorDetails` says. Not enumerable, so that nobody who logs the error logs it too. */
  declare readonly path: string | undefined

  constructor(code: SessionStoreErrorCode, message: string, details: SessionStoreErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.tier = details.tier
    this.operation = details.operation
    this.applied = details.applied
    this.answered = details.answered === true
    // It names properties of the data, which are not for a log: it is there for whoever asks for it.
    Object.defineProperty(this, 'path', { value: details.path, enumerable: false })
    Object.defineProperty(this, MARK, { value: true })
  }

  override get name(): string {
    return 'SessionStoreError'
  }
}

/**
 * Whether this is an error of this library, of the given code where one is given; also where two copies of the package
 * are loaded.
 */
export function isSessionStoreError(error: unknown): error is SessionStoreError
export function isSessionStoreError<Code extends SessionStoreErrorCode>(
  error: unknown,
  code: Code,
): error is SessionStoreError & { readonly code: Code }
export function isSessionStoreError(error: unknown, code?: SessionStoreErrorCode): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as Record<symbol, unknown>)[MARK] === true &&
    (code === undefined || (error as SessionStoreError).code === code)
  )
}

// `instanceof SessionStoreError` holds for the errors of every copy, too. A class that somebody derives from this one
// inherits the method, but is told by its prototype as any class is.
Object.defineProperty(SessionStoreError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    return this === SessionStoreError
      ? isSessionStoreError(value)
      : Function.prototype[Symbol.hasInstance].call(this, value)
  },
})

/**
 * A tier that could not be reached or answered too late.
 *
 * @param applied leave it out for reads; `'no'` when the change surely did not happen (the connection was
 *   refused), `'unknown'` when it was sent and no answer came.
 */
export const tierUnavailable = (
  tier: string,
  operation: string,
  details: Pick<SessionStoreErrorDetails, 'cause' | 'applied' | 'answered'> & { readonly because?: string } = {},
): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNAVAILABLE',
    `${tier} could not be asked to ${operation}${details.because === undefined ? '' : `: ${details.because}`}`,
    {
      tier,
      operation,
      ...('cause' in details ? { cause: details.cause } : {}),
      ...(details.applied === undefined ? {} : { applied: details.applied }),
      ...(details.answered === undefined ? {} : { answered: details.answered }),
    },
  )

/**
 * A read for which there is no room in the line before a tier, or whose turn there did not come in time. It does not say
 * whether a change was applied: the read may have come after one.
 */
export const overloaded = (tier: string, operation: string, because: string): SessionStoreError =>
  new SessionStoreError('E_OVERLOADED', `${tier} was not asked to ${operation}: ${because}`, { tier, operation })

/**
 * A call whose caller has given it up.
 *
 * @param applied leave it out for calls that change nothing; `'no'` where the call had not begun
 */
export const aborted = (call: string, signal: AbortSignal, applied?: Applied): SessionStoreError =>
  new SessionStoreError('E_ABORTED', `The signal of \`${call}\` was aborted`, {
    operation: call,
    cause: signal.reason,
    ...(applied === undefined ? {} : { applied }),
  })

/** Long enough for the codes of TLS, such as `UNABLE_TO_VERIFY_LEAF_SIGNATURE`. */
const CODE = /^(?=.{2,50}$)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*$/

/** The code of the error of a system or a driver: `ECONNREFUSED`. `undefined` for a text that is not like one. */
export const codeIn = (error: unknown): string | undefined => {
  const code: unknown = isError(error) && 'code' in error ? error.code : undefined
  return typeof code === 'string' && CODE.test(code) ? code : undefined
}

/** The same error, of a change that may have happened all the same: an earlier step of it got through. */
export const butMayBeApplied = (error: unknown): unknown => withApplied(error, 'unknown')

/** The same error, of a change of which nothing is left: what had been begun was taken back. */
export const butNotApplied = (error: unknown): unknown => withApplied(error, 'no')

const withApplied = (error: unknown, applied: Applied): unknown => {
  if (!isSessionStoreError(error) || error.applied === applied) return error
  const { code, message, cause, tier, operation, answered, path } = error
  return new SessionStoreError(code, message, {
    applied,
    answered,
    ...(cause === undefined ? {} : { cause }),
    ...(tier === undefined ? {} : { tier }),
    ...(operation === undefined ? {} : { operation }),
    ...(path === undefined ? {} : { path }),
  })
}

/**
 * What came, in words: its type and its shape. A text is never shown: passwords and URLs that hold one end up in the
 * wrong option as easily as in the right one.
 */
export const described = (value: unknown, secret: boolean): string => {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string'
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return secret ? `a ${typeof value}` : `${String(value)} (${typeof value})`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (value instanceof Promise) return 'a promise'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/**
 * The one pattern of configuration complaints: the option as typed, what was expected, what came, and, where that does
 * not follow, what to do.
 *
 * @param secret the value is not even shown where it is a number
 */
export const invalidOption = (
  option: string,
  expected: string,
  got: unknown,
  { secret = false, cure }: { readonly secret?: boolean; readonly cure?: string } = {},
): SessionStoreError =>
  new SessionStoreError(
    'E_CONFIG',
    `Expected \`${option}\` to be ${expected}, got ${described(got, secret)}${cure === undefined ? '' : `: ${cure}`}`,
  )

/** A hint for whoever misspelt one of the known names: ` (did you mean \`fault\`?)`; nothing where none is near. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  let nearest: string | undefined
  let least = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const each of known) {
    const distance = editsBetween(name.toLowerCase(), each.toLowerCase())
    if (distance < least) {
      nearest = each
      least = distance
    }
  }
  return nearest === undefined ? '' : ` (did you mean \`${nearest}\`?)`
}

/** How many letters have to be put in, left out, replaced or swapped with their neighbour to make one word the other. */
const editsBetween = (from: string, to: string): number => {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const isSame = from[i - 1] === to[j - 1]
      const isSwapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (beforeLast[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      )
    }
    beforeLast = last
    last = row
  }
  return last[to.length] ?? 0
}

/**
 * Whether a value can be somebody's options: an object of any class or realm, or a module's exports. What nobody could read
 * an option from would pass for options of which none was given: a promise of them, a URL, a map, an array.
 */
export const areOptions = (value: unknown): value is object =>
  typeof value === 'object' &&
  value !== null &&
  ['[object Object]', '[object Module]'].includes(Object.prototype.toString.call(value))

/**
 * Complains about options that are none, and about the first option that nobody would read. Nothing of it is shown: a
 * misspelt `password` is one still.
 *
 * @param within what stands before their names, where they are the options of an option: `tls.`
 */
export const refuseUnknownOptions = (
  options: unknown,
  known: { has(name: string): boolean; keys(): Iterable<string> },
  within = '',
): void => {
  if (!areOptions(options)) {
    const cure = typeof options === 'function' ? { cure: 'there are no callbacks; await what the call gives' } : {}
    throw invalidOption('options', 'an object', options, { secret: true, ...cure })
  }
  for (const name of Object.keys(options))
    if (!known.has(name))
      throw new SessionStoreError(
        'E_CONFIG',
        `Expected \`${within}${name}\` to be left out: there is no such option${didYouMean(name, known.keys())}`,
      )
}
