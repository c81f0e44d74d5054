import { resolveCouchdbOptions } from '../../../src/backends/couchdb/options.js'
import { isHost } from '../../../src/backends/postgres/connection-string.js'
import { resolvePostgresOptions } from '../../../src/backends/postgres/options.js'
import { resolveOptions as resolveMemcachedOptions } from '../../../src/caches/memcached/options.js'
import { parseServers } from '../../../src/caches/memcached/servers.js'
import { readEnvironment } from '../../../src/environment/read.js'
import { KNOWN_NAMES } from '../../../src/environment/variables.js'
import { areOptions, isSessionStoreError, SessionStoreError } from '../../../src/errors.js'
import { memoryBackend, memoryCache } from '../../../src/memory.js'
import { resolveOptions } from '../../../src/store/options.js'
import { sealingOf } from '../../../src/store/sealing.js'
import { anyText, mutatedJson, SECRET } from '../mutate.js'
import { assertThat, type Parse, type Target, targetOf } from '../target.js'

const isConfig = (error: unknown): boolean => isSessionStoreError(error, 'E_CONFIG')
const bytesOf = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))

/** What one configuration means, in words that can be compared; a function is a function. */
const meaning = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => {
    if (inner instanceof Map) return [...inner]
    return typeof inner === 'function' ? 'a function' : typeof inner === 'bigint' ? String(inner) : inner
  })

/** A configuration means the same whenever it is read, and is read without a change to what was given. */
const twice =
  <Input>(read: Parse<Input, unknown>) =>
  (value: unknown, input: Input): void => {
    const before = bytesOf(input)
    const again = read(input)
    assertThat('what it meant before', meaning(again) === meaning(value))
    assertThat('what was given', Buffer.compare(before, bytesOf(input)) === 0)
  }

const URLS = [
  `postgres://user:${SECRET}@db.example:5432/shop?sslmode=disable&connect_timeout=5&application_name=x`,
  `postgresql://user:${SECRET}@[::1]:5433/shop?options=-c%20x%3Dy&channel_binding=prefer&target_session_attrs=any`,
  `socket:/var/run/postgresql?db=shop&client_encoding=utf8&password=${SECRET}`,
  '/var/run/postgresql shop',
]
const URL_TOKENS = [
  'postgres://',
  '@',
  ':',
  '/',
  '?',
  '#',
  '&',
  '=',
  '%',
  '%00',
  '%ff',
  '%zz',
  '[',
  ']',
  ',',
  'sslmode=verify-full',
  'ssl=',
  '&host=',
  '&port=99999',
  '\t',
  '\0',
]

const readUrl = (connectionString: string): ReturnType<typeof resolvePostgresOptions> =>
  resolvePostgresOptions({ connectionString }, {})

export const connectionStrings = targetOf<string, ReturnType<typeof readUrl>>({
  name: 'connection-strings',
  make: (chance) => anyText(chance, URLS, URL_TOKENS),
  bytesOf,
  parse: readUrl,
  check: (resolved, text) => {
    twice(readUrl)(resolved, text)
    if (!('open' in resolved.source)) return
    const { host, port, ssl } = resolved.source.open
    assertThat('one host', isHost(host))
    assertThat('a port', Number.isInteger(port) && port >= 1 && port <= 65_535)
    assertThat('TLS that is decided', typeof ssl === 'boolean' || typeof ssl === 'object')
  },
  refuses: isConfig,
  cut: { source: { open: { host: 'h', port: 543_210 } } } as unknown as ReturnType<typeof readUrl>,
})

const LISTS = [
  'cache1:11211,cache2',
  'memcacheds://[::1]:11212',
  'unix:/run/memcached.sock',
  `user:${SECRET}@h:1`,
  '10.0.0.1:11211',
]

export const serverLists = targetOf<unknown, ReturnType<typeof parseServers>>({
  name: 'server-lists',
  make: (chance) =>
    chance.oneIn(3)
      ? mutatedJson(chance, [['cache1:11211', 1], 'cache2', [`u:${SECRET}@h`, 2]])
      : anyText(chance, LISTS, [
          ',',
          ':',
          '://',
          '@',
          '[',
          ']',
          '%',
          '=',
          '/',
          'memcacheds://',
          '::1',
          '::ffff:1.2.3.4',
        ]),
  bytesOf,
  parse: parseServers,
  check: (servers, given) => {
    twice(parseServers)(servers, given)
    assertThat('at least one server', servers.length > 0)
    for (const { address, weight } of servers) {
      assertThat('a weight', weight > 0 && Number.isFinite(weight))
      // An address is written so that it means itself.
      const [again] = parseServers([address])
      assertThat('an address that means itself', again?.address === address)
    }
  },
  refuses: isConfig,
  cut: [],
})

const TEXTS: readonly string[] = [
  ...[
    'memory',
    'cache1:11211=2',
    `memcached://u:${SECRET}@cache1`,
    `postgres://u:${SECRET}@h/d`,
    `couchdb+https://u:${SECRET}@h:6984`,
  ],
  ...['12', '90s', '7d', 'yes', 'off', 'a,b', '1e9', '999999999999999d', '/nowhere/there.pem', SECRET, 'x'.repeat(43)],
]
const VARIABLE_NAMES: readonly string[] = [
  ...KNOWN_NAMES,
  'DATABASE_URL',
  'NONSTICK_CASHE',
  'NONSTICK_SERVICE_HOST',
  'PATH',
  '__proto__',
  'constructor',
]

type Environment = Readonly<Record<string, string>>

export const environment = targetOf<Environment, ReturnType<typeof readEnvironment>>({
  name: 'environment',
  make: (chance) => {
    const entries: [string, string][] = chance.oneIn(2)
      ? [
          ['NONSTICK_CACHE', 'cache1:11211'],
          ['NONSTICK_BACKEND', chance.pick([`postgres://u:${SECRET}@h/d`, `couchdb://u:${SECRET}@h`])],
        ]
      : []
    for (let more = 1 + chance.below(3); more > 0; more -= 1)
      entries.push([
        chance.pick(VARIABLE_NAMES),
        chance.oneIn(2) ? chance.pick(TEXTS) : anyText(chance, TEXTS, ['=', ',', '://', '@', '%']),
      ])
    return Object.fromEntries(entries)
  },
  bytesOf,
  parse: (env) => readEnvironment(env),
  check: (read, env) => {
    twice((given: Environment) => readEnvironment(given))(read, env)
    for (const options of Object.values(read.options))
      assertThat('options that are an object’s own', Object.getPrototypeOf(options) === Object.prototype)
    assertThat(
      'a place of a known kind',
      [undefined, 'memory', 'memcached'].includes(read.cache?.kind) &&
        [undefined, 'memory', 'postgres', 'couchdb'].includes(read.backend?.kind),
    )
  },
  refuses: isConfig,
  cut: { cache: { kind: 'mem' }, options: {}, backend: undefined, variables: new Map() } as unknown as ReturnType<
    typeof readEnvironment
  >,
})

/** What a config module exports, or a program gives: options of the store and of each tier. */
const SAMPLES: Readonly<Record<'store' | 'memcached' | 'postgres' | 'couchdb' | 'sealing', object>> = {
  store: {
    namespace: 'shop',
    app: 'web',
    idleTtlMs: 60_000,
    absoluteTtlMs: 600_000,
    maxStaleCount: 5,
    persistOn: 'change',
    conflict: { cart: 'append' },
    deadlineMs: 9_000,
    onBackendDown: 'serve',
  },
  memcached: {
    servers: 'cache1:11211',
    username: 'u',
    password: SECRET,
    maxInFlight: 5,
    maxValueBytes: 5_000,
    tls: { servername: 'h' },
  },
  postgres: {
    host: 'h',
    port: 5432,
    user: 'u',
    password: SECRET,
    schema: 's',
    table: 't',
    maxDataBytes: 5_000,
    ssl: { rejectUnauthorized: true },
  },
  couchdb: {
    url: [`http://u:${SECRET}@h:5984`, 'http://h2:5984'],
    absoluteTtlMs: 5_000,
    database: 'x-{yyyy}-{mm}',
    members: ['a'],
    replicas: 1,
    maxDocumentBytes: 5_000,
  },
  sealing: { keys: ['A'.repeat(43), 'B'.repeat(43)], acceptUnsealed: true },
}
const KINDS = Object.keys(SAMPLES) as (keyof typeof SAMPLES)[]

interface Given {
  readonly kind: keyof typeof SAMPLES
  readonly options: unknown
}

const tiers = { cache: memoryCache(), backend: memoryBackend() }

const resolve = ({ kind, options }: Given): unknown => {
  switch (kind) {
    case 'store':
      // A module's export is looked at before anything is read from it.
      if (!areOptions(options)) throw new SessionStoreError('E_CONFIG', 'Expected store options')
      return resolveOptions({ allowEmbedded: true, ...options, ...tiers } as never)
    case 'memcached':
      return resolveMemcachedOptions(options as never)
    case 'postgres':
      return resolvePostgresOptions(options as never, {})
    case 'couchdb':
      return resolveCouchdbOptions(options as never)
    case 'sealing':
      return sealingOf(options as never, { randomBytes: (size) => Buffer.alloc(size) })
  }
}

export const options: Target = targetOf<Given, unknown>({
  name: 'options',
  make: (chance) => {
    const kind = chance.pick(KINDS)
    return { kind, options: mutatedJson(chance, SAMPLES[kind]) }
  },
  bytesOf,
  parse: resolve,
  check: (resolved, given) => {
    assertThat(
      'options that are complete',
      resolved !== null && (resolved === undefined || typeof resolved === 'object'),
    )
    twice(resolve)(resolved, given)
  },
  refuses: isConfig,
  cut: 'half of them',
})
