import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import pg from 'pg'
import { expect } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import type { StoreStats } from '../../src/contract/index.js'
import { seed } from '../support/seed.js'
import {
  type Found,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  type SharedPostgres,
  sharedPostgres,
} from '../support/servers.js'
import { type Complaints, type Loss, type Operation, told } from './history.js'
import { type OpenOptions, type StoreProcess, startProcesses } from './processes.js'
import { type RowJournal, type RowState, rowJournal, rowJudge } from './row-journal.js'

/** A memcached to be emptied at will, and a place in PostgreSQL; or what of it is missing here. */
export interface Servers {
  readonly shared: SharedPostgres
  readonly startMemcached: () => Promise<MemcachedServer>
}

export const findServers = async (): Promise<Found<Servers>> => {
  const [shared, startMemcached] = [await sharedPostgres(), await ownMemcached()]
  if (typeof startMemcached !== 'function') return startMemcached
  return shared.kind === 'absent' ? shared : { shared, startMemcached }
}

/** Servers of this test file's own, ready to be used. */
export interface Tiers {
  readonly cacheAddress: string
  readonly cachePort: number
  readonly connectionString: string
  readonly schema: string
  /** For looking at the rows. */
  readonly client: pg.Pool
  /** Empties memcached, as a restart would, and keeps its connections. */
  emptyCache(): Promise<Loss>
  stop(): Promise<void>
}

export const openTiers = async ({ shared, startMemcached }: Servers): Promise<Tiers> => {
  const [cache, place] = await Promise.all([openCache(startMemcached), freshSchema(shared)])
  const { connectionString, schema } = place
  const backend = postgres({ connectionString, schema, migrate: true })
  await backend.setUp()
  await backend.close()
  const client = new pg.Pool({ connectionString, max: 3 })
  // A connection that is cut while nobody uses it, as at the end, is nobody's failure.
  client.on('error', () => {})
  return {
    ...cache,
    connectionString,
    schema,
    client,
    stop: async () => {
      await client.end().catch(() => {})
      await Promise.all([cache.stop(), place.drop()])
    },
  }
}

/** A memcached that is emptied at will. */
export const openCache = async (
  startMemcached: Servers['startMemcached'],
): Promise<Pick<Tiers, 'cacheAddress' | 'cachePort' | 'emptyCache' | 'stop'>> => {
  const cache = await startMemcached()
  const desk = connect(cache.port, '127.0.0.1')
  desk.on('error', () => {})
  await once(desk, 'connect')
  let emptying: Promise<unknown> = Promise.resolve()
  return {
    cacheAddress: cache.address,
    cachePort: cache.port,
    emptyCache: async () => {
      const done = emptying.then(() => emptyCache(desk))
      emptying = done.catch(() => {})
      return await done
    },
    stop: async () => {
      desk.destroy()
      await cache.stop()
    },
  }
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6

const emptyCache = async (desk: Socket): Promise<Loss> => {
  const startedAt = now()
  desk.write('flush_all\r\n')
  const [answer] = (await once(desk, 'data')) as [Buffer]
  if (answer.toString() !== 'OK\r\n') throw new Error(`memcached answered flush_all with ${answer.toString()}`)
  return { startedAt, endedAt: now() }
}

/** Three real processes on one real memcached and one backend. */
export interface Cluster {
  /** Empties memcached, as a restart would, and keeps its connections. */
  emptyCache(): Promise<Loss>
  /** Whether the backend holds a tombstone for the session, and nothing of its data. */
  isTombstone(id: string): Promise<boolean>
  stop(): Promise<void>
  readonly processes: readonly StoreProcess[]
  /** Opens a store in each process, under one name. */
  open(store: string, options?: Partial<OpenOptions>): Promise<void>
  /** Closes it in each process. Complains unless the tiers answered all the while: then nothing had been shown. */
  close(store: string): Promise<Totals>
  /** The states the rows went through since this was last asked; complains where they went astray. */
  takeRows(): Promise<readonly RowState[]>
}

/** What the processes' stores counted together. */
export type Totals = Pick<StoreStats, 'writes' | 'merges' | 'conflicts' | 'fills' | 'leaseWaits'>

export const openCluster = async (servers: Servers): Promise<Cluster> => {
  const tiers = await openTiers(servers)
  const { cacheAddress, connectionString, schema, client } = tiers
  const journal = await rowJournal(client, schema)
  return await clusterOn({
    cacheAddress,
    backend: { kind: 'postgres', connectionString, schema },
    journal,
    emptyCache: tiers.emptyCache,
    stop: tiers.stop,
    isTombstone: async (id) => {
      const { rows } = await client.query<{ ended: boolean }>(
        `select destroyed_at is not null and data is null as ended from ${schema}.session where id_hash = $1`,
        [createHash('sha256').update(id).digest()],
      )
      return rows.length === 1 && rows[0]?.ended === true
    },
  })
}

/** What a cluster needs to know of the tiers that were opened for it. */
export interface ClusterTiers
  extends Pick<OpenOptions, 'cacheAddress' | 'backend'>,
    Pick<Cluster, 'emptyCache' | 'isTombstone' | 'stop'> {
  readonly journal: RowJournal
}

export const clusterOn = async (tiers: ClusterTiers): Promise<Cluster> => {
  const { cacheAddress, backend, journal } = tiers
  const judge = rowJudge()
  const processes = await startProcesses(3)

  return {
    emptyCache: tiers.emptyCache,
    isTombstone: tiers.isTombstone,
    processes,
    open: async (store, options = {}) => {
      await Promise.all(processes.map((each) => each.open(store, { cacheAddress, backend, ...options })))
    },
    close: async (store) => {
      const stats = await Promise.all(processes.map((each) => each.stats(store)))
      for (const { faults, bypassed, damaged } of stats)
        expect({ faults, bypassed, damaged }).toEqual({ faults: 0, bypassed: 0, damaged: 0 })
      for (const report of await Promise.all(processes.map((each) => each.close(store))))
        expect(report).toMatchObject({ left: 0, destroysLeft: 0 })
      const sum = (name: keyof Totals): number => stats.reduce((total, each) => total + each[name], 0)
      return {
        writes: sum('writes'),
        merges: sum('merges'),
        conflicts: sum('conflicts'),
        fills: sum('fills'),
        leaseWaits: sum('leaseWaits'),
      }
    },
    takeRows: async () => {
      const states = await journal.take()
      expect(judge(states), `seed: ${seed}`).toEqual([])
      return states
    },
    stop: async () => {
      await Promise.all(processes.map((each) => each.end()))
      await tiers.stop()
    },
  }
}

/** Fails with the seed and the whole history where there is anything to complain about. */
export const noComplaints = (
  round: string,
  complaints: Complaints,
  history: readonly Operation[],
  losses: readonly Loss[] = [],
): void => {
  if (complaints.length === 0) return
  throw new Error(
    `${round}, seed: ${seed}\n${complaints.map((each) => `- ${each}`).join('\n')}\n${told(history, losses)}`,
  )
}
