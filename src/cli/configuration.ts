/** Where a command finds its store: from flags, the environment and a config module, in this order. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Command, Option } from 'commander'
import type { SessionStore } from '../contract/session-store.js'
import { createSessionStore } from '../create-session-store.js'
import { type Environment, type FromEnvironment, inVariables } from '../environment/read.js'
import { areOptions, codeIn, isSessionStoreError, SessionStoreError } from '../errors.js'
import { type OptionsFromEnv, optionsFromEnv } from '../from-env.js'
import type { StoreOptions } from '../store/options.js'
import { UsageError } from './exits.js'
import { warn } from './output.js'

/** The flags that every command with a store has. */
export interface StoreFlags {
  readonly cache?: string
  readonly backend?: string
  readonly namespace?: string
  readonly config?: string
  readonly schema?: string
  readonly table?: string
  readonly json?: true
}

/** Which variable a flag stands in for. */
const FLAG_OF: Readonly<Record<string, keyof StoreFlags & string>> = {
  NONSTICK_CACHE: 'cache',
  NONSTICK_BACKEND: 'backend',
  NONSTICK_NAMESPACE: 'namespace',
  NONSTICK_SCHEMA: 'schema',
  NONSTICK_TABLE: 'table',
}

const STORE_HEADING = 'Which sessions (flags count more than the environment, and that more than the config module):'

/** Gives a command the flags that say where the sessions are. */
export const withStoreFlags = (command: Command): Command => {
  for (const option of [
    new Option('--cache <servers>', 'the Memcached servers: cache1:11211,cache2:11211 [NONSTICK_CACHE]'),
    new Option(
      '--backend <url>',
      'the database: postgres://…, couchdb+https://…, redis://… [NONSTICK_BACKEND, DATABASE_URL]',
    ),
    new Option('--namespace <name>', 'the namespace of the application [NONSTICK_NAMESPACE, else nonstick]'),
    new Option('--schema <name>', 'the schema in PostgreSQL [NONSTICK_SCHEMA, else nonstick]'),
    new Option('--table <name>', 'the table in PostgreSQL [NONSTICK_TABLE, else session]'),
    new Option('--config <file>', 'a module whose default export are store options [NONSTICK_CONFIG]'),
  ])
    command.addOption(option.helpGroup(STORE_HEADING))
  return withJson(command)
}

export const withJson = (command: Command): Command =>
  command.option('--json', 'one line of JSON on standard output instead of sentences')

/** The environment with the flags in their variables' places. */
export const environmentWith = (flags: StoreFlags, env: Environment): Environment => {
  const given = Object.entries(FLAG_OF).flatMap(([variable, flag]) =>
    flags[flag] === undefined ? [] : [[variable, String(flags[flag])] as const],
  )
  return { ...env, ...Object.fromEntries(given) }
}

/** The complaint as it is about the flag, where a flag was given in the variable's place. */
export const inFlags = (error: unknown, flags: StoreFlags): unknown => {
  if (!isSessionStoreError(error, 'E_CONFIG')) return error
  const message = error.message.replace(/(?:the environment variable )?`(NONSTICK_[A-Z]+)`/g, (whole, name: string) => {
    const flag = FLAG_OF[name]
    return flag !== undefined && flags[flag] !== undefined ? `\`--${flag}\`` : whole
  })
  return new SessionStoreError('E_CONFIG', message, { cause: error.cause })
}

/** Says so where a flag shows a password to everybody on the machine. */
const warnOfPasswords = (command: string, flags: StoreFlags): void => {
  for (const flag of ['cache', 'backend'] as const)
    if (/:\/\/[^/]*:[^/]*@/.test(flags[flag] ?? ''))
      warn(
        command,
        `the password in --${flag} can be seen by everybody on this machine; NONSTICK_${flag.toUpperCase()} cannot`,
      )
}

/**
 * The options of the store, and what the environment says of its tiers.
 *
 * @throws SessionStoreError `E_CONFIG`, UsageError for a config module that is none
 */
export const storeOptions = async (
  command: string,
  flags: StoreFlags,
  env: Environment = process.env,
): Promise<OptionsFromEnv<Record<string, unknown>>> => {
  warnOfPasswords(command, flags)
  const file = flags.config ?? env['NONSTICK_CONFIG']
  const module = file === undefined ? {} : await configModule(file)
  const said = environmentWith(flags, env)
  try {
    return await optionsFromEnv({ ...module, env: module.identify === undefined ? withoutUsers(said) : said })
  } catch (error) {
    throw inFlags(error, flags)
  }
}

/**
 * The environment without what only counts where a session is given to a user. That takes the application's `identify`,
 * which no text can be, and no command does it.
 */
const withoutUsers = (env: Environment): Environment => ({
  ...env,
  NONSTICK_ANONYMOUS_TTL_MS: undefined,
  NONSTICK_MAX_SESSIONS_PER_USER: undefined,
  NONSTICK_ON_TOO_MANY_SESSIONS: undefined,
})

/** The default export of the config module, or what it returns. */
export const configModule = async (file: string): Promise<StoreOptions<Record<string, unknown>>> => {
  let exported: { readonly default?: unknown }
  try {
    exported = (await import(pathToFileURL(resolve(file)).href)) as { readonly default?: unknown }
  } catch (cause) {
    // What the module itself throws may quote what it was given, and is not shown.
    const because = codeIn(cause) ?? 'it threw an error when it was loaded'
    throw new UsageError(`Expected --config to be a module of JavaScript that can be loaded: ${because}`, { cause })
  }
  const { default: given } = exported
  const options: unknown = typeof given === 'function' ? await (given as () => unknown)() : given
  if (areOptions(options)) return options as StoreOptions<Record<string, unknown>>
  throw new UsageError(
    'Expected the config module to have a default export with store options, such as `export default { cache, backend }`',
  )
}

/** What a command is given to work with. */
export type Sessions = SessionStore<Record<string, unknown>>

/**
 * Runs `work` with a store, and closes the store afterwards, whatever came of it.
 *
 * @param adjusted makes of the options that were said those of the store for this command
 */
export const withSessions = async <Result>(
  command: string,
  flags: StoreFlags,
  work: (sessions: Sessions, options: StoreOptions<Record<string, unknown>>, read: FromEnvironment) => Promise<Result>,
  adjusted: (said: StoreOptions<Record<string, unknown>>) => StoreOptions<Record<string, unknown>> = (said) => said,
): Promise<Result> => {
  const { options: said, read } = await storeOptions(command, flags)
  const options = adjusted(said)
  let sessions: Sessions
  try {
    sessions = createSessionStore({ ...options, purgeEveryMs: 0 })
  } catch (error) {
    throw inFlags(inVariables(error, 'store', read), flags)
  }
  // Whatever fails in the end rejects the call that met it.
  for (const event of ['fault', 'abandoned'] as const) sessions.on(event, () => {})
  try {
    return await work(sessions, options, read)
  } finally {
    await sessions.close()
  }
}
