/** Runs in a process of its own: one store or one client, whose operations are measured. */
import { randomBytes } from 'node:crypto'
import { MemcacheClient } from 'memcache-client'
import Memcached from 'memcached'
import memjs from 'memjs'
import { type Codec, createSessionStore, type FrontCache, type Session, type SessionStore } from 'nonstick'
import { msgpackCodec } from 'nonstick/codecs'
import pg from 'pg'
import { createClient } from 'redis'
import { bareSocket } from './bare-socket.js'
import { heapBytesOf, type Load, measured, type Operation } from './measuring.js'
import { PATIENT, patientMemcached, patientPostgres } from './patient.js'
import { sessionOf, USUAL_SIZE } from './sessions.js'
import { answerAll } from './subject.js'

export const OPERATIONS = ['load', 'save', 'touch', 'create', 'destroy', 'unknown id'] as const
export type OperationName = (typeof OPERATIONS)[number]

/** Where the servers are that the process uses; each kind takes what it needs. */
export interface StoreSetting {
  readonly kind: keyof typeof KINDS
  /** `host:port` */
  readonly memcached: string
  readonly redis?: string
  readonly database?: string
}

export type StoreQuestion =
  | { readonly open: StoreSetting }
  | { readonly measure: OperationName; readonly load: Load }
  | { readonly heapOf: OperationName; readonly atOnce: number }
  /** How many calls of the cache had been answered, at most, when a load of an unknown id was. */
  | { readonly awaitedForUnknownId: true }
  /** So many changes of a session each, one after the other. */
  | { readonly change: { readonly sessions: number; readonly times: number } }

/** So many sessions are there from the beginning; the operations take them in turns. */
const SESSIONS = 256
const DAY_SECONDS = 86_400

type Operations = Partial<Readonly<Record<OperationName, Operation>>>

interface Opened {
  readonly operations: Operations
  readonly store?: SessionStore<Data>
  readonly awaited?: () => number
}

type Data = Record<string, unknown>

const dataOf = (user: number): Data => sessionOf(USUAL_SIZE, user) as unknown as Data
const at = <Item>(items: readonly Item[], number: number): Item => items[number % items.length] as Item
const numbers = Array.from({ length: SESSIONS }, (_, number) => number)

/** Counts the calls that were answered. */
const watched = (cache: FrontCache): { readonly cache: FrontCache; readonly answered: () => number } => {
  let answered = 0
  const asked = new Set(['get', 'add', 'cas', 'set', 'delete'])
  return {
    answered: () => answered,
    cache: new Proxy(cache, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (!asked.has(String(name))) return value.bind(target)
        return async (...args: unknown[]) => {
          const answer: unknown = await value.apply(target, args)
          answered += 1
          return answer
        }
      },
    }),
  }
}

/** Hands bytes on, so that what is left of a load or a save is what the store does itself. */
const passing: Codec = {
  name: 'passing',
  id: 64,
  encode: (value) => (value as { readonly bytes: Uint8Array }).bytes,
  decode: (bytes) => ({ bytes }),
}

const openStore = async (setting: StoreSetting, codec: Codec, isWatched = false): Promise<Opened> => {
  const own = patientMemcached(setting.memcached)
  const { cache, answered } = isWatched ? watched(own) : { cache: own, answered: () => 0 }
  const store = createSessionStore<Data>({
    cache,
    backend: patientPostgres(setting.database ?? ''),
    codec,
    ...PATIENT,
    // What is measured here is the count: nothing is flushed because of the time.
    maxStaleMs: 3_600_000,
  })
  await store.ready({ deadlineMs: 60_000 })
  const isPassing = codec === passing
  const made = (user: number): Data => (isPassing ? { bytes: msgpackCodec.encode(dataOf(user)) } : dataOf(user))
  const sessions: Session<Data>[] = []
  for (const number of numbers) sessions.push(await store.create(made(number)))
  const data = made(0)
  let doomed: string[] = []
  // A save of what stands there already would write nothing.
  let changes = 0
  const change = (session: Session<Data>): void => {
    changes += 1
    if (isPassing) {
      const bytes = Uint8Array.from(session.data['bytes'] as Uint8Array)
      new DataView(bytes.buffer).setUint32(bytes.length - 4, changes)
      session.data['bytes'] = bytes
    } else session.data['count'] = 10_000 + (changes % 50_000)
  }
  return {
    store,
    awaited: answered,
    operations: {
      load: { run: (number) => store.load(at(sessions, number).id) },
      save: {
        run: (number) => {
          const session = at(sessions, number)
          change(session)
          return store.save(session)
        },
      },
      touch: { run: (number) => store.touch(at(sessions, number).id) },
      create: { run: () => store.create(data) },
      destroy: {
        prepare: async (operations) => {
          doomed = []
          for (let from = 0; from < operations; from += 32)
            doomed.push(...(await Promise.all(Array.from({ length: 32 }, async () => (await store.create(data)).id))))
        },
        run: (number) => store.destroy(at(doomed, number)),
      },
      'unknown id': { run: () => store.load(randomBytes(24).toString('base64url')) },
    },
  }
}

const bytesOf = (user: number): Buffer => Buffer.from(msgpackCodec.encode(dataOf(user)))
const keyOf = (number: number): string => `bare:${String(number).padStart(43, '0')}`
const called = <Value>(call: (done: (error: unknown, value?: Value) => void) => void): Promise<Value | undefined> =>
  new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))))

const KINDS = {
  nonstick: (setting: StoreSetting) => openStore(setting, msgpackCodec),
  'nonstick, watched': (setting: StoreSetting) => openStore(setting, msgpackCodec, true),
  'nonstick, codec passed by': (setting: StoreSetting) => openStore(setting, passing),

  'nonstick/memcached alone': async (setting: StoreSetting): Promise<Opened> => {
    const cache = patientMemcached(setting.memcached)
    const expiresAt = () => Date.now() + DAY_SECONDS * 1_000
    for (const number of numbers) await cache.set(keyOf(number), bytesOf(number), expiresAt())
    const bytes = bytesOf(0)
    return {
      operations: {
        load: { run: (number) => cache.get(keyOf(number % SESSIONS)) },
        save: { run: (number) => cache.set(keyOf(number % SESSIONS), bytes, expiresAt()) },
      },
    }
  },

  'bare binary socket': async (setting: StoreSetting): Promise<Opened> => {
    const socket = await bareSocket(setting.memcached)
    for (const number of numbers) await socket.set(keyOf(number), bytesOf(number))
    const bytes = bytesOf(0)
    return {
      operations: {
        load: { run: (number) => socket.get(keyOf(number % SESSIONS)) },
        save: { run: (number) => socket.set(keyOf(number % SESSIONS), bytes) },
      },
    }
  },

  memjs: async (setting: StoreSetting): Promise<Opened> => {
    const client = memjs.Client.create(setting.memcached)
    for (const number of numbers) await client.set(keyOf(number), bytesOf(number), { expires: DAY_SECONDS })
    const bytes = bytesOf(0)
    return {
      operations: {
        load: { run: (number) => client.get(keyOf(number % SESSIONS)) },
        save: { run: (number) => client.set(keyOf(number % SESSIONS), bytes, { expires: DAY_SECONDS }) },
      },
    }
  },

  memcached: async (setting: StoreSetting): Promise<Opened> => {
    const client = new Memcached(setting.memcached)
    const save = (number: number, bytes: Buffer) =>
      called((done) => client.set(keyOf(number % SESSIONS), bytes, DAY_SECONDS, done))
    for (const number of numbers) await save(number, bytesOf(number))
    const bytes = bytesOf(0)
    return {
      operations: {
        load: { run: (number) => called((done) => client.get(keyOf(number % SESSIONS), done)) },
        save: { run: (number) => save(number, bytes) },
        touch: { run: (number) => called((done) => client.touch(keyOf(number % SESSIONS), DAY_SECONDS, done)) },
      },
    }
  },

  'memcache-client': async (setting: StoreSetting): Promise<Opened> => {
    const client = new MemcacheClient({ server: setting.memcached })
    const save = (number: number, bytes: Buffer) =>
      client.set(keyOf(number % SESSIONS), bytes, { lifetime: DAY_SECONDS })
    for (const number of numbers) await save(number, bytesOf(number))
    const bytes = bytesOf(0)
    return {
      operations: {
        load: { run: (number) => client.get(keyOf(number % SESSIONS)) },
        save: { run: (number) => save(number, bytes) },
        touch: { run: (number) => client.touch(keyOf(number % SESSIONS), String(DAY_SECONDS)) },
      },
    }
  },

  redis: async (setting: StoreSetting): Promise<Opened> => {
    const client = createClient({ url: setting.redis ?? '' })
    client.on('error', () => {})
    await client.connect()
    const expiration = { type: 'EX', value: DAY_SECONDS } as const
    const text = (number: number) => JSON.stringify(dataOf(number))
    for (const number of numbers) await client.set(keyOf(number), text(number), { expiration })
    const saved = text(0)
    return {
      operations: {
        load: { run: (number) => client.get(keyOf(number % SESSIONS)) },
        save: { run: (number) => client.set(keyOf(number % SESSIONS), saved, { expiration }) },
        touch: { run: (number) => client.expire(keyOf(number % SESSIONS), DAY_SECONDS) },
      },
    }
  },

  'bare insert (pg)': async (setting: StoreSetting): Promise<Opened> => {
    const pool = new pg.Pool({ connectionString: setting.database, max: 10 })
    pool.on('error', () => {})
    await pool.query(
      'create table if not exists bare (id text primary key, data bytea not null, expires_at timestamptz not null)',
    )
    await pool.query('create index if not exists bare_expires on bare (expires_at)')
    const bytes = bytesOf(0)
    const id = () => randomBytes(24).toString('base64url')
    const ids = numbers.map(id)
    const insert = (one: string) =>
      pool.query('insert into bare (id, data, expires_at) values ($1, $2, $3)', [
        one,
        bytes,
        new Date(Date.now() + DAY_SECONDS * 1_000),
      ])
    for (const one of ids) await insert(one)
    return {
      operations: {
        load: { run: (number) => pool.query('select data from bare where id = $1', [at(ids, number)]) },
        save: { run: (number) => pool.query('update bare set data = $2 where id = $1', [at(ids, number), bytes]) },
        create: { run: () => insert(id()) },
      },
    }
  },
} satisfies Readonly<Record<string, (setting: StoreSetting) => Promise<Opened>>>

let opened: Opened | undefined

const operationOf = (name: OperationName): Operation => {
  const operation = opened?.operations[name]
  if (operation === undefined) throw new Error(`there is no "${name}" here`)
  return operation
}

const storeOf = (): SessionStore<Data> => {
  if (opened?.store === undefined) throw new Error('there is no store here')
  return opened.store
}

answerAll(async (question: StoreQuestion): Promise<unknown> => {
  if ('open' in question) {
    opened = await KINDS[question.open.kind](question.open)
    return Object.keys(opened.operations)
  }
  if ('measure' in question) return await measured(operationOf(question.measure), question.load)
  if ('heapOf' in question) return await heapBytesOf(operationOf(question.heapOf), question.atOnce)
  if ('awaitedForUnknownId' in question) {
    const awaited = opened?.awaited ?? (() => Number.NaN)
    let most = 0
    for (let turn = 0; turn < 20; turn += 1) {
      const before = awaited()
      await storeOf().load(randomBytes(24).toString('base64url'))
      most = Math.max(most, awaited() - before)
      // What goes on beside the answer shall not be taken for a part of the next one.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return most
  }
  const { sessions, times } = question.change
  for (let number = 0; number < sessions; number += 1) {
    const session = await storeOf().create(dataOf(number))
    for (let time = 0; time < times; time += 1) {
      session.data['count'] = time
      await storeOf().save(session)
    }
  }
  return undefined
})
