/** A plan is carried to the server by psql, or written down for it. */
import { spawn, spawnSync } from 'node:child_process'
import { quoteIdentifier } from '../../backends/postgres/setup-names.js'
import type { Administrator, Carry } from './carrying.js'
import { SET_UP_NAME } from './carrying.js'
import type { Plan, Step } from './plan.js'
import { literal } from './sql-text.js'

/** Whether there is a psql that works. Debian's postgresql-client-common has one that only asks for a client. */
export const psqlIsThere = (): boolean => spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0

/**
 * The whole plan as a script for psql, which brings its own settings along: it may be fed to a psql whose user
 * has a psqlrc, and which was called without any option.
 */
export const psqlScript = (plan: Plan): string =>
  `${[...HEAD, ...plan.flatMap(({ database, steps }) => [...connect(database), ...steps.flatMap(lines)])].join('\n')}\n`

const HEAD = [
  '\\set ON_ERROR_STOP on',
  '\\set AUTOCOMMIT on',
  '\\set QUIET on',
  '\\set ECHO none',
  '\\set VERBOSITY terse',
  '\\unset FETCH_COUNT',
  '\\timing off',
  '\\pset pager off',
  '\\pset format unaligned',
  '\\pset tuples_only on',
  '\\encoding UTF8',
]

/** As pg_dump writes it: by itself psql would take a name with a `=` in it for a list of settings. */
const connect = (database: string | undefined): readonly string[] => {
  if (database === undefined) return []
  const value = database.replaceAll('\\', '\\\\').replaceAll("'", "\\'")
  return [`\\connect -reuse-previous=on ${quoteIdentifier(`dbname='${value}'`)}`, '\\encoding UTF8']
}

const lines = (step: Step): readonly string[] => {
  if ('run' in step) return [`${step.run};`]
  return 'say' in step ? [`${step.say};`] : [step.generate, '\\gexec']
}

/** A plan's last words, where nobody is there to say them in another way. */
export const sayLine = (line: string): Step => ({ say: `select ${literal(line)}` })

/** No password is in the arguments, which everybody on the machine can read: they go by the environment. */
export const carryByPsql: Carry = async (plan, said, admin) => {
  const args = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1']
  const child = spawn('psql', [...args, ...(admin.url === undefined ? [] : [`--dbname=${admin.url}`])], {
    env: environmentFor(admin),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // psql may end before it has read everything; its exit code tells why.
  child.stdin.on('error', () => {})
  child.stdin.end(psqlScript(plan))
  const [output, complaints, code] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    }),
  ])
  said.push(...output.split('\n').filter((line) => line !== ''))
  if (code !== 0) throw new Error(readable(complaints) || `psql ended with ${code}`)
}

const environmentFor = ({ host, port, password, database }: Administrator): NodeJS.ProcessEnv => {
  // These are for us; psql has no use for them.
  const { NONSTICK_PASSWORD: _password, NONSTICK_ADMIN_URL: _url, NONSTICK_BACKEND: _backend, ...env } = process.env
  return {
    ...env,
    PGDATABASE: database,
    PGAPPNAME: SET_UP_NAME,
    ...(host === undefined ? {} : { PGHOST: host }),
    ...(port === undefined ? {} : { PGPORT: String(port) }),
    ...(password === undefined ? {} : { PGPASSWORD: password }),
  }
}

const textOf = async (stream: NodeJS.ReadableStream): Promise<string> => {
  stream.setEncoding('utf8')
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}

/** `psql:<stdin>:12: ERROR:  …` says where in a script that nobody sees. */
const readable = (complaints: string): string =>
  complaints
    .split('\n')
    .map((line) => line.replace(/^psql:<stdin>:\d+: /, '').replace(/^(ERROR|FATAL): +/, ''))
    .filter((line) => line.trim() !== '')
    .join('\n')
