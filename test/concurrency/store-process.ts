/**
 * One process of a cluster: session stores on real servers, driven over IPC by `processes.ts`. It ends with whoever
 * started it.
 */
import { postgres } from '../../src/backends/postgres/index.js'
import { redis } from '../../src/backends/redis/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { type Backend, knowsUsers } from '../../src/contract/backend.js'
import type { Runtime } from '../../src/contract/time.js'
import { isSessionStoreError } from '../../src/errors.js'
import { createSessionStore, type Session, type SessionStore } from '../../src/index.js'
import { systemRuntime } from '../../src/runtime.js'
import { locate } from '../../src/session/key.js'
import { couchdb } from '../backends/couchdb/backend.js'
import { runtimeMovedBy } from '../support/calendar.js'
import type { Operation, Token } from './history.js'
import type {
  BackendPlace,
  Data,
  Done,
  Epochs,
  LoginBy,
  Message,
  OpenOptions,
  Reply,
  Script,
  Step,
} from './processes.js'

/** Long deadlines: a busy machine must not look like a cache that some reach and others do not. */
const PATIENCE_MS = 8_000

const stores = new Map<string, SessionStore<Data>>()
const held = new Map<string, Session<Data>>()
const backends = new Map<string, Backend>()
const here = Number(process.argv[2])

/** PostgreSQL goes by a clock of its own, which nobody can move: its clients have the system's. */
const runtimeFor = (place: BackendPlace): Runtime =>
  place.kind === 'couchdb' ? runtimeMovedBy(place.clockShiftMs) : systemRuntime

const backendAt = (place: BackendPlace, patienceMs: number, runtime: Runtime): Backend => {
  const patience = { connectTimeoutMs: patienceMs, maxConnections: 6 }
  if (place.kind === 'couchdb') {
    const { url, database } = place
    return couchdb({
      url,
      database,
      ...patience,
      requestTimeoutMs: patienceMs,
      absoluteTtlMs: 30 * 86_400_000,
      runtime,
    })
  }
  if (place.kind === 'redis') {
    const { url, prefix } = place
    return redis({ url, prefix, connectTimeoutMs: patienceMs, queryTimeoutMs: patienceMs, runtime })
  }
  const { connectionString, schema } = place
  return postgres({ connectionString, schema, ...patience, queryTimeoutMs: patienceMs, runtime })
}

const open = (name: string, opened: OpenOptions): void => {
  const { cacheAddress, backend: place, patienceMs = PATIENCE_MS, identifies, ...options } = opened
  const runtime = runtimeFor(place)
  const backend = backendAt(place, patienceMs, runtime)
  const store = createSessionStore<Data>({
    cache: memcached({ servers: cacheAddress, operationTimeoutMs: patienceMs, connectTimeoutMs: patienceMs, runtime }),
    backend,
    runtime,
    ...(identifies === true ? { identify: userOf } : {}),
    cacheTimeoutMs: patienceMs,
    backendTimeoutMs: patienceMs,
    leaseMs: patienceMs + 2_000,
    deadlineMs: 2 * patienceMs,
    ...options,
  })
  stores.set(name, store)
  backends.set(name, backend)
}

const storeOf = (name: string): SessionStore<Data> => {
  const store = stores.get(name)
  if (store === undefined) throw new Error(`no store ${name} was opened here`)
  return store
}

/** The machine's monotonic clock, which all processes share. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** Timers know whole milliseconds only; races want less. */
const wait = async (ms: number): Promise<void> => {
  const until = now() + ms
  if (ms >= 2) await new Promise((resolve) => setTimeout(resolve, ms - 1))
  while (now() < until) await new Promise((resolve) => setImmediate(resolve))
}

const tokensOf = (data: Data): Token[] => [
  ...Object.keys(data).filter((name) => name.startsWith('t')),
  ...(data['log'] as Token[]),
]

const userOf = (data: Data): string | undefined => data['user'] as string | undefined

type Ended = Pick<Operation, 'outcome' | 'seen' | 'durable'> & { readonly user?: string; readonly id?: string }

/** @returns the id of the session, which is a new one after `regenerate`; `undefined` where there is none to log in */
const login = async (store: SessionStore<Data>, id: string, user: string, by: LoginBy): Promise<string | undefined> => {
  if (by === 'create') return (await store.create({ log: [], count: 0, user }, { id })).id
  if (by === 'put') return (await store.put(id, { log: [], count: 0, user })).id
  if (by === 'update') return (await store.update(id, (data) => Object.assign(data, { user })))?.id
  const session = await store.load(id)
  if (session === undefined) return undefined
  session.data['user'] = user
  if (by === 'regenerate') return (await store.regenerate(session)).id
  await store.save(session)
  return id
}

const perform = async (name: string, id: string, step: Step): Promise<Ended> => {
  const store = storeOf(name)
  const handleName = `${name} ${id}`
  switch (step.what) {
    case 'load': {
      const session = await store.load(id)
      if (session === undefined) return { outcome: 'none' }
      if (step.hold === true) held.set(handleName, session)
      const user = userOf(session.data)
      return { outcome: 'ok', seen: tokensOf(session.data), ...(user === undefined ? {} : { user }) }
    }
    case 'write': {
      const session = step.held === true ? held.get(handleName) : await store.load(id)
      if (session === undefined) return { outcome: 'none' }
      await wait(step.thinkMs ?? 0)
      if (step.onto === undefined) session.data[step.token] = 1
      else session.data[step.onto] = [...((session.data[step.onto] as Token[] | undefined) ?? []), step.token]
      const { durability } = await store.save(session, { durable: step.durable === true })
      return { outcome: 'ok', durable: durability === 'backend' }
    }
    case 'update': {
      const add = (data: Data): void => {
        data['count'] = Number(data['count']) + 1
        data['log'] = [...(data['log'] as Token[]), step.token]
      }
      const session = await store.update(id, add, { durable: step.durable === true })
      return session === undefined ? { outcome: 'none' } : { outcome: 'ok', durable: step.durable === true }
    }
    case 'destroy':
      return { outcome: (await store.destroy(id)).cache === 'tombstone' ? 'ok' : 'unknown' }
    case 'regenerate': {
      const session = await store.load(id)
      if (session === undefined) return { outcome: 'none' }
      const fresh = await store.regenerate(session)
      return { outcome: 'ok', seen: tokensOf(fresh.data), id: fresh.id }
    }
    case 'create':
      return { outcome: 'ok', id: (await store.create({ log: [], count: 0 }, { id })).id }
    case 'login': {
      const loggedIn = await login(store, id, step.user, step.by)
      return loggedIn === undefined ? { outcome: 'none' } : { outcome: 'ok', id: loggedIn }
    }
    case 'logout everywhere': {
      const { cache } = await store.destroyByUser(step.user, step.except === undefined ? {} : { except: step.except })
      return { outcome: cache === 'tombstone' ? 'ok' : 'unknown' }
    }
  }
}

const endedBy = (error: unknown): Pick<Operation, 'outcome' | 'error'> => {
  if (!isSessionStoreError(error)) return { outcome: 'failed', error: String(error) }
  const refused = error.code === 'E_SESSION_DESTROYED' || error.applied === 'no'
  return { outcome: refused ? 'refused' : 'unknown', error: `${error.code} ${error.message}` }
}

const runStep = async (script: Script, step: Step): Promise<Done> => {
  await wait(step.afterMs ?? 0)
  const session = step.id ?? script.id
  const startedAt = now()
  const ended = await perform(script.store, session, step).catch(endedBy)
  const token = 'token' in step ? { token: step.token } : {}
  return { process: here, what: step.what, session, startedAt, endedAt: now(), ...token, ...ended }
}

const run = async (script: Script): Promise<Done[]> => {
  if (script.atOnce === true) return await Promise.all(script.steps.map((step) => runStep(script, step)))
  const operations: Done[] = []
  for (const step of script.steps) operations.push(await runStep(script, step))
  return operations
}

const epochs = async (store: string, userId: string, ids: readonly string[]): Promise<Epochs> => {
  const backend = backends.get(store)
  if (backend === undefined || !knowsUsers(backend)) throw new Error(`the backend of ${store} knows of no users`)
  const { record } = await backend.readUser({ namespace: 'nonstick', userId })
  const ofSessions = await Promise.all(
    ids.map(async (id): Promise<readonly (readonly [string, number])[]> => {
      const found = await backend.read(locate('nonstick', id))
      return found.state === 'live' && found.session.userId === userId ? [[id, found.session.userEpoch]] : []
    }),
  )
  return { epoch: record.epoch, ofSessions: ofSessions.flat() }
}

const answer = async (message: Message): Promise<unknown> => {
  switch (message.ask) {
    case 'open':
      return open(message.store, message.options)
    case 'create':
      return (await storeOf(message.store).create({ log: [], count: 0 })).id
    case 'run':
      return await run(message.script)
    case 'data':
      return (await storeOf(message.store).load(message.id))?.data ?? null
    case 'listByUser': {
      const handles: string[] = []
      for await (const { handle } of storeOf(message.store).listByUser(message.user)) handles.push(handle)
      return handles
    }
    case 'epochs':
      return await epochs(message.store, message.user, message.ids)
    case 'stats':
      return storeOf(message.store).stats()
    case 'close': {
      held.clear()
      const report = await storeOf(message.store).close()
      stores.delete(message.store)
      backends.delete(message.store)
      return report
    }
  }
}

const send = (reply: Reply): void => {
  process.send?.(reply)
}
process.on('message', (message: Message & { readonly number: number }) => {
  answer(message).then(
    (value) => send({ number: message.number, value }),
    (error: unknown) => send({ number: message.number, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
send({ number: 0, value: 'ready' })
