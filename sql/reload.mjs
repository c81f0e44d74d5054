// Sets the database up. `sql/reload` is the door to it; `docs/set-up.md` tells the whole story.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ask, firstLineOfInput } from './lib/ask.mjs'
import { identifier } from './lib/names.mjs'
import { carryByNode } from './lib/node.mjs'
import { checkedPassword, HELP, readOptions, UsageError } from './lib/options.mjs'
import { dropPlan, isTherePlan, roleCreatedLine, setUpPlan, strangersPlan } from './lib/plan.mjs'
import { carryByPsql, psqlIsThere, psqlScript, sayLine } from './lib/psql.mjs'
import { scramVerifier } from './lib/scram.mjs'

const main = async () => {
  const options = readOptions(process.argv.slice(2), process.env)
  if (options.help) return say(HELP.trimEnd())
  if (options.version) return say(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version)
  if (options.admin.passwordIsInArguments)
    warn('the password in --url can be seen by everybody on this machine; NONSTICK_ADMIN_URL cannot')
  const password = options.askForPassword ? await passwordFromPerson(options) : options.password
  if (options.print) return print(options, password)
  await reload(options, password)
}

const reload = async (options, givenPassword) => {
  const viaPsql = (options.via ?? (psqlIsThere() ? 'psql' : 'node')) === 'psql'
  const carry = async (plan, said = []) => {
    await (viaPsql ? carryByPsql : carryByNode)(plan, said, options.admin)
    return said
  }
  const tell = options.json ? () => {} : say

  if (options.drop) await drop(options, carry, tell)
  const password = givenPassword ?? randomBytes(18).toString('base64url')
  const changePassword = givenPassword !== undefined
  const plan = setUpPlan({ ...options, verifier: scramVerifier(password), changePassword })
  const said = []
  const generated = () => givenPassword === undefined && said.includes(roleCreatedLine(options))
  try {
    await again(() => carry(plan, said))
  } catch (error) {
    for (const line of said) tell(line)
    if (generated()) warn(`the new role's password, shown only now: ${password}`)
    throw error
  }
  const url = connectionUrl(options, generated() ? password : undefined)
  if (options.json) return say(JSON.stringify(report(options, { url, viaPsql, said, passwordIsNew: generated() })))
  for (const line of said) tell(line)
  tell(`the program connects to ${url}`)
  if (generated()) tell('keep this password: it is shown only now')
}

const report = ({ role, database, schema, table }, { url, viaPsql, said, passwordIsNew }) => ({
  url,
  passwordIsNew,
  role,
  database,
  schema,
  table,
  via: viaPsql ? 'psql' : 'node',
  said,
})

/** Somebody who holds another lock, or none, made the same thing in the same moment. Then it is there now. */
const again = async (attempt) => {
  for (let n = 1; ; n += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (n === 3 || !/already exists|duplicate key value|tuple concurrently updated/.test(error.message)) throw error
    }
  }
}

/** A script is written without looking at the server, so it invents no password: it may turn out to be in vain. */
const print = (options, password) => {
  const verifier = password === undefined ? undefined : scramVerifier(password)
  const plan = setUpPlan({ ...options, verifier, changePassword: password !== undefined })
  const last = plan.at(-1)
  last.steps.push(sayLine(`the program connects to ${connectionUrl(options)}`))
  if (password === undefined) last.steps.push(passwordHint(options))
  process.stdout.write(psqlScript(plan))
}

const passwordHint = ({ role }) =>
  sayLine(
    `a new role has no password yet; in psql: \\password ${/^[a-z_][a-z0-9_]*$/.test(role) ? role : identifier(role)}`,
  )

/** Deletes the database if it is there, holds nothing but ours, and somebody means it. */
const drop = async (options, carry, tell) => {
  const { database, schema, yes } = options
  if (!yes && process.stdin.isTTY !== true)
    throw new UsageError('--drop wants to be confirmed: type the name at a terminal, or add --yes. Nothing was changed')
  const isThere = await carry([isTherePlan(options)])
  if (isThere.length === 0) return tell(`no database ${JSON.stringify(database)} to drop`)
  const strangers = await carry([strangersPlan(options)])
  if (strangers.length > 0)
    throw new Error(
      `the database ${JSON.stringify(database)} also holds ${strangers.join(', ')}, so it is not dropped. Nothing was changed. ` +
        `To drop the sessions alone, in psql: drop schema ${identifier(schema)} cascade`,
    )
  if (!yes) await confirm(options)
  await carry([dropPlan(options)])
  tell(`dropped database ${JSON.stringify(database)}`)
}

const confirm = async (options) => {
  const { database } = options
  const where = connectionUrl(options).replace(/^.*@/, '')
  const answer = await ask(`This deletes the database ${JSON.stringify(database)} (${where}) with all its sessions.
Type its name to go on: `)
  if (answer !== database) throw new Error('That is not its name. Nothing was changed')
}

const passwordFromPerson = async ({ role }) =>
  checkedPassword(
    process.stdin.isTTY === true
      ? await ask(`Password for the role ${JSON.stringify(role)}: `, { hidden: true })
      : await firstLineOfInput(),
    '--password',
  )

/** Where the program finds what was made; with the password only when it has just been invented. */
const connectionUrl = ({ role, database, admin }, password) => {
  const url = admin.url === undefined ? undefined : new URL(admin.url)
  const host = (url?.searchParams.get('host') || url?.hostname || admin.host || process.env.PGHOST) ?? ''
  const port = url?.searchParams.get('port') || url?.port || admin.port || process.env.PGPORT || 5432
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

const say = (line) => console.log(line)

const warn = (line) => console.error(`sql/reload: ${line}`)

/** Advice for the commonest failures: run as oneself on the server, where only postgres is let in, or nobody there. */
const advice = (message) => {
  if (/role "[^"]*" does not exist|[Pp]eer authentication failed|permission denied to create/.test(message))
    return '\nRun it as the postgres user: sudo -u postgres sql/reload, or: sql/reload --print | sudo -u postgres psql'
  if (/ECONNREFUSED|ENOENT|Connection refused|No such file or directory/.test(message))
    return '\nIs PostgreSQL running there? Another place: --host and --port, PGHOST and PGPORT, or NONSTICK_ADMIN_URL'
  return ''
}

try {
  await main()
} catch (error) {
  // Never the error itself: its properties hold how we connected. A refused connection may have no message.
  const message = error.message || error.code || String(error)
  warn(`${message}${advice(message)}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
