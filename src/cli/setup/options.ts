/** What `nonstick setup` was asked for: options first, then the environment, then the defaults. */
import { readFileSync } from 'node:fs'
import { type ConnectionString, readConnectionString } from '../../backends/postgres/connection-string.js'
import { FEWEST_PARTITIONS, MOST_PARTITIONS } from '../../backends/postgres/partitions.js'
import { hasControlCharacter } from '../../backends/postgres/setup-names.js'
import { UsageError } from '../exits.js'
import type { Administrator } from './carrying.js'
import type { Names } from './plan.js'

/** The options as they were typed. */
export interface GivenSetUp {
  readonly database?: string
  readonly db?: string
  readonly role?: string
  readonly user?: string
  readonly schema?: string
  readonly table?: string
  readonly partitions?: string
  readonly password?: true
  readonly passwordFile?: string
  readonly url?: string
  readonly host?: string
  readonly port?: string
  readonly print?: true
  readonly via?: 'psql' | 'node'
  readonly json?: true
  readonly drop?: true
  readonly yes?: true
}

export interface ResolvedSetUp extends Names {
  readonly print: boolean
  readonly json: boolean
  readonly drop: boolean
  readonly yes: boolean
  readonly via: 'psql' | 'node' | undefined
  readonly askForPassword: boolean
  readonly password: string | undefined
  readonly admin: Administrator
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * @param backend the connection string of the program, `NONSTICK_BACKEND`: what it names is what is made
 * @throws UsageError
 */
export const resolveSetUp = (given: GivenSetUp, env: Environment, backend: string | undefined): ResolvedSetUp => {
  const wanted: Partial<ConnectionString> = backend === undefined ? {} : readConnectionString(backend)
  const names = {
    database: given.database ?? given.db ?? (env['NONSTICK_DATABASE'] || wanted.database || 'nonstick'),
    role: given.role ?? given.user ?? (env['NONSTICK_ROLE'] || wanted.user || 'nonstick'),
    schema: given.schema ?? (env['NONSTICK_SCHEMA'] || 'nonstick'),
    table: given.table ?? (env['NONSTICK_TABLE'] || 'session'),
    partitions: partitionsOf(given, env),
  }
  const complaint = complaintAbout(names) ?? contradictionIn(given)
  if (complaint !== undefined) throw new UsageError(complaint)
  return {
    ...names,
    print: given.print === true,
    json: given.json === true,
    drop: given.drop === true,
    yes: given.yes === true,
    via: given.via,
    askForPassword: given.password === true,
    password: passwordOf(given, env, wanted.password),
    admin: administrator(given, env, wanted),
  }
}

/** @throws UsageError */
const partitionsOf = (given: GivenSetUp, env: Environment): number | undefined => {
  const text = given.partitions ?? (env['NONSTICK_POSTGRES_PARTITIONS'] || undefined)
  if (text === undefined) return undefined
  const partitions = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  if (partitions >= FEWEST_PARTITIONS && partitions <= MOST_PARTITIONS) return partitions
  const source = given.partitions === undefined ? 'NONSTICK_POSTGRES_PARTITIONS' : '--partitions'
  throw new UsageError(
    `Expected ${source} to be a whole number from ${FEWEST_PARTITIONS} to ${MOST_PARTITIONS}, got ${JSON.stringify(text)}`,
  )
}

const LONGEST_BYTES = { database: 63, role: 63, schema: 63, table: 40 } as const

/** What is wrong with the names, in a sentence for people; `undefined` if nothing is. */
const complaintAbout = (names: Names): string | undefined => {
  for (const option of ['database', 'role', 'schema', 'table'] as const) {
    const name = names[option]
    const maxBytes = LONGEST_BYTES[option]
    if (name === '' || Buffer.byteLength(name) > maxBytes)
      return `Expected --${option} to be a name of 1 to ${maxBytes} bytes, got ${JSON.stringify(name)}`
    if (hasControlCharacter(name)) return `Expected --${option} to hold no control characters`
  }
  if (/[?#]/.test(names.database))
    return 'Expected --database to hold neither ? nor #: a connection URL could not name it'
  if (names.table === 'migration') return 'Expected --table to be another name than that of the list of migrations'
  return undefined
}

const contradictionIn = (given: GivenSetUp): string | undefined => {
  if (given.database !== undefined && given.db !== undefined) return 'Expected --database or --db, not both'
  if (given.role !== undefined && given.user !== undefined) return 'Expected --role or --user, not both'
  if (given.url !== undefined && (given.host !== undefined || given.port !== undefined))
    return 'Expected --url, or --host and --port, not both'
  if (given.password === true && given.passwordFile !== undefined)
    return 'Expected --password or --password-file, not both'
  if (given.print === true && given.drop === true)
    return '--drop cannot be printed: it is confirmed by a person who sees which server it is about'
  if (given.print === true && given.json === true) return 'Expected --print or --json, not both'
  const port = given.port ?? '1'
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535)
    return `Expected --port to be a number from 1 to 65535, got ${JSON.stringify(port)}`
  return undefined
}

const passwordOf = (given: GivenSetUp, env: Environment, wanted: string | undefined): string | undefined => {
  if (given.password === true) return undefined
  if (given.passwordFile !== undefined) return checkedPassword(firstLine(given.passwordFile), '--password-file')
  if (env['NONSTICK_PASSWORD']) return checkedPassword(env['NONSTICK_PASSWORD'], 'NONSTICK_PASSWORD')
  return wanted === undefined ? undefined : checkedPassword(wanted, 'NONSTICK_BACKEND')
}

const firstLine = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').split(/\r?\n/)[0] ?? ''
  } catch (error) {
    throw new UsageError(`--password-file cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`)
  }
}

/** Beyond printable ASCII clients disagree about what is sent (SASLprep), and the login then fails in some. */
export const checkedPassword = (password: string, source: string): string => {
  if (/^[\x20-\x7e]+$/.test(password)) return password
  throw new UsageError(
    `Expected ${source} to give a password of printable ASCII characters, got something else (hidden)`,
  )
}

/** How to connect; without an administrator's URL the server is where the program's own URL says. */
const administrator = (
  given: GivenSetUp,
  env: Environment,
  wanted: Pick<Partial<ConnectionString>, 'host' | 'port'>,
): Administrator => {
  const hasPlace = given.host !== undefined || given.port !== undefined
  const source = given.url === undefined ? 'NONSTICK_ADMIN_URL' : '--url'
  const text = given.url ?? (hasPlace ? undefined : env['NONSTICK_ADMIN_URL'])
  if (!text) {
    const host = given.host ?? (hasPlace ? undefined : wanted.host)
    const port = given.port === undefined ? (hasPlace ? undefined : wanted.port) : Number(given.port)
    return {
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
      database: env['PGDATABASE'] || 'postgres',
    }
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol))
    throw new UsageError(
      `Expected ${source} to be a URL like postgres://user@host:5432/postgres, got something else (hidden)`,
    )
  const password = decoded(url.password) || url.searchParams.get('password') || undefined
  url.password = ''
  url.searchParams.delete('password')
  if (url.pathname === '' || url.pathname === '/') url.pathname = '/postgres'
  return {
    url: url.href,
    ...(password === undefined ? {} : { password }),
    database: decoded(url.pathname.slice(1)),
    passwordIsInArguments: given.url !== undefined && password !== undefined,
  }
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
