import { Command, Option } from 'commander'
import { RedisBackend } from '../../backends/redis/redis.js'
import { readEnvironment } from '../../environment/read.js'
import { configModule, environmentWith, inFlags, storeOptions, withJson } from '../configuration.js'
import { UsageError } from '../exits.js'
import { report } from '../output.js'
import { couchdbScript } from '../setup/couchdb.js'
import { type GivenSetUp, resolveSetUp } from '../setup/options.js'
import { setUpPostgres } from '../setup/postgres.js'
import { version } from '../version.js'

interface Given extends GivenSetUp {
  readonly backend?: string
  readonly config?: string
}

const EXAMPLES = `
Run it as the postgres user, or give it the URL of an administrator:
  sudo -u postgres npx nonstick setup
  npx nonstick setup --print | sudo -u postgres psql
  NONSTICK_ADMIN_URL=postgres://postgres:...@db.example.net/postgres npx nonstick setup
  NONSTICK_BACKEND=couchdb+https://admin:...@couch.example.net:6984 npx nonstick setup
  NONSTICK_BACKEND=redis://:...@redis.example.net:6379 npx nonstick setup

docs/set-up.md tells all of it.`

const option = (heading: string, flags: string, description: string): Option =>
  new Option(flags, description).helpGroup(heading)

const WHAT = 'What to make in PostgreSQL (in brackets the environment variable, then the default):'
const WHERE = 'Where, as the administrator:'
const HOW = 'How:'

/** `nonstick setup`: makes what the backend needs and lacks. May run twice, and at once in several places. */
export const setupCommand = (): Command => {
  const command = new Command('setup')
    .summary('make the table of PostgreSQL, or the databases of CouchDB, or look whether a Redis is fit')
    .description(
      'Makes what the backend needs, as far as it is missing, and brings an older table up to date. May run twice, and at ' +
        'once in several places. For PostgreSQL that is a role, a database, a schema and a table; for CouchDB (where ' +
        '--backend or NONSTICK_BACKEND names one) the databases of the months. A Redis needs nothing to be made, and is ' +
        'looked at.',
    )
    .version(version(), '--version', 'print the version')
  for (const each of [
    option(WHAT, '--database <name>', 'the database; --db is the same [NONSTICK_DATABASE, nonstick]'),
    option(WHAT, '--db <name>', 'the same as --database').hideHelp(),
    option(WHAT, '--role <name>', 'whom the program connects as; --user is the same [NONSTICK_ROLE, nonstick]'),
    option(WHAT, '--user <name>', 'the same as --role').hideHelp(),
    option(WHAT, '--schema <name>', 'the schema [NONSTICK_SCHEMA, nonstick]'),
    option(WHAT, '--table <name>', 'the table of sessions [NONSTICK_TABLE, session]'),
    option(
      WHAT,
      '--partitions <number>',
      'in how many parts a new table of sessions is made [NONSTICK_POSTGRES_PARTITIONS, one]',
    ),
    option(WHAT, '--password', "ask for the role's password, or read it from standard input if that is no terminal"),
    option(
      WHAT,
      '--password-file <file>',
      'read it from the first line of a file [NONSTICK_PASSWORD, or else a new role gets a random one, shown once; ' +
        'the password of a role that is there changes only if one is given]',
    ),
    option(
      WHERE,
      '--backend <url>',
      'what the program connects to: its database, role, password and server [NONSTICK_BACKEND]',
    ),
    option(
      WHERE,
      '--url <url>',
      'the server, as a URL of the administrator [NONSTICK_ADMIN_URL]; a password belongs in the variable: arguments can be seen by others',
    ),
    option(WHERE, '--host <name>', 'the server [PGHOST and the other PG* variables; else this machine, as psql would]'),
    option(WHERE, '--port <number>', 'the port of the server [PGPORT]'),
    option(
      WHERE,
      '--config <file>',
      'a module with store options: sets up its backend, as the user that it connects as',
    ),
    option(HOW, '--print', 'write a script to standard output, for psql or for sh and curl, and touch nothing'),
    option(HOW, '--via <how>', 'psql or node [psql if there is one, else the package pg]').choices(['psql', 'node']),
    option(HOW, '--drop', 'delete the database first, with all sessions; asks for its name to be typed'),
    option(HOW, '--yes', 'with --drop: do not ask'),
  ])
    command.addOption(each)
  return withJson(command)
    .addHelpText('after', EXAMPLES)
    .action(async (given: Given) => setUp(given))
}

const setUp = async (given: Given): Promise<void> => {
  const config = given.config ?? process.env['NONSTICK_CONFIG']
  if (config !== undefined && given.backend === undefined) return setUpOwn(config, given)
  const backend = backendNamed(given)
  if (backend?.kind === 'couchdb') return setUpCouchdb(given)
  if (backend?.kind === 'redis') return setUpRedis(given)
  if (backend?.kind === 'memory')
    throw new UsageError('Expected a backend that is to be set up, got `memory`, which needs nothing')
  await setUpPostgres(resolveSetUp(given, process.env, backend?.connectionString))
}

/** `DATABASE_URL` is not looked at: it may lead to a database that is somebody else's to make. */
const backendNamed = (given: Given): ReturnType<typeof readEnvironment>['backend'] => {
  const text = given.backend ?? process.env['NONSTICK_BACKEND']
  if (text === undefined) return undefined
  try {
    return readEnvironment({ NONSTICK_BACKEND: text }, { backendIsGiven: true }).backend
  } catch (error) {
    throw inFlags(error, given)
  }
}

const setUpCouchdb = async (given: Given): Promise<void> => {
  refuseForOthers(given)
  // The cache has no part in this, so that none need be named.
  const env = environmentWith(given, { ...process.env, NONSTICK_CACHE: 'memory', NODE_ENV: undefined })
  const { options, read } = await storeOptions('setup', {}, env)
  const { backend } = options
  if (backend === undefined || read.backend?.kind !== 'couchdb') return
  const { script, databases } = couchdbScript(read, options)
  if (given.print === true) {
    process.stdout.write(script)
    return backend.close()
  }
  try {
    await backend.setUp()
  } finally {
    await backend.close()
  }
  report(given, { backend: 'couchdb', databases }, () => [`the databases are there: ${databases.join(', ')}`])
}

/** There is nothing to make. A server that cannot be used is an error; what is weak about one that can is told. */
const setUpRedis = async (given: Given): Promise<void> => {
  refuseForOthers(given)
  if (given.print === true)
    throw new UsageError('Expected --print without a Redis: it needs nothing that could be written down')
  const env = environmentWith(given, { ...process.env, NONSTICK_CACHE: 'memory', NODE_ENV: undefined })
  const { options } = await storeOptions('setup', {}, env)
  const { backend } = options
  if (backend === undefined) return
  try {
    await backend.setUp()
    const servers = (await RedisBackend.lookAt(backend)) ?? []
    const weak = servers.flatMap(({ tier, weaknesses }) =>
      weaknesses.map(({ check, severity, finding, cure }) => ({ check, severity, tier, finding, cure })),
    )
    report(given, { backend: 'redis', findings: weak }, () => [
      'redis needs nothing to be made',
      ...weak.map(({ tier, finding, cure }) => `${tier}: ${finding} ${cure}`),
    ])
  } finally {
    await backend.close()
  }
}

/** The backend of a config module is set up as the user that it connects as: only it knows how to. */
const setUpOwn = async (config: string, given: Given): Promise<void> => {
  refuseForOthers(given)
  if (given.print === true)
    throw new UsageError('Expected --print without --config: a backend that is a module says nothing of its statements')
  const { backend } = await configModule(config)
  if (backend === undefined)
    throw new UsageError('Expected the config module to have a `backend`, which is what is set up')
  try {
    await backend.setUp()
  } finally {
    await backend.close()
  }
  report(given, { backend: backend.name }, () => [`${backend.name} has what the sessions need`])
}

/** What only PostgreSQL has would be passed over in silence. */
const refuseForOthers = (given: Given): void => {
  for (const flag of [
    'database',
    'db',
    'role',
    'user',
    'partitions',
    'password',
    'passwordFile',
    'url',
    'host',
    'port',
    'via',
    'drop',
  ] as const)
    if (given[flag] !== undefined)
      throw new UsageError(
        `Expected --${flag === 'passwordFile' ? 'password-file' : flag} for PostgreSQL only: what is to be set up here is another backend`,
      )
}
