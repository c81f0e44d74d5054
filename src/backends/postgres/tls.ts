/** Whether a connection is encrypted, and against what the server's certificate is checked. */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { SessionStoreError } from '../../errors.js'
import { fileContents } from '../../tools/file-contents.js'
import { refusedParameter } from './connection-string.js'

export type Ssl = boolean | TlsOptions

/** Where the wish comes from: the parameters of a connection string, and the environment for what they leave out. */
export interface TlsWishes {
  readonly parameters: ReadonlyMap<string, string>
  readonly env: Readonly<Record<string, string | undefined>>
}

/** All parameters that are read here. */
export const TLS_PARAMETERS: readonly string[] = [
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'uselibpqcompat',
]

const MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const
type Mode = (typeof MODES)[number]

/** What a connection is that is to be encrypted, where nothing says how. */
const TLS: Mode = 'verify-full'

/** The parameter `ssl` is pg's own, and says the same as some modes. */
const SSL_PARAMETER = { true: TLS, '1': TLS, false: 'disable', '0': 'disable', 'no-verify': 'no-verify' } as const
type SslParameter = keyof typeof SSL_PARAMETER

const isSslParameter = (value: string): value is SslParameter => Object.hasOwn(SSL_PARAMETER, value)

const MODE_CURE =
  '`verify-full`, `require` (which is the same here), `no-verify` (encrypted, but anybody may be the server) or `disable`'

/**
 * What pg is to be given as `ssl`. It is never left open, so that nothing else decides it.
 *
 * `prefer`, `require` and `verify-ca` check the server's certificate and its name, as `verify-full` does, unless
 * `uselibpqcompat=true` asks for the weaker meaning that libpq gives them. No mode ever goes on in the clear where the
 * server has no TLS.
 *
 * @throws SessionStoreError `E_CONFIG` for what cannot be obeyed, naming the parameter
 */
export const tlsOf = ({ parameters, env }: TlsWishes): Ssl => {
  const given = parameters.get('ssl')
  if (given !== undefined && !isSslParameter(given))
    throw refusedParameter('ssl', '`true` or `false`; for anything else there is `sslmode`')
  const asked = parameters.get('sslmode')
  if (asked !== undefined && !isMode(asked)) throw refusedParameter('sslmode', MODE_CURE)
  const likeLibpq = isLikeLibpq(parameters)
  const files = filesOf(parameters)
  const isAskedFor = given !== undefined || asked !== undefined || Object.keys(files).length > 0
  const mode = asked ?? (given === undefined ? undefined : SSL_PARAMETER[given]) ?? (isAskedFor ? TLS : modeOf(env))
  if (given !== undefined && !agree(SSL_PARAMETER[given], mode, files))
    throw refusedParameter('ssl', 'left out where `sslmode` or a certificate says something else')
  if (mode === 'disable') return false
  const all = { ...filesOf(environmentOf(env)), ...files }
  const check = checkOf(mode, likeLibpq, all)
  return Object.keys(all).length + Object.keys(check).length === 0 ? true : withFiles(all, check)
}

/** Whether the server must prove by its certificate who it is. */
export const isVerified = (ssl: Ssl): boolean =>
  ssl !== false && (ssl === true || (ssl.rejectUnauthorized !== false && ssl.checkServerIdentity === undefined))

/** `ssl=true` leaves it to `sslmode` how. */
const agree = (said: Mode, mode: Mode, files: Files): boolean =>
  said === TLS ? mode !== 'disable' : said === mode && (mode !== 'disable' || Object.keys(files).length === 0)

const modeOf = (env: TlsWishes['env']): Mode => {
  const mode = env['PGSSLMODE'] || 'disable'
  if (isMode(mode)) return mode
  throw new SessionStoreError('E_CONFIG', `Expected the environment variable \`PGSSLMODE\` to be ${MODE_CURE}`)
}

const isLikeLibpq = (parameters: ReadonlyMap<string, string>): boolean => {
  const value = parameters.get('uselibpqcompat') ?? 'false'
  if (value === 'true' || value === 'false') return value === 'true'
  throw refusedParameter('uselibpqcompat', '`true` or `false`')
}

const isMode = (mode: string): mode is Mode => (MODES as readonly string[]).includes(mode)

const checkOf = (mode: Mode, likeLibpq: boolean, { ca }: Files): TlsOptions => {
  if (mode === 'no-verify') return { rejectUnauthorized: false }
  if (!likeLibpq || mode === 'verify-full') return {}
  if (ca !== undefined && mode !== 'prefer') return { checkServerIdentity: () => undefined }
  if (mode === 'verify-ca') throw refusedParameter('sslmode', '`verify-full`, or `sslrootcert` to be given with it')
  return { rejectUnauthorized: false }
}

const FILES = { ca: 'sslrootcert', cert: 'sslcert', key: 'sslkey' } as const
type Files = Partial<Record<keyof typeof FILES, () => string>>

const environmentOf = (env: TlsWishes['env']): ReadonlyMap<string, string> =>
  new Map(
    Object.values(FILES).flatMap((name): [string, string][] => {
      const value = env[`PG${name.toUpperCase()}`]
      return value ? [[name, value]] : []
    }),
  )

const filesOf = (parameters: ReadonlyMap<string, string>): Files => {
  const files: Files = {}
  for (const [name, parameter] of Object.entries(FILES)) {
    const path = parameters.get(parameter)
    // `system` is libpq's word for the authorities that are trusted anyway.
    if (path === undefined || path === '' || (name === 'ca' && path === 'system')) continue
    files[name as keyof Files] = contentsOf(parameter, path)
  }
  return files
}

/** Read now, to complain in time, and again for each connection. */
const contentsOf = (parameter: string, path: string): (() => string) => {
  try {
    return fileContents(path)
  } catch (cause) {
    const { code = 'unreadable' } = cause as { readonly code?: string }
    throw refusedParameter(parameter, `a file that can be read (${code})`)
  }
}

const withFiles = (files: Files, check: TlsOptions): TlsOptions => {
  const options: TlsOptions = { ...check }
  for (const [name, read] of Object.entries(files))
    Object.defineProperty(options, name, { get: read, enumerable: true, configurable: true })
  return options
}
