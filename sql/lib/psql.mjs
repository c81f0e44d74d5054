// Carries a plan to the server by psql, or on paper.
import { spawn, spawnSync } from 'node:child_process'
import { identifier, literal } from './names.mjs'

/** Whether there is a psql that works. Debian's postgresql-client-common has one that only asks for a client. */
export const psqlIsThere = () => spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0

/**
 * The whole plan as a script for psql, which brings its own settings along: it may be fed to a psql whose user
 * has a psqlrc, and which was called without any option.
 */
export const psqlScript = (plan) =>
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
const connect = (database) => {
  if (database === undefined) return []
  const value = database.replaceAll('\\', '\\\\').replaceAll("'", "\\'")
  return [`\\connect -reuse-previous=on ${identifier(`dbname='${value}'`)}`, '\\encoding UTF8']
}

const lines = ({ run, say, generate }) => {
  if (run !== undefined) return [`${run};`]
  return say === undefined ? [generate, '\\gexec'] : [`${say};`]
}

/** A plan's last words, where nobody is there to say them in another way. */
export const sayLine = (line) => ({ say: `select ${literal(line)}` })

/**
 * Adds the lines that were said to `said`, also when it rejects with psql's own complaint. No password is in the arguments,
 * which everybody on the machine can read: they go by the environment.
 */
export const carryByPsql = async (plan, said, { url, host, port, password, database }) => {
  const env = { ...process.env, PGDATABASE: database, PGAPPNAME: 'nonstick sql/reload' }
  if (host !== undefined) env.PGHOST = host
  if (port !== undefined) env.PGPORT = String(port)
  if (password !== undefined) env.PGPASSWORD = password
  // These are for us; psql has no use for them.
  delete env.NONSTICK_PASSWORD
  delete env.NONSTICK_ADMIN_URL
  const args = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', ...(url === undefined ? [] : [`--dbname=${url}`])]
  const child = spawn('psql', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  // psql may end before it has read everything; its exit code tells why.
  child.stdin.on('error', () => {})
  child.stdin.end(psqlScript(plan))
  const [output, complaints, code] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    }),
  ])
  said.push(...output.split('\n').filter((line) => line !== ''))
  if (code !== 0) throw new Error(readable(complaints) || `psql ended with ${code}`)
}

const textOf = async (stream) => {
  stream.setEncoding('utf8')
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

/** `psql:<stdin>:12: ERROR:  …` says where in a script that nobody sees. */
const readable = (complaints) =>
  complaints
    .split('\n')
    .map((line) => line.replace(/^psql:<stdin>:\d+: /, '').replace(/^(ERROR|FATAL): +/, ''))
    .filter((line) => line.trim() !== '')
    .join('\n')
