import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { resolveOptions } from '../../src/caches/memcached/options.js'
import { memcachedOptionsOf } from '../../src/environment/tiers.js'
import { KNOWN_NAMES, VARIABLES } from '../../src/environment/variables.js'
import { optionsFromEnv } from '../../src/from-env.js'
import { type FromEnvOptions, isSessionStoreError, sessionStoreFromEnv } from '../../src/index.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { quietRuntime } from '../support/calendar.js'
import { keyNamed } from '../support/sealing.js'

type Env = Readonly<Record<string, string | undefined>>

/** Tiers of which none is connected to before the first call. */
const TIERS = { NONSTICK_CACHE: 'cache1:11211,cache2:11211', NONSTICK_BACKEND: 'postgres://app@db/app' }

/** What is refused, in words. */
const refusal = async (env: Env, options: FromEnvOptions<Record<string, unknown>> = {}): Promise<string> => {
  try {
    await (await sessionStoreFromEnv({ ...options, env })).close()
  } catch (error) {
    if (isSessionStoreError(error, 'E_CONFIG')) return error.message
    throw error
  }
  return 'nothing was refused'
}

const optionsOf = async (env: Env, options: FromEnvOptions<Record<string, unknown>> = {}) =>
  (await optionsFromEnv({ ...options, env: { ...TIERS, ...env } })).options

describe('sessionStoreFromEnv', () => {
  test('makes a store that works', async () => {
    const sessions = await sessionStoreFromEnv({
      env: { NONSTICK_CACHE: 'memory', NONSTICK_BACKEND: 'memory', NONSTICK_NAMESPACE: 'shop' },
      runtime: quietRuntime,
    })
    const { id } = await sessions.create({ cart: ['tea'] })
    expect((await sessions.load(id))?.data).toEqual({ cart: ['tea'] })
    await sessions.close()
  })

  test.each([
    ['nothing', {}],
    ['an empty text', { DATABASE_URL: '' }],
    ['blanks', { DATABASE_URL: '  ' }],
  ])('refuses to look for a database on this machine where DATABASE_URL is %s', async (_what, env) => {
    const said = await refusal({ NONSTICK_CACHE: 'cache1', ...env })
    expect(said).toContain('NONSTICK_BACKEND')
    expect(said).toContain('DATABASE_URL')
  })

  test('takes DATABASE_URL where NONSTICK_BACKEND is not there, and only then', async () => {
    const { NONSTICK_CACHE } = TIERS
    expect(await refusal({ NONSTICK_CACHE, DATABASE_URL: 'postgres://app@db/app' })).toBe('nothing was refused')
    expect(await refusal({ NONSTICK_CACHE, DATABASE_URL: 'mysql://app@db/app' })).toContain('DATABASE_URL')
    expect(await refusal({ ...TIERS, DATABASE_URL: 'mysql://app@db/app' })).toBe('nothing was refused')
    expect(await refusal({ NONSTICK_CACHE, NONSTICK_BACKEND: '', DATABASE_URL: 'postgres://db/app' })).toContain(
      'NONSTICK_BACKEND',
    )
  })

  test('refuses to go without a cache', async () => {
    expect(await refusal({ NONSTICK_BACKEND: TIERS.NONSTICK_BACKEND })).toContain('NONSTICK_CACHE')
  })

  test.each([
    ['postgres', 'postgres://app@db/app'],
    ['postgres', 'postgresql://app@db/app'],
    ['couchdb', 'http://db:5984'],
    ['couchdb', 'couchdb+https://ann:secret@db:6984'],
    ['couchdb', 'http://db1:5984,http://db2:5984'],
    ['redis', 'redis://ann:secret@db:6379/2'],
    ['redis', 'rediss://:secret@db'],
    ['redis', 'redis+cluster://db1:7000,db2:7001'],
    ['redis', 'redis+sentinel://:secret@watch1,watch2/mymaster/1'],
    ['redis', 'unix:///run/redis/redis.sock?db=1'],
    ['memory', 'memory'],
  ])('makes a backend %s of %s', async (name, url) => {
    const { backend } = await optionsOf({ NONSTICK_BACKEND: url })
    expect(backend?.name).toBe(name)
    await backend?.close()
  })

  test.each([
    ['cache1:11211', [['cache1:11211', 1]]],
    [
      'cache1, cache2:11212',
      [
        ['cache1', 1],
        ['cache2:11212', 1],
      ],
    ],
    [
      'cache1:11211=2,cache2:11211=0.5',
      [
        ['cache1:11211', 2],
        ['cache2:11211', 0.5],
      ],
    ],
    [
      'memcached://ann:se%40cret@cache1:11211,cache2:11211=2/',
      [
        ['cache1:11211', 1],
        ['cache2:11211', 2],
      ],
    ],
    [
      'memcacheds://ann:se%40cret@cache1:11211,cache2=2',
      [
        ['memcacheds://cache1:11211', 1],
        ['memcacheds://cache2', 2],
      ],
    ],
    [
      'memcacheds://cache1,MEMCACHEDS://cache2=2',
      [
        ['memcacheds://cache1', 1],
        ['MEMCACHEDS://cache2', 2],
      ],
    ],
    ['/run/memcached.sock', [['/run/memcached.sock', 1]]],
    ['[::1]:11211', [['[::1]:11211', 1]]],
  ])('reads the servers of the cache from %s', async (text, servers) => {
    const { read } = await optionsFromEnv({ env: { ...TIERS, NONSTICK_CACHE: text } })
    expect(read.cache).toMatchObject({ kind: 'memcached', servers })
    if (text.includes('@')) expect(read.cache).toMatchObject({ login: { username: 'ann', password: 'se@cret' } })
  })

  test('gives the keys of sealing, which join what the call gives', async () => {
    const keys = ['a', 'b'].map((name) => Buffer.from(keyNamed(name)).toString('base64'))
    const options = await optionsOf(
      { NONSTICK_SEALING_KEYS: keys.join(', '), NONSTICK_SEALING_ACCEPT_UNSEALED: 'yes' },
      { sealing: { keys: [keyNamed('c')], writeUnsealed: true } },
    )
    expect(options.sealing).toEqual({ keys, acceptUnsealed: true, writeUnsealed: true })
  })

  test('names the variable of a key that is none, and shows nothing of it', async () => {
    const key = Buffer.from(keyNamed('a')).toString('hex')
    const short = await refusal({ ...TIERS, NONSTICK_SEALING_KEYS: `${key},${key.slice(2)}` })
    expect(short).toContain('`NONSTICK_SEALING_KEYS` to be a key of 32 bytes')
    const users = await refusal({ ...TIERS, NONSTICK_SEALING_KEYS: key, NONSTICK_SEALING_HASH_USER_IDS: 'pass' })
    expect(users).toContain('`NONSTICK_SEALING_HASH_USER_IDS` to be a key of 32 bytes')
    const alone = await refusal({ ...TIERS, NONSTICK_SEALING_ACCEPT_UNSEALED: 'yes' })
    expect(alone).toContain('`NONSTICK_SEALING_KEYS` to be 1 to 16 keys')
    for (const message of [short, users, alone]) {
      expect(message).not.toContain(key.slice(0, 8))
      expect(message).not.toContain('pass')
    }
  })

  test('gives a number, a duration, a yes and a word', async () => {
    const options = await optionsOf({
      NONSTICK_MAX_STALE_COUNT: '5',
      NONSTICK_IDLE_TTL_MS: '12h',
      NONSTICK_ABSOLUTE_TTL_MS: '7d',
      NONSTICK_MAX_STALE_MS: '30000',
      NONSTICK_ALLOW_EMBEDDED: 'Yes',
      NONSTICK_PERSIST_ON: 'identify',
      NONSTICK_CODEC: 'json',
    })
    expect(options).toMatchObject({
      maxStaleCount: 5,
      idleTtlMs: 43_200_000,
      absoluteTtlMs: 604_800_000,
      maxStaleMs: 30_000,
      allowEmbedded: true,
      persistOn: 'identify',
      codec: { name: 'json' },
    })
  })

  test.each([
    ...['y', 'yes', 't', 'true', 'on', '1'].map((word) => [word, true] as const),
    ...['N', 'No', 'F', 'FALSE', 'off', '0'].map((word) => [word, false] as const),
  ])('takes %s for %s', async (word, value) => {
    expect(await optionsOf({ NONSTICK_ALLOW_EMBEDDED: word })).toMatchObject({ allowEmbedded: value })
  })

  test.each([
    ['NONSTICK_MAX_STALE_COUNT', 'ten'],
    ['NONSTICK_MAX_STALE_COUNT', '1e3'],
    ['NONSTICK_MAX_STALE_COUNT', '0x10'],
    ['NONSTICK_MAX_STALE_COUNT', '10k'],
    ['NONSTICK_MAX_STALE_COUNT', '-1'],
    ['NONSTICK_MAX_STALE_COUNT', '1.5'],
    ['NONSTICK_MAX_STALE_COUNT', '0'],
    ['NONSTICK_MAX_STALE_COUNT', ''],
    ['NONSTICK_IDLE_TTL_MS', '30 minutes'],
    ['NONSTICK_IDLE_TTL_MS', '99999999999d'],
    ['NONSTICK_IDLE_TTL_MS', '5'],
    ['NONSTICK_ALLOW_EMBEDDED', 'perhaps'],
    ['NONSTICK_PERSIST_ON', 'never'],
    ['NONSTICK_CODEC', 'pickle'],
    ['NONSTICK_NAMESPACE', 'two words'],
    ['NONSTICK_POSTGRES_MAX_CONNECTIONS', '0'],
    ['NONSTICK_TABLE', 'a\tb'],
    ['NONSTICK_MEMCACHED_OPERATION_TIMEOUT_MS', '0'],
    ['NONSTICK_CACHE', 'cache1:99999'],
    ['NONSTICK_CACHE', 'cache1=0'],
    ['NONSTICK_CACHE', 'redis://cache1'],
    ['NONSTICK_CACHE', 'cache1,cache1'],
    ['NONSTICK_CACHE', 'ann:hunter2@cache1'],
    ['NONSTICK_CACHE', 'memcached://hunter2@cache1'],
    ['NONSTICK_CACHE', 'memcacheds://hunter2@cache1'],
    ['NONSTICK_CACHE', 'memcacheds:///run/memcached.sock'],
    ['NONSTICK_CACHE', 'memcacheds://cache1,memcached://cache2'],
    ['NONSTICK_MEMCACHED_TLS', 'perhaps'],
    ['NONSTICK_MEMCACHED_TLS_CA', '/nowhere/hunter2.pem'],
    ['NONSTICK_MEMCACHED_TLS_CA', fileURLToPath(new URL('../../package.json', import.meta.url))],
    ['NONSTICK_MEMCACHED_TLS_SERVERNAME', '10.0.0.1'],
    ['NONSTICK_MEMCACHED_TLS_MIN_VERSION', 'TLSv1.1'],
    ['NONSTICK_BACKEND', 'mysql://ann:hunter2@db/app'],
    ['NONSTICK_BACKEND', 'postgres://ann:hunter2@/x@db/app'],
    ['NONSTICK_BACKEND', 'postgres://ann:hunter2@db/app?sslmode=perhaps'],
    ['NONSTICK_BACKEND', 'http://ann:hunter2@db:5984/?x=hunter2'],
  ])('refuses %s=%s, naming it and showing nothing of it', async (name, text) => {
    const said = await refusal({ ...TIERS, [name]: text })
    expect(said).toMatch(
      name === 'NONSTICK_BACKEND' && text.includes('sslmode') ? /sslmode/ : new RegExp(`\`${name}\``),
    )
    expect(said).not.toContain('hunter2')
    if (text.length > 3) expect(said).not.toContain(text)
  })

  test.each([
    ['NONSTICK_MAX_STALE_COUT', 'NONSTICK_MAX_STALE_COUNT'],
    ['NONSTICK_IDLE_TTL', 'NONSTICK_IDLE_TTL_MS'],
    ['NONSTICK_BACKENT', 'NONSTICK_BACKEND'],
  ])('refuses the unknown %s, and says which was meant', async (name, meant) => {
    expect(await refusal({ ...TIERS, [name]: 'hunter2' })).toBe(
      `Expected the environment variable \`${name}\` to be left out: there is no such variable (did you mean \`${meant}\`?)`,
    )
  })

  test('lets pass what Kubernetes tells of a service called nonstick, and what its own command reads', async () => {
    expect(
      await refusal({
        ...TIERS,
        NONSTICK_SERVICE_HOST: '10.0.0.1',
        NONSTICK_SERVICE_PORT_HTTP: '80',
        NONSTICK_PORT: 'tcp://10.0.0.1:80',
        NONSTICK_PORT_80_TCP_ADDR: '10.0.0.1',
        NONSTICK_WEB_SERVICE_HOST: '10.0.0.2',
        NONSTICK_ADMIN_URL: 'postgres://postgres@db/postgres',
        NONSTICK_ROLE: 'shop',
      }),
    ).toBe('nothing was refused')
  })

  test('refuses an option of a tier that is not there, which nobody would read', async () => {
    expect(await refusal({ ...TIERS, NONSTICK_COUCHDB_AUTH: 'cookie' })).toContain('`NONSTICK_COUCHDB_AUTH`')
    expect(await refusal({ ...TIERS, NONSTICK_BACKEND: 'memory', NONSTICK_SCHEMA: 'shop' })).toContain(
      '`NONSTICK_SCHEMA`',
    )
  })

  test('names the variables where two options do not fit each other', async () => {
    const said = await refusal({ ...TIERS, NONSTICK_IDLE_TTL_MS: '2d', NONSTICK_ABSOLUTE_TTL_MS: '1d' })
    expect(said).toContain('`NONSTICK_ABSOLUTE_TTL_MS`')
    expect(said).toContain('`NONSTICK_IDLE_TTL_MS`')
  })

  test('names the variable that is missing where one of two is given', async () => {
    expect(await refusal({ ...TIERS, NONSTICK_MEMCACHED_PASSWORD: 'hunter2' })).toContain(
      '`NONSTICK_MEMCACHED_USERNAME`',
    )
    const both = { ...TIERS, NONSTICK_CACHE: 'memcached://ann:hunter2@cache1', NONSTICK_MEMCACHED_USERNAME: 'ann' }
    expect(await refusal(both)).toMatch(/`NONSTICK_MEMCACHED_USERNAME` to be left out .*, got a string$/)
    const { NONSTICK_MEMCACHED_USERNAME: _, ...withPassword } = { ...both, NONSTICK_MEMCACHED_PASSWORD: 'hunter2' }
    expect(await refusal(withPassword)).toMatch(/`NONSTICK_MEMCACHED_PASSWORD` to be left out .*, got a string$/)
  })

  test('asks for TLS by `memcacheds://` or by a variable, and not by both ways and against it', async () => {
    const tlsOf = async (env: Env): Promise<unknown> => {
      const { read } = await optionsFromEnv({ env: { ...TIERS, ...env } })
      return read.cache?.kind === 'memcached'
        ? resolveOptions(memcachedOptionsOf(read, read.cache) as never).tls
        : 'none'
    }
    expect(await tlsOf({})).toBeUndefined()
    expect(await tlsOf({ NONSTICK_MEMCACHED_TLS: 'no' })).toBeUndefined()
    expect(await tlsOf({ NONSTICK_MEMCACHED_TLS: 'yes' })).toEqual({})
    expect(await tlsOf({ NONSTICK_CACHE: 'memcacheds://cache1' })).toEqual({})
    const named = {
      NONSTICK_MEMCACHED_TLS_SERVERNAME: 'cache.example',
      NONSTICK_MEMCACHED_TLS_REJECT_UNAUTHORIZED: 'no',
    }
    expect(await tlsOf(named)).toEqual({ servername: 'cache.example', rejectUnauthorized: false })
    for (const env of [{ ...named }, { NONSTICK_CACHE: 'memcacheds://cache1' }])
      expect(await refusal({ ...TIERS, ...env, NONSTICK_MEMCACHED_TLS: 'false' })).toContain('`NONSTICK_MEMCACHED_TLS`')
    const key = await refusal({ ...TIERS, NONSTICK_MEMCACHED_TLS_PASSPHRASE: 'hunter2' })
    expect(key).toContain('`NONSTICK_MEMCACHED_TLS_KEY`')
    expect(key).not.toContain('hunter2')
  })

  test('reads a certificate from its file at each connection, so that a renewed one is taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nonstick-env-'))
    const file = join(folder, 'ca.pem')
    try {
      writeFileSync(file, '-----BEGIN CERTIFICATE-----\nfirst')
      const { read } = await optionsFromEnv({ env: { ...TIERS, NONSTICK_MEMCACHED_TLS_CA: file } })
      const give = read.options.memcached['tls.ca'] as () => string
      expect(give()).toContain('first')
      writeFileSync(file, '-----BEGIN CERTIFICATE-----\nsecond')
      expect(give()).toContain('second')
      rmSync(file)
      expect(give()).toContain('second')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('joins what the call gives, and counts the environment more', async () => {
    const identify = (): string => 'ann'
    const options = await optionsOf(
      { NONSTICK_MAX_STALE_COUNT: '5' },
      { identify, maxStaleCount: 7, maxStaleMs: 9_000 },
    )
    expect(options).toMatchObject({ identify, maxStaleCount: 5, maxStaleMs: 9_000 })
    const backend = memoryBackend({ runtime: quietRuntime })
    const cache = memoryCache({ runtime: quietRuntime })
    // DATABASE_URL is another database's then.
    expect((await optionsFromEnv({ cache, backend, env: { DATABASE_URL: 'mysql://db' } })).options).toMatchObject({
      cache,
      backend,
    })
    expect(await refusal(TIERS, { maxStaleCount: 'ten' } as never)).toContain('`maxStaleCount`')
    expect(await refusal(TIERS, { maxStale: 10 } as never)).toContain('`maxStale`')
  })

  test('asks twice before production runs on tiers in this process', async () => {
    const env = { NONSTICK_CACHE: 'memory', NONSTICK_BACKEND: 'memory', NODE_ENV: 'production' }
    expect(await refusal(env)).toContain('NONSTICK_ALLOW_EMBEDDED')
    expect(await refusal({ ...env, NONSTICK_ALLOW_EMBEDDED: 'true' })).toBe('nothing was refused')
  })

  test('has a variable for each option that a text can give, each of its own', () => {
    const names = VARIABLES.map(({ name }) => name)
    expect(names.length).toBeGreaterThan(40)
    expect(new Set(names).size).toBe(names.length)
    const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
    expect([...KNOWN_NAMES].filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })
})
