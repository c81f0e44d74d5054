import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { NonstickStore } from '../src/adapters/express.js'
import { type PostgresPool, postgres } from '../src/backends/postgres/index.js'
import { memcached } from '../src/caches/memcached/index.js'
import { jsonCodec } from '../src/codecs/index.js'
import type { StoreEventName } from '../src/contract/events.js'
import type { SessionStore } from '../src/contract/session-store.js'
import { createSessionStore } from '../src/create-session-store.js'
import { isSessionStoreError } from '../src/errors.js'
import { memoryBackend, memoryCache } from '../src/memory.js'
import type { StoreOptions } from '../src/store/options.js'
import { couchdb } from './backends/couchdb/backend.js'
import { clusterForThisFile } from './backends/postgres/cluster.js'
import { quietRuntime } from './support/calendar.js'
import { textsIn } from './support/texts.js'

/** Each kind in a spelling of its own: one like a word of a sentence, one that could pass for a code or a name. */
const SECRETS = ['T0KEN-5ECRET of the vault', 'hunter2', 'ann@example.com', 'recognisableName', '4111111111111111']
const [PHRASE = '', WORD = '', ADDRESS = '', NAME = '', CARD = ''] = SECRETS

const EVENTS: readonly StoreEventName[] = ['fault', 'breaker', 'damaged', 'flush', 'abandoned']

const cluster = clusterForThisFile()

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A server of the text of which nothing is known but what `talk` does. */
const serverThat = async (talk: (socket: Socket) => void): Promise<number> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    talk(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** As much of a PostgreSQL as asks whoever comes for a password in the clear. */
const askingForPassword = (socket: Socket): void =>
  void socket.once('data', () => socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3])))

/** All that a store says over a few calls that fail: errors as they are logged, events, health and counters. */
const said = async (options: Partial<StoreOptions<Record<string, unknown>>>, data: Record<string, unknown> = {}) => {
  const runtime = quietRuntime
  const store: SessionStore<Record<string, unknown>> = createSessionStore({
    cache: memoryCache({ runtime }),
    backend: memoryBackend({ runtime }),
    runtime,
    ...options,
  })
  const events: unknown[] = []
  for (const name of EVENTS) store.on(name, (event) => events.push({ name, event }))
  const errors: unknown[] = []
  const calls = [
    () => store.create(data),
    () => store.put('an-id-of-its-own', data),
    () => store.load('an-id-of-its-own'),
    () => store.destroy('an-id-of-its-own'),
    () => store.list(),
    () => store.count(),
    () => store.destroyAll(),
    () => store.destroyByUser('an-user-of-its-own'),
    () => store.countByUser('an-user-of-its-own'),
  ]
  for (const call of calls) await call().catch((error: unknown) => errors.push(error))
  const health = await store.health()
  await store.close({ deadlineMs: 200 })
  return { errors, events, health, stats: store.stats() }
}

/** The texts in which a secret stands, `cause` left out: it is the driver's, or the application's own. */
const leaksIn = ({ errors, events, health, stats }: Awaited<ReturnType<typeof said>>): string[] => {
  const own = errors.map((error) => {
    if (!isSessionStoreError(error)) return [String(error)]
    const { code, message, stack, tier, operation } = error
    return [code, message, stack, tier, operation, JSON.stringify(error)]
  })
  return textsIn([own, events, health, stats]).filter((text) => SECRETS.some((secret) => text.includes(secret)))
}

const causesOf = (errors: readonly unknown[]): string =>
  errors.map((error) => inspect(error, { depth: 20, showHidden: true })).join('\n')

const failing = (code?: string) => async (): Promise<string> => {
  throw Object.assign(
    new Error(`vault: permission denied for ${SECRETS.join(', ')}`),
    code === undefined ? {} : { code },
  )
}

describe('what the application’s `password` function throws stands in no message, event or health', () => {
  test.each([[undefined], [PHRASE], [WORD], [CARD]])('nor what it gives as a code: %s', async (code) => {
    const port = await serverThat(askingForPassword)
    const told = await said({
      backend: postgres({ host: '127.0.0.1', port, user: 'app', database: 'app', password: failing(code) }),
    })
    expect(leaksIn(told)).toEqual([])
    expect(told.errors.length).toBeGreaterThan(3)
    expect(told.errors[0]).toMatchObject({ message: expect.stringContaining('its `password` function failed') })
    // Whoever mends it needs it, and asks for it.
    expect(causesOf(told.errors)).toContain(PHRASE)
  })

  test('of a pool that was given just so', async () => {
    const pool: PostgresPool = {
      connect: failing() as never,
      on: () => {},
      removeListener: () => {},
      listenerCount: () => 1,
    } as unknown as PostgresPool
    const told = await said({ backend: postgres({ pool }) })
    expect(leaksIn(told)).toEqual([])
    expect(told.errors[0]).toMatchObject({ message: expect.stringContaining('the cause of this error says how') })
  })

  test('while what pg itself says of a connection is told', async () => {
    const port = await serverThat((socket) => socket.once('data', () => socket.end()))
    const told = await said({ backend: postgres({ host: '127.0.0.1', port, user: 'app', database: 'app' }) })
    expect(told.errors[0]).toMatchObject({ message: expect.stringContaining('Connection terminated unexpectedly') })
  })
})

describe('credentials stand in nothing that is said, causes among it', () => {
  const hangingUp = (socket: Socket): void => void socket.once('data', () => socket.destroy())

  test('of a CouchDB', async () => {
    const port = await serverThat(hangingUp)
    for (const options of [
      { url: `http://${encodeURIComponent(ADDRESS)}:${WORD}@127.0.0.1:${port}` },
      { url: `http://127.0.0.1:${port}`, username: ADDRESS, password: WORD, auth: 'cookie' as const },
    ]) {
      const told = await said({
        backend: couchdb({ ...options, absoluteTtlMs: 30 * 86_400_000, runtime: quietRuntime }),
      })
      expect(leaksIn(told)).toEqual([])
      for (const secret of [
        WORD,
        ADDRESS,
        encodeURIComponent(ADDRESS),
        Buffer.from(`${ADDRESS}:${WORD}`).toString('base64'),
      ])
        expect(causesOf(told.errors)).not.toContain(secret)
      expect(told.errors.length).toBeGreaterThan(3)
    }
  })

  test('of a PostgreSQL, by options and by a connection string', async () => {
    const port = await serverThat(hangingUp)
    for (const options of [
      { host: '127.0.0.1', port, user: NAME, password: WORD, database: 'app' },
      { connectionString: `postgres://${NAME}:${WORD}@127.0.0.1:${port}/app` },
    ]) {
      const told = await said({ backend: postgres(options) })
      expect(leaksIn(told)).toEqual([])
      expect(causesOf(told.errors)).not.toMatch(new RegExp(`${NAME}|${WORD}`))
      expect(told.errors.length).toBeGreaterThan(3)
    }
  })

  test('of a Memcached', async () => {
    const port = await serverThat(hangingUp)
    const cache = memcached({ servers: `127.0.0.1:${port}`, username: NAME, password: WORD })
    const told = await said({ cache })
    expect(leaksIn(told)).toEqual([])
    expect(told.events).not.toEqual([])
    expect(causesOf(told.errors)).not.toMatch(new RegExp(`${NAME}|${WORD}`))
  })
})

describe('session data stands in nothing that is said', () => {
  const unstorable = (): void => {}
  const circle: Record<string, unknown> = {}
  circle[ADDRESS] = circle
  const bad: readonly (readonly [what: string, data: Record<string, unknown>])[] = [
    ['a property', { [NAME]: unstorable }],
    ['a property on the way', { carts: { [ADDRESS]: [{ [CARD]: unstorable }] } }],
    ['a key of a Map', { carts: new Map([[ADDRESS, unstorable]]) }],
    ['a number as a key of a Map', { carts: new Map([[Number(CARD), [unstorable]]]) }],
    ['a getter', Object.defineProperty({}, NAME, { get: unstorable, enumerable: true })],
    ['a hidden property', Object.defineProperty({}, ADDRESS, { value: WORD })],
    ['a circle', { [NAME]: circle }],
    ['a property of an error', { failed: Object.assign(new Error(PHRASE), { [NAME]: unstorable }) }],
    ['too much of it', { [NAME]: WORD.repeat(2_000), [ADDRESS]: new Array(10_000).fill(CARD) }],
  ]

  test.each(bad)('neither a name nor a value, of %s', async (_what, data) => {
    for (const codec of [undefined, jsonCodec]) {
      const told = await said({ maxSessionBytes: 2_000, ...(codec === undefined ? {} : { codec }) }, data)
      expect(leaksIn(told)).toEqual([])
      const refusals = told.errors.filter(
        (error) => isSessionStoreError(error, 'E_SESSION_DATA') || isSessionStoreError(error, 'E_SESSION_TOO_LARGE'),
      )
      // Of `create` and of `put`.
      expect(refusals).toHaveLength(2)
      // A log shows the whole error, with what causes it.
      for (const secret of SECRETS) expect(causesOf(told.errors).replaceAll(/\[path\]:.*/g, '')).not.toContain(secret)
      for (const error of told.errors) expect(inspect(error)).not.toMatch(new RegExp(`${NAME}|${CARD}`))
    }
  })

  test('nor a user that the backend cannot keep', async () => {
    const { url, schema, table } = cluster()
    const told = await said(
      {
        backend: postgres({ connectionString: url, schema, table, connectTimeoutMs: 20_000 }),
        backendTimeoutMs: 20_000,
        identify: () => `${NAME}\0`,
      },
      { [NAME]: WORD },
    )
    expect(told.errors.some((error) => isSessionStoreError(error, 'E_SESSION_DATA'))).toBe(true)
    expect(leaksIn(told)).toEqual([])
    expect(causesOf(told.errors)).not.toContain(NAME)
  })

  test('nor a key, where a cursor is refused', async () => {
    const store = createSessionStore({ cache: memoryCache(), backend: memoryBackend(), runtime: quietRuntime })
    closing.push(() => store.close())
    for (const after of [ADDRESS, `other:${NAME}`]) {
      const error: unknown = await store.list({ after }).catch((raised: unknown) => raised)
      expect(inspect(error)).toContain('E_CONFIG')
      expect(inspect(error)).not.toContain(after)
    }
  })
})

describe('a password of digits that was given as a number, in the wrong place, stands in no complaint', () => {
  const DIGITS = 20_261_129
  const couch = { url: 'http://localhost', absoluteTtlMs: 1_000 }
  const WRONG: Record<string, (options: never) => unknown> = {
    postgres,
    memcached,
    couchdb,
    NonstickStore: (options) => new NonstickStore(options),
  }
  test.each<[string, unknown]>([
    ...['connectionString', 'host', 'user', 'password', 'database', 'schema', 'table', 'pool', 'ssl'].map(
      (name): [string, unknown] => ['postgres', { [name]: DIGITS }],
    ),
    ...[DIGITS, [DIGITS], [[DIGITS, 1]]].map((servers): [string, unknown] => ['memcached', { servers }]),
    ['memcached', { servers: 'localhost', username: DIGITS, password: DIGITS }],
    ...['url', 'username', 'password', 'database', 'members', 'tls'].map((name): [string, unknown] => [
      'couchdb',
      { ...couch, [name]: DIGITS },
    ]),
    ['NonstickStore', DIGITS],
    ['NonstickStore', { sessions: DIGITS }],
    ['NonstickStore', { sessions: {}, password: DIGITS }],
  ])('%s(%j)', (name, options) => {
    let error: unknown
    try {
      WRONG[name]?.(options as never)
    } catch (raised) {
      error = raised
    }
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    expect(inspect(error)).not.toContain(String(DIGITS))
  })
})
