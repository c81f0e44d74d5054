// What was asked for: options first, then the environment, then the defaults.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { complaintAbout } from './names.mjs'

/** The caller's mistake, told in a sentence; the process ends with 2. */
export class UsageError extends Error {}

export const HELP = `Usage: sql/reload [options]

Creates role, database, schema and table for nonstick on a PostgreSQL server, as far as they are missing, and brings
an older table up to date. May run twice, and at once in several places. Run it as the postgres user:

  sudo -u postgres sql/reload
  sql/reload --print | sudo -u postgres psql
  NONSTICK_ADMIN_URL=postgres://postgres:...@db.example.net/postgres sql/reload

What to make (in brackets the environment variable, then the default):
  --database, --db NAME   [NONSTICK_DATABASE, nonstick]
  --role, --user NAME     whom the program connects as [NONSTICK_ROLE, nonstick]
  --schema NAME           [NONSTICK_SCHEMA, nonstick]
  --table NAME            [NONSTICK_TABLE, session]
  --password              ask for the role's password (or read it from standard input, if that is no terminal)
  --password-file FILE    read it from the first line of a file
                          [NONSTICK_PASSWORD, or else a new role gets a random one, shown once;
                          the password of a role that is there changes only if one is given]

Where, as the administrator:
  --url URL               [NONSTICK_ADMIN_URL]; a password belongs in the variable: arguments can be seen by others
  --host NAME --port N    [PGHOST, PGPORT and the other PG* variables; else this machine, as psql would]

How:
  --print                 write a script for psql to standard output and touch nothing
  --via psql|node         [psql if there is one, else the package pg]
  --json                  one line of JSON on standard output instead of sentences
  --drop                  delete the database first, with all sessions; asks for its name to be typed
  --yes                   with --drop: do not ask
  --help, --version
`

const OPTIONS = {
  database: { type: 'string' },
  db: { type: 'string' },
  role: { type: 'string' },
  user: { type: 'string' },
  schema: { type: 'string' },
  table: { type: 'string' },
  password: { type: 'boolean' },
  'password-file': { type: 'string' },
  url: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  print: { type: 'boolean' },
  via: { type: 'string' },
  json: { type: 'boolean' },
  drop: { type: 'boolean' },
  yes: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
}

export const readOptions = (args, env) => {
  const given = parsed(args)
  const names = {
    database: given.database ?? given.db ?? (env.NONSTICK_DATABASE || 'nonstick'),
    role: given.role ?? given.user ?? (env.NONSTICK_ROLE || 'nonstick'),
    schema: given.schema ?? (env.NONSTICK_SCHEMA || 'nonstick'),
    table: given.table ?? (env.NONSTICK_TABLE || 'session'),
  }
  const complaint = complaintAbout(names) ?? conflict(given)
  if (complaint !== undefined) throw new UsageError(complaint)
  return {
    ...names,
    help: given.help === true,
    version: given.version === true,
    print: given.print === true,
    json: given.json === true,
    drop: given.drop === true,
    yes: given.yes === true,
    via: given.via,
    askForPassword: given.password === true,
    password: givenPassword(given, env),
    admin: administrator(given, env),
  }
}

const parsed = (args) => {
  let result
  try {
    result = parseArgs({ args, options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    // Node's sentence, without its advice. It never holds the value of --password=...
    throw new UsageError(error.message.split('. ')[0].replace(/\.$/, ''))
  }
  // Not shown: it may be a password that somebody put after --password.
  if (result.positionals.length > 0)
    throw new UsageError('There is an argument that belongs to no option (--password takes none: it asks)')
  return result.values
}

const conflict = (given) => {
  if (given.database !== undefined && given.db !== undefined) return 'Expected --database or --db, not both'
  if (given.role !== undefined && given.user !== undefined) return 'Expected --role or --user, not both'
  if (given.url !== undefined && (given.host !== undefined || given.port !== undefined))
    return 'Expected --url, or --host and --port, not both'
  if (given.password === true && given['password-file'] !== undefined)
    return 'Expected --password or --password-file, not both'
  if (given.via !== undefined && given.via !== 'psql' && given.via !== 'node')
    return `Expected --via to be psql or node, got ${JSON.stringify(given.via)}`
  if (given.print === true && given.drop === true)
    return '--drop cannot be printed: it is confirmed by a person who sees which server it is about'
  if (given.print === true && given.json === true) return 'Expected --print or --json, not both'
  if (
    given.port !== undefined &&
    !(/^\d{1,5}$/.test(given.port) && Number(given.port) >= 1 && Number(given.port) < 65_536)
  )
    return `Expected --port to be a number from 1 to 65535, got ${JSON.stringify(given.port)}`
  return undefined
}

const givenPassword = (given, env) => {
  if (given.password === true) return undefined
  if (given['password-file'] !== undefined) return checkedPassword(firstLine(given['password-file']), '--password-file')
  return env.NONSTICK_PASSWORD ? checkedPassword(env.NONSTICK_PASSWORD, 'NONSTICK_PASSWORD') : undefined
}

const firstLine = (file) => {
  try {
    return readFileSync(file, 'utf8').split(/\r?\n/)[0]
  } catch (error) {
    throw new UsageError(`--password-file cannot be read: ${error.code ?? 'unknown reason'}`)
  }
}

/** Beyond printable ASCII clients disagree about what is sent (SASLprep), and the login then fails in some. */
export const checkedPassword = (password, source) => {
  if (!/^[\x20-\x7e]+$/.test(password))
    throw new UsageError(
      `Expected ${source} to give a password of printable ASCII characters, got something else (hidden)`,
    )
  return password
}

/** How to connect; the password apart from the URL, so that the URL may be shown and passed on. */
const administrator = (given, env) => {
  const source = given.url === undefined ? 'NONSTICK_ADMIN_URL' : '--url'
  const text = given.url ?? (given.host === undefined && given.port === undefined ? env.NONSTICK_ADMIN_URL : undefined)
  if (!text) {
    const port = given.port === undefined ? undefined : Number(given.port)
    return { host: given.host, port, database: env.PGDATABASE || 'postgres' }
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
    password,
    database: decoded(url.pathname.slice(1)),
    passwordIsInArguments: given.url !== undefined && password !== undefined,
  }
}

const decoded = (text) => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
