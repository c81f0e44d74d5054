/** What stands behind the caches, whichever it is: how it is started, what it can suffer, and what it has seen. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { couchdbUrl, ownDatabases, startCouchdb } from '../../scripts/servers/couchdb.js'
import { passingTo } from '../../scripts/servers/couchdb-wire.js'
import { startPostgres, startRedis } from '../../scripts/servers/index.js'
import { couchdb } from '../../src/backends/couchdb/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { changesJournal } from '../concurrency/changes-journal.js'
import { documentJournal } from '../concurrency/document-journal.js'
import { type RowState, rowJournal } from '../concurrency/row-journal.js'
import type { BackendFault, BackendKind, Weather } from './faults.js'
import type { BackendPlace } from './messages.js'
import { ABSOLUTE_TTL_MS } from './store-options.js'

/** One server, ready for sessions. */
export interface Behind {
  /** Which faults it may see. */
  readonly weather: Weather
  /** Where every wire to it leads. */
  port(): number
  /** As the processes are told, with a name for a host that each of them finds at a wire of its own. */
  readonly place: BackendPlace
  /** Every state that the sessions in it went through. */
  rows(): Promise<readonly RowState[]>
  /** Does what is done to the server itself; resolves when it is well again. */
  suffer(kind: BackendFault, forMs: number): Promise<void>
}

/** @param ending gets what is to be done in the end, in reverse */
export type Ending = (() => Promise<unknown> | unknown)[]

/** Starts one, and puts what ends it into `ending`. The CouchDB that `COUCHDB_URL` names is only used. */
export const startBehind = (kind: BackendKind, folder: string, ending: Ending): Promise<Behind> => {
  if (kind === 'postgres') return startPostgresBehind(folder, ending)
  if (kind === 'redis') return startRedisBehind(folder, ending)
  const given = couchdbUrl()
  return given === undefined ? startStandInBehind(folder, ending) : useCouchdbBehind(given, ending)
}

const impossible = (kind: BackendFault): Error => new Error(`This backend cannot suffer "${kind}"`)

const startPostgresBehind = async (folder: string, ending: Ending): Promise<Behind> => {
  // What the kernel was given outlives a process, which is all that is killed here.
  const server = await startPostgres({ useEnvironment: false, fsync: false, logFile: join(folder, 'backend.log') })
  ending.push(() => server.stop())
  const pool = new pg.Pool({ connectionString: server.adminUrl, max: 2, connectionTimeoutMillis: 10_000 })
  pool.on('error', () => {})
  ending.push(() => pool.end())
  const setUp = postgres({ connectionString: server.adminUrl, migrate: true })
  await setUp.setUp()
  await setUp.close()
  const journal = await rowJournal(pool, 'nonstick')
  const url = new URL(server.adminUrl)
  url.host = 'backend:5432'
  return {
    weather: 'postgres',
    port: () => server.port,
    place: { kind: 'postgres', url: url.href },
    rows: () => journal.take(),
    suffer: async (kind, forMs) => {
      if (kind === 'terminate') {
        await pool.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'nonstick' and pid <> pg_backend_pid()",
        )
        return
      }
      if (kind === 'backend stop') throw impossible(kind)
      if (kind === 'backend crash' && server.pid !== undefined) {
        process.kill(server.pid, 'SIGQUIT')
        await sleep(Math.min(forMs, 500))
      }
      await server.restart()
    },
  }
}

/** Its log of changes is with the kernel before anybody is answered, so that what is killed here keeps its promises. */
const startRedisBehind = async (folder: string, ending: Ending): Promise<Behind> => {
  const server = await startRedis({ logFile: join(folder, 'backend.log') })
  ending.push(() => server.stop())
  const journal = changesJournal(server.changesFolder, 'nonstick:')
  return {
    weather: 'redis',
    port: () => server.port,
    place: { kind: 'redis', url: 'redis://backend:6379' },
    rows: () => journal.take(),
    suffer: async (kind, forMs) => {
      switch (kind) {
        case 'terminate':
          await server.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
          return
        case 'backend stop':
          server.pause()
          await sleep(forMs)
          server.resume()
          return
        case 'backend crash':
          await server.kill9()
          await sleep(Math.min(forMs, 500))
          await server.restart()
          return
        default:
          throw impossible(kind)
      }
    },
  }
}

/** It keeps everything in memory: killed, it would lose what it committed, which no promise covers. */
const startStandInBehind = async (folder: string, ending: Ending): Promise<Behind> => {
  const server = await startCouchdb({ logFile: join(folder, 'backend.log') })
  ending.push(() => server.stop())
  return {
    ...(await couchdbAt(server.url, undefined, ending)),
    weather: 'couchdb',
    suffer: async (kind, forMs) => {
      if (kind !== 'backend stop') throw impossible(kind)
      server.pause()
      await sleep(forMs)
      server.resume()
    },
  }
}

/** Somebody else's server: only wires to it fail, and the databases of this run are removed when it ends. */
const useCouchdbBehind = async (url: string, ending: Ending): Promise<Behind> => {
  const own = ownDatabases(url, 'nonstick_chaos_')
  ending.push(() => own.end())
  return {
    ...(await couchdbAt(url, own.pattern, ending)),
    weather: 'given couchdb',
    suffer: (kind) => Promise.reject(impossible(kind)),
  }
}

/** Behind all wires one more looks at what is written. */
const couchdbAt = async (
  server: string,
  database: string | undefined,
  ending: Ending,
): Promise<Pick<Behind, 'port' | 'place' | 'rows'>> => {
  const { journal, tell } = documentJournal()
  const passing = await passingTo(server, tell)
  ending.push(() => passing.close())
  const where = database === undefined ? {} : { database }
  const setUp = couchdb({ url: server, absoluteTtlMs: ABSOLUTE_TTL_MS, requestTimeoutMs: 10_000, ...where })
  await setUp.setUp()
  await setUp.close()
  const url = new URL(passing.url)
  const port = Number(url.port)
  url.host = 'backend:5984'
  return {
    port: () => port,
    place: { kind: 'couchdb', url: url.href.replace(/\/+$/, ''), ...where },
    rows: () => journal.take(),
  }
}
