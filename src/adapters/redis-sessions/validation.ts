import type { ResolvedManners } from './manners.js'

/** One thing that is wrong with what a call was given. */
export interface Failure {
  readonly field: Field
  readonly name: 'missingParameter' | 'invalidFormat' | 'invalidValue'
  readonly message: string
}

/**
 * What a call rejects with that was given something wrong. `name` and `message` are those of redis-sessions, of the first
 * mistake; with `errors: 'all'` the message has those of all of them.
 */
export class InvalidRequest extends Error {
  override readonly name: Failure['name']
  readonly failures: readonly Failure[]

  constructor(failures: readonly [Failure, ...Failure[]]) {
    super(failures.map(({ message }) => message).join('; '))
    this.name = failures[0].name
    this.failures = failures
  }
}

/** What the calls are given, once it was checked. */
export interface Values {
  readonly app: string
  readonly id: string
  readonly ip: string
  readonly token: string
  readonly ttl: number
  readonly deltaTime: number
  /** `undefined`: none was given, where none need be. `null`: all is to be removed. */
  readonly d: Readonly<Record<string, unknown>> | null | undefined
  readonly no_resave: boolean
}

export type Field = keyof Values

/** What the checks go by beside the manners. */
export interface Bounds {
  /** In seconds. */
  readonly maxTtl: number
  /** Whether a session is made: then it may have no data. */
  readonly isCreation: boolean
}

/**
 * Checks what a call was given, in the order of `fields`.
 *
 * @throws InvalidRequest
 */
export const checked = <Wanted extends Field>(
  given: unknown,
  fields: readonly Wanted[],
  manners: ResolvedManners,
  bounds: Bounds,
): Pick<Values, Wanted> => {
  const request = (typeof given === 'object' && given !== null ? given : {}) as Readonly<Record<string, unknown>>
  const values: Partial<Record<Field, unknown>> = {}
  const failures: Failure[] = []
  for (const field of fields) {
    try {
      values[field] = CHECKS[field](request[field], manners, bounds)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      failures.push({ field, name: error.name, message: error.message })
      if (manners.errors === 'first') break
    }
  }
  const [first, ...others] = failures
  if (first !== undefined) throw new InvalidRequest([first, ...others])
  return values as Pick<Values, Wanted>
}

/** Why a value is refused. It leaves this file as a failure. */
class Refusal extends Error {
  override readonly name: Failure['name']

  constructor(name: Failure['name'], message: string) {
    super(message)
    this.name = name
  }
}

const missing = (field: Field): Refusal => new Refusal('missingParameter', `No ${field} supplied`)
const invalid = (message: string): Refusal => new Refusal('invalidValue', message)

// Each of these looks at a character once: what is too long fails at the first character that is too many.
const APP = /^[A-Za-z0-9_-]{3,20}$/
const TOKEN = /^[A-Za-z0-9]{64}$/
const IP = /^.{1,39}$/
const ANY_ID = /^.{1,128}$/
const WORD_ID = /^[A-Za-z0-9_-]{1,64}$/

const text = (field: Field, pattern: RegExp, value: unknown): string => {
  if (!value) throw missing(field)
  if (typeof value !== 'string' || !pattern.test(value) || !isStorable(value))
    throw new Refusal('invalidFormat', `Invalid ${field} format`)
  return value
}

/** No database has a text with a zero character, or one with half a surrogate pair, which UTF-8 cannot express. */
const isStorable = (value: string): boolean =>
  !value.includes('\0') && (value as string & { isWellFormed(): boolean }).isWellFormed()

/** Whole seconds; like redis-sessions it takes a text as well, and leaves out fractions and what follows the digits. */
const seconds = (field: Field, value: unknown, { leastSeconds }: ResolvedManners): number => {
  const given = typeof value === 'string' || typeof value === 'number' ? Number.parseInt(`${value}`, 10) : Number.NaN
  if (given >= leastSeconds) return given
  throw invalid(`${field} must be a positive integer >= ${leastSeconds}`)
}

const data = (value: unknown, manners: ResolvedManners): Readonly<Record<string, unknown>> => {
  if (!value) throw missing('d')
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('d must be an object')
  const entries = Object.entries(value)
  if (manners.values === 'scalars') {
    if (entries.length === 0) throw invalid('d must containt at least one key.')
    for (const [key, each] of entries)
      if (each !== null && !['string', 'number', 'boolean'].includes(typeof each))
        throw invalid(`d.${key} has a forbidden type. Only strings, numbers, boolean and null are allowed.`)
  }
  return Object.fromEntries(entries)
}

const CHECKS: {
  readonly [Name in Field]: (value: unknown, manners: ResolvedManners, bounds: Bounds) => Values[Name]
} = {
  app: (value) => text('app', APP, value),
  id: (value, { ids }) => text('id', ids === 'word' ? WORD_ID : ANY_ID, value),
  ip: (value) => text('ip', IP, value),
  token: (value) => text('token', TOKEN, value),
  ttl: (value, manners, { maxTtl }) => {
    const ttl = seconds('ttl', value ?? manners.defaultTtl, manners)
    if (ttl <= maxTtl) return ttl
    throw invalid(`ttl must be a positive integer <= ${maxTtl}`)
  },
  deltaTime: (value, manners) => seconds('deltaTime', value ?? manners.defaultDeltaTime, manners),
  d: (value, manners, { isCreation }) => {
    if (isCreation && !value) return undefined
    return manners.nullClears && (value === null || value === undefined) ? null : data(value, manners)
  },
  no_resave: (value) => Boolean(value),
}
