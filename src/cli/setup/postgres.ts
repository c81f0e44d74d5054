/** `nonstick setup` for PostgreSQL: role, database, schema and table. `docs/set-up.md` tells the whole story. */
import { quoteIdentifier } from '../../backends/postgres/setup-names.js'
import { systemRuntime } from '../../runtime.js'
import { isError } from '../../tools/is-error.js'
import { UsageError } from '../exits.js'
import { say, sayJson, warn } from '../output.js'
import { ask, firstLineOfInput } from './ask.js'
import { carryByNode } from './carry-by-node.js'
import { carryByPsql, psqlIsThere, psqlScript, sayLine } from './carry-by-psql.js'
import type { Administrator } from './carrying.js'
import { checkedPassword, type ResolvedSetUp } from './options.js'
import {
  dropPlan,
  isTherePlan,
  type Names,
  type Part,
  type Plan,
  roleCreatedLine,
  type Step,
  setUpPlan,
  strangersPlan,
} from './plan.js'
import { scramVerifier } from './scram.js'

const NAME = 'setup'

/** Does what was asked for, and says what was done. Rejects with the server's complaint, and some advice. */
export const setUpPostgres = async (options: ResolvedSetUp): Promise<void> => {
  if (options.admin.passwordIsInArguments === true)
    warn(NAME, 'the password in --url can be seen by everybody on this machine; NONSTICK_ADMIN_URL cannot')
  const password = options.askForPassword ? await passwordFromPerson(options) : options.password
  if (options.print) return print(options, password)
  try {
    await setUp(options, password)
  } catch (error) {
    if (error instanceof UsageError) throw error
    // Never the error itself: its properties hold how we connected. A refused connection may have no message.
    const message = messageOf(error)
    throw new Error(`${message}${advice(message)}`)
  }
}

/** Brings plans to the server, and gives what was said. */
type CarryHere = (plan: Plan, said?: string[]) => Promise<readonly string[]>

const setUp = async (options: ResolvedSetUp, givenPassword: string | undefined): Promise<void> => {
  const viaPsql = (options.via ?? (psqlIsThere() ? 'psql' : 'node')) === 'psql'
  const carry: CarryHere = async (plan, said = []) => {
    await (viaPsql ? carryByPsql : carryByNode)(plan, said, options.admin)
    return said
  }
  const tell = options.json ? (): void => {} : say

  if (options.drop) await drop(options, carry, tell)
  const password = givenPassword ?? Buffer.from(systemRuntime.randomBytes(18)).toString('base64url')
  const plan = setUpPlan({ ...options, verifier: verifierOf(password), changePassword: givenPassword !== undefined })
  const said: string[] = []
  const isNew = (): boolean => givenPassword === undefined && said.includes(roleCreatedLine(options))
  try {
    await again(() => carry(plan, said))
  } catch (error) {
    for (const line of said) tell(line)
    if (isNew()) warn(NAME, `the new role's password, shown only now: ${password}`)
    throw error
  }
  const url = connectionUrl(options, isNew() ? password : undefined)
  if (options.json) {
    const { role, database, schema, table } = options
    return sayJson({ url, passwordIsNew: isNew(), role, database, schema, table, via: viaPsql ? 'psql' : 'node', said })
  }
  for (const line of said) tell(line)
  tell(`the program connects to ${url}`)
  if (isNew()) tell('keep this password: it is shown only now')
}

const verifierOf = (password: string): string => scramVerifier(password, systemRuntime.randomBytes(16))

/** Somebody who holds another lock, or none, made the same thing in the same moment. Then it is there now. */
const again = async <T>(attempt: () => Promise<T>): Promise<T> => {
  for (let n = 1; ; n += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (n === 3 || !/already exists|duplicate key value|tuple concurrently updated/.test(messageOf(error)))
        throw error
    }
  }
}

/** A script is written without looking at the server, so it invents no password: it may turn out to be in vain. */
const print = (options: ResolvedSetUp, password: string | undefined): void => {
  const verifier = password === undefined ? undefined : verifierOf(password)
  const plan = setUpPlan({ ...options, verifier, changePassword: password !== undefined })
  const lastWords = [
    sayLine(`the program connects to ${connectionUrl(options)}`),
    ...(password === undefined ? [passwordHint(options)] : []),
  ]
  process.stdout.write(psqlScript(withLastWords(plan, lastWords)))
}

const withLastWords = (plan: Plan, words: readonly Step[]): Plan =>
  plan.map((part: Part, at) => (at === plan.length - 1 ? { ...part, steps: [...part.steps, ...words] } : part))

const passwordHint = ({ role }: Names): Step =>
  sayLine(
    `a new role has no password yet; in psql: \\password ${/^[a-z_][a-z0-9_]*$/.test(role) ? role : quoteIdentifier(role)}`,
  )

/** Deletes the database if it is there, holds nothing but ours, and somebody means it. */
const drop = async (options: ResolvedSetUp, carry: CarryHere, tell: (line: string) => void): Promise<void> => {
  const { database, schema, yes } = options
  if (!yes && process.stdin.isTTY !== true)
    throw new UsageError('--drop wants to be confirmed: type the name at a terminal, or add --yes. Nothing was changed')
  const isThere = await carry([isTherePlan(options)])
  if (isThere.length === 0) return tell(`no database ${JSON.stringify(database)} to drop`)
  const strangers = await carry([strangersPlan(options)])
  if (strangers.length > 0)
    throw new Error(
      `the database ${JSON.stringify(database)} also holds ${strangers.join(', ')}, so it is not dropped. Nothing was changed. ` +
        `To drop the sessions alone, in psql: drop schema ${quoteIdentifier(schema)} cascade`,
    )
  if (!yes) await confirm(options)
  await carry([dropPlan(options)])
  tell(`dropped database ${JSON.stringify(database)}`)
}

const confirm = async (options: ResolvedSetUp): Promise<void> => {
  const { database } = options
  const where = connectionUrl(options).replace(/^.*@/, '')
  const answer = await ask(`This deletes the database ${JSON.stringify(database)} (${where}) with all its sessions.
Type its name to go on: `)
  if (answer !== database) throw new Error('That is not its name. Nothing was changed')
}

const passwordFromPerson = async ({ role }: Names): Promise<string> =>
  checkedPassword(
    process.stdin.isTTY === true
      ? await ask(`Password for the role ${JSON.stringify(role)}: `, { hidden: true })
      : await firstLineOfInput(),
    '--password',
  )

/** Where the program finds what was made; with the password only when it has just been invented. */
const connectionUrl = (
  { role, database, admin }: Names & { readonly admin: Administrator },
  password?: string,
): string => {
  const url = admin.url === undefined ? undefined : new URL(admin.url)
  const host = (url?.searchParams.get('host') || url?.hostname || admin.host || process.env['PGHOST']) ?? ''
  const port = url?.searchParams.get('port') || url?.port || admin.port || process.env['PGPORT'] || 5432
  const isFolder = host.startsWith('/')
  const name = isFolder || host === '' ? 'localhost' : host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  const who = `${encodeURIComponent(role)}${password === undefined ? '' : `:${password}`}`
  const settings = new URLSearchParams(isFolder ? { host } : {})
  for (const setting of ['sslmode', 'sslrootcert']) {
    const value = url?.searchParams.get(setting)
    if (value) settings.set(setting, value)
  }
  return `postgres://${who}@${name}:${port}/${encodeURI(database)}${settings.size === 0 ? '' : `?${settings}`}`
}

const messageOf = (error: unknown): string => {
  if (!isError(error)) return String(error)
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name)
}

/** Advice for the commonest failures: run as oneself on the server, where only postgres is let in, or nobody there. */
const advice = (message: string): string => {
  if (/role "[^"]*" does not exist|[Pp]eer authentication failed|permission denied to create/.test(message))
    return '\nRun it as the postgres user: sudo -u postgres npx nonstick setup, or: npx nonstick setup --print | sudo -u postgres psql'
  if (/ECONNREFUSED|ENOENT|Connection refused|No such file or directory/.test(message))
    return '\nIs PostgreSQL running there? Another place: --host and --port, PGHOST and PGPORT, or NONSTICK_ADMIN_URL'
  return ''
}
