import { jsonCodec, jsonLike, msgpackCodec } from './codecs/index.js'
import type { Codec } from './contract/codec.js'
import type { SessionStore } from './contract/session-store.js'
import { createSessionStore } from './create-session-store.js'
import { noBackend, noCache } from './environment/places.js'
import { type Environment, type FromEnvironment, inVariables, readEnvironment } from './environment/read.js'
import { backendFrom, cacheFrom, refuseEmbedded } from './environment/tiers.js'
import { areOptions, invalidOption } from './errors.js'
import { resolveOptions, type StoreOptions } from './store/options.js'
import { checkedOption, oneOf } from './tools/options.js'

/** What `sessionStoreFromEnv` can be given: what no text can say, and what counts where the environment is silent. */
export interface FromEnvOptions<Data> extends StoreOptions<Data> {
  /** Where the variables are. @default `process.env` */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

/**
 * Makes a session store as the environment says: `NONSTICK_CACHE` and `NONSTICK_BACKEND` (or `DATABASE_URL`) name the
 * tiers, and there is a variable for each option that a text can give (docs/configuration.md lists them). Options of the
 * call join; where a variable gives the same option, the variable counts. Loads the clients of the tiers that are asked
 * for, and connects to nothing before the first call.
 *
 * Rejects with `E_CONFIG`, naming the variable and showing none of its text: for a tier that nobody names, so that an
 * unset or empty `DATABASE_URL` leads nowhere rather than to this machine; for a variable that is unknown, empty, or
 * none of what it may be.
 */
export const sessionStoreFromEnv = async <Data = Record<string, unknown>>(
  options: FromEnvOptions<Data> = {},
): Promise<SessionStore<Data>> => createNamed(await optionsFromEnv(options))

/** The options of a store, and what the environment said of them. */
export interface OptionsFromEnv<Data> {
  readonly options: StoreOptions<Data>
  readonly read: FromEnvironment
}

/** What `sessionStoreFromEnv` makes a store of. */
export const optionsFromEnv = async <Data>(given: FromEnvOptions<Data>): Promise<OptionsFromEnv<Data>> => {
  if (!areOptions(given)) throw invalidOption('sessionStoreFromEnv(options)', 'an object', given, { secret: true })
  const { env = process.env, ...call } = given
  const read = readEnvironment(env as Environment, { backendIsGiven: call.backend !== undefined })
  if (read.cache === undefined && call.cache === undefined) throw noCache()
  if (read.backend === undefined && call.backend === undefined) throw noBackend(env['DATABASE_URL'])
  refuseEmbedded(read, env)
  const { codec, ...said } = read.options.store as { readonly codec?: string }
  const sealing = { ...call.sealing, ...read.options.sealing }
  const options = {
    ...call,
    ...said,
    ...(Object.keys(sealing).length === 0 ? {} : { sealing }),
    ...(codec === undefined ? {} : { codec: codecNamed(codec) }),
  } as StoreOptions<Data>
  const { absoluteTtlMs } = named(read, () => resolveOptions(options))
  const parts = { runtime: options.runtime, absoluteTtlMs }
  const [cache = call.cache, backend = call.backend] = [await cacheFrom(read, parts), await backendFrom(read, parts)]
  return {
    read,
    options: { ...options, ...(cache === undefined ? {} : { cache }), ...(backend === undefined ? {} : { backend }) },
  }
}

const createNamed = <Data>({ options, read }: OptionsFromEnv<Data>): SessionStore<Data> =>
  named(read, () => createSessionStore(options))

const named = <Result>(read: FromEnvironment, work: () => Result): Result => {
  try {
    return work()
  } catch (error) {
    throw inVariables(error, 'store', read)
  }
}

const CODECS: Readonly<Record<string, () => Codec>> = {
  msgpack: () => msgpackCodec,
  json: () => jsonCodec,
  'json-like': () => jsonLike(),
}

const codecNamed = (name: string): Codec => {
  checkedOption('NONSTICK_CODEC', name, oneOf(...Object.keys(CODECS)))
  return CODECS[name]?.() ?? msgpackCodec
}
