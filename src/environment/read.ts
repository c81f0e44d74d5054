import { didYouMean, isSessionStoreError, SessionStoreError } from '../errors.js'
import { type BackendPlace, backendPlaceOf, type CachePlace, cachePlaceOf, noBackend } from './places.js'
import { KNOWN_NAMES, OF_A_SERVICE, type Owner, VARIABLES, type Variable } from './variables.js'

/** The environment of a process, or what stands in its place. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Options of a part, by their names. The part itself checks what they may be. */
export type Given = Readonly<Record<string, unknown>>

/** What the environment says of a store and its tiers. */
export interface FromEnvironment {
  /** `undefined` where it names none. */
  readonly cache: CachePlace | undefined
  /** `undefined` where it names none, also not by `DATABASE_URL`. */
  readonly backend: BackendPlace | undefined
  readonly options: Readonly<Record<Owner, Given>>
  /** The variable that gave an option, by owner and option: `store.idleTtlMs`. */
  readonly variables: ReadonlyMap<string, string>
}

export interface ReadingOptions {
  /** The program has a backend of its own, so that `DATABASE_URL` means another database. */
  readonly backendIsGiven?: boolean
}

/**
 * Reads the environment. Nothing is opened or loaded.
 *
 * @throws SessionStoreError `E_CONFIG` about the first variable that is unknown, empty or none of what it may be; no
 *   text that came is shown
 */
export const readEnvironment = (env: Environment, { backendIsGiven = false }: ReadingOptions = {}): FromEnvironment => {
  refuseUnknown(env)
  const cacheText = textOf(env, 'NONSTICK_CACHE')
  const cache = cacheText === undefined ? undefined : cachePlaceOf('NONSTICK_CACHE', cacheText)
  const backend = backendOf(env, backendIsGiven)
  const options: Record<Owner, Record<string, unknown>> = {
    store: {},
    sealing: {},
    memcached: {},
    postgres: {},
    couchdb: {},
    redis: {},
  }
  const variables = new Map<string, string>()
  for (const variable of VARIABLES) {
    const text = textOf(env, variable.name)
    if (text === undefined) continue
    refuseUnread(variable, cache?.kind, backend?.kind)
    options[variable.owner][variable.option] = variable.read(variable.name, text)
    variables.set(`${variable.owner}.${variable.option}`, variable.name)
  }
  return { cache, backend, options, variables }
}

/** A misspelt variable would otherwise be a setting that nobody obeys. */
const refuseUnknown = (env: Environment): void => {
  for (const name of Object.keys(env).sort())
    if (/^NONSTICK_/.test(name) && env[name] !== undefined && !KNOWN_NAMES.has(name) && !OF_A_SERVICE.test(name))
      throw new SessionStoreError(
        'E_CONFIG',
        `Expected the environment variable \`${name}\` to be left out: there is no such variable${didYouMean(name, KNOWN_NAMES)}`,
      )
}

/** An empty text is mostly a variable that was to be filled in and was not. */
const textOf = (env: Environment, name: string): string | undefined => {
  const text = env[name]?.trim()
  if (text !== '') return text
  throw new SessionStoreError(
    'E_CONFIG',
    `Expected the environment variable \`${name}\` to hold something, got an empty string: unset it where its default is meant`,
  )
}

const backendOf = (env: Environment, isGiven: boolean): BackendPlace | undefined => {
  const text = textOf(env, 'NONSTICK_BACKEND')
  if (text !== undefined) return backendPlaceOf('NONSTICK_BACKEND', text)
  if (isGiven) return undefined
  const fallback = env['DATABASE_URL']?.trim()
  if (fallback === '') throw noBackend(fallback)
  return fallback === undefined ? undefined : backendPlaceOf('DATABASE_URL', fallback)
}

/** An option of a tier that is not there is one that nobody would read. */
const refuseUnread = ({ name, owner }: Variable, cache: string | undefined, backend: string | undefined): void => {
  if (owner === 'store' || owner === 'sealing' || owner === cache || owner === backend) return
  const place = owner === 'memcached' ? 'NONSTICK_CACHE' : 'NONSTICK_BACKEND'
  throw new SessionStoreError(
    'E_CONFIG',
    `Expected the environment variable \`${name}\` to be left out: \`${place}\` names no ${owner}, so that nobody would read it`,
  )
}

/**
 * The same complaint, with the variable in place of the option. An option of the store that no variable gave is the
 * call's own, and keeps its name.
 */
export const inVariables = (error: unknown, owner: Owner, { variables }: FromEnvironment): unknown => {
  if (!isSessionStoreError(error, 'E_CONFIG')) return error
  const place = owner === 'memcached' ? 'NONSTICK_CACHE' : 'NONSTICK_BACKEND'
  const isSealedByVariables = [...variables.keys()].some((name) => name.startsWith('sealing.'))
  const nameOf = (option: string): string => {
    if (option === 'servers' || option === 'connectionString' || option === 'url') return place
    const [part, ofPart] = option.startsWith('sealing.') ? (['sealing', option.slice(8)] as const) : [owner, option]
    const given = variables.get(`${part}.${ofPart}`)
    if (given !== undefined) return given
    if (part === 'store' || (part === 'sealing' && !isSealedByVariables)) return option
    return VARIABLES.find((variable) => variable.owner === part && variable.option === ofPart)?.name ?? option
  }
  const message = error.message.replace(
    /`([a-zA-Z]+(?:\.[a-zA-Z]+)?)(?:\[\d+\])*`/g,
    (_all, option: string) => `\`${nameOf(option)}\``,
  )
  return new SessionStoreError('E_CONFIG', message, { cause: error.cause })
}
