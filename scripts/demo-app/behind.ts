/** The backend of the demo, whichever it is: as the app processes reach it, and as it counts. */
import { couchdb } from 'nonstick/couchdb'
import { redis } from 'nonstick/redis'
import { couchdbUrl, ownDatabases, startCouchdb, welcomeOf } from '../servers/couchdb.js'
import { type Passed, passingTo } from '../servers/couchdb-wire.js'
import { ensureRedis, startRedis } from '../servers/index.js'
import type { CleanUp } from './clean-up.js'
import { type BackendCounters, TableWatch } from './counters.js'
import type { BackendPlace } from './messages.js'
import { RedisWatch } from './redis-watch.js'
import { prepareDatabase, SESSION_TABLE, startBackend } from './tiers.js'

export type BackendKind = BackendPlace['kind']

export interface Behind {
  readonly kind: BackendKind
  /** As people call it: `PostgreSQL`. */
  readonly name: string
  readonly version: string
  /** As the app processes are told. */
  readonly place: BackendPlace
  /** Its counters come some seconds after what they count. */
  readonly countsLate: boolean
  read(): Promise<BackendCounters>
  /** How many sessions are stored, those that were destroyed not counted. */
  rows(): Promise<number>
}

type Say = (line: string) => void

/** Starts it, ready for sessions; `cleanUp` ends it. */
export const startBehind = (kind: BackendKind, cleanUp: CleanUp, say: Say): Promise<Behind> => START[kind](cleanUp, say)

/** A Redis of our own, which counts by telling of every command. */
const startRedisBehind = async (cleanUp: CleanUp, say: Say): Promise<Behind> => {
  if (ensureRedis(say) === undefined) throw new Error('there is no Redis here')
  const server = await cleanUp.start(
    'Redis',
    () => startRedis(),
    (started) => started.stop(),
  )
  const watch = await cleanUp.start(
    'the look at Redis',
    () => RedisWatch.open(server.port),
    async (opened) => opened.close(),
  )
  const backend = redis({ url: server.url, queryTimeoutMs: 10_000 })
  await cleanUp.start(
    'the set-up of Redis',
    () => backend.setUp(),
    () => backend.close(),
  )
  const version = /redis_version:(\S+)/.exec(await server.ask('INFO', 'server'))?.[1] ?? ''
  say(`Redis ${version} on ${server.address}`)
  return {
    kind: 'redis',
    name: 'Redis',
    version,
    place: { kind: 'redis', url: server.url },
    countsLate: false,
    read: async () => watch.read(),
    rows: () => backend.count({ namespace: 'nonstick', now: Date.now() }),
  }
}

const startPostgresBehind = async (cleanUp: CleanUp, say: Say): Promise<Behind> => {
  const server = await cleanUp.start(
    'PostgreSQL',
    () => startBackend(say),
    (started) => started.stop(),
  )
  const database = await prepareDatabase(server, say)
  const table = await cleanUp.start(
    'the look at PostgreSQL',
    () => TableWatch.open(database.adminUrl, SESSION_TABLE),
    (watch) => watch.close(),
  )
  return {
    kind: 'postgres',
    name: 'PostgreSQL',
    version: server.version,
    place: { kind: 'postgres', databaseUrl: database.appUrl },
    countsLate: true,
    read: () => table.read(),
    rows: () => table.rows(),
  }
}

/** CouchDB counts no documents by database and kind, so that a wire in front of it does. */
const startCouchdbBehind = async (cleanUp: CleanUp, say: Say): Promise<Behind> => {
  const given = couchdbUrl()
  const server =
    given === undefined
      ? await cleanUp.start(
          'the stand-in for CouchDB',
          () => startCouchdb(),
          (started) => started.stop(),
        )
      : { url: given }
  const wire = wireCounters()
  const passing = await cleanUp.start(
    'the look at CouchDB',
    () => passingTo(server.url, wire.tell),
    (started) => started.close(),
  )
  // Before the backend, so that it goes last.
  const own =
    given === undefined
      ? undefined
      : await cleanUp.start(
          'the databases of the demo',
          async () => ownDatabases(given, 'nonstick_demo_'),
          (databases) => databases.end(),
        )
  const database = own?.pattern ?? 'nonstick-{yyyy}-{mm}'
  const backend = couchdb({ url: server.url, absoluteTtlMs: 30 * 86_400_000, database, requestTimeoutMs: 10_000 })
  await cleanUp.start(
    'the set-up of CouchDB',
    () => backend.setUp(),
    () => backend.close(),
  )
  const { version, isStandIn } = await welcomeOf(server.url)
  const called = isStandIn ? `a stand-in that is no CouchDB (express-pouchdb ${version})` : version
  say(isStandIn ? 'A STAND-IN takes the place of CouchDB: it is NO CouchDB.' : `CouchDB ${version}`)
  return {
    kind: 'couchdb',
    name: 'CouchDB',
    version: called,
    place: { kind: 'couchdb', url: passing.url, database },
    countsLate: false,
    read: async () => wire.counters(),
    rows: () => backend.count({ namespace: 'nonstick', now: Date.now() }),
  }
}

interface Row {
  readonly rev?: string
  readonly id?: string
}

type Document = Readonly<Record<string, unknown>>

/** What was asked of sessions' documents, and what of it was done. */
const wireCounters = (): { tell(passed: Passed): void; counters(): BackendCounters } => {
  let [inserted, updated, read] = [0, 0, 0]
  const written = (document: Document, row: Row | undefined): void => {
    if (row?.rev === undefined) return
    if (document['_rev'] === undefined) inserted++
    else updated++
  }
  return {
    counters: () => ({ inserted, updated, read }),
    tell: ({ method, path, body, status, answer }) => {
      const isDocument = path.includes('/s%3A')
      if (method === 'GET' && isDocument) read++
      if (status >= 300) return
      if (method === 'PUT' && isDocument) written(parsed(body) as Document, parsed(answer) as Row)
      if (path.endsWith('/_bulk_get')) read += (parsed(body) as { docs: unknown[] }).docs.length
      if (!path.endsWith('/_bulk_docs')) return
      const rows = new Map((parsed(answer) as Row[]).map((row) => [row.id, row]))
      for (const document of (parsed(body) as { docs: Document[] }).docs)
        written(document, rows.get(String(document['_id'])))
    },
  }
}

const parsed = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'))

const START: Readonly<Record<BackendKind, (cleanUp: CleanUp, say: Say) => Promise<Behind>>> = {
  postgres: startPostgresBehind,
  couchdb: startCouchdbBehind,
  redis: startRedisBehind,
}
