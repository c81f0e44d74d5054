/** Runs what `scripts/engine-cost` promises; `HELP` is the promise. */
import { randomBytes } from 'node:crypto'
import { postgres } from '../src/backends/postgres/index.js'
import { redis } from '../src/backends/redis/index.js'
import { memcached } from '../src/caches/memcached/index.js'
import type { Backend, GuardedUpdate, StoredSession } from '../src/contract/backend.js'
import type { Locator } from '../src/contract/locator.js'
import { sampleLocator, storedSession } from '../src/testing/stored-session.js'
import { memcachedCounts, startMemcached, startPostgres, startRedis } from './servers/index.js'

const HELP = `scripts/engine-cost [sessions]

Starts a PostgreSQL, a Redis and a Memcached of its own, and keeps so many sessions (20,000) of 1 KB in each: in PostgreSQL in
one table and in 16 partitions. Prints for each engine the sessions made a second, the sessions flushed a second in batches of
64, the reads a second with 32 at once, and the bytes that a session takes. The servers run on this machine, as does what asks
them, so that a server of its own does more. Both log every change, and Redis waits for its disk once a second. The last line
is JSON.`

const BYTES = 1_000
const AT_ONCE = 32
const BATCH = 64

interface Figures {
  readonly engine: string
  readonly createdPerSecond?: number
  readonly flushedPerSecond?: number
  readonly readsPerSecond: number
  readonly bytesOfASession: number
}

interface Kept {
  readonly locator: Locator
  session: StoredSession
}

/** How many a second, of so many things that are done some at a time. */
const perSecond = async (count: number, atOnce: number, work: (n: number) => Promise<unknown>): Promise<number> => {
  const startedMs = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next
      next += 1
      await work(n)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return Math.round(count / ((performance.now() - startedMs) / 1_000))
}

const nextVersion = ({ locator, session }: Kept): GuardedUpdate => {
  const { lineage, version } = session
  const guard = { lineage, belowVersion: version + 1, parentLineage: lineage, parentVersion: version }
  return { locator, session: { ...session, version: version + 1 }, guard, token: new Uint8Array(0) }
}

const measured = async (
  engine: string,
  backend: Backend,
  sessions: number,
  bytesUsed: () => Promise<number>,
): Promise<Figures> => {
  await backend.setUp()
  const before = await bytesUsed()
  const kept: readonly Kept[] = Array.from({ length: sessions }, (_, n) => ({
    locator: sampleLocator({ namespace: 'cost' }),
    session: storedSession({ data: randomBytes(BYTES), userId: `user ${n}` }),
  }))
  const at = (n: number): Kept => kept[n % sessions] as Kept
  const createdPerSecond = await perSecond(sessions, AT_ONCE, (n) => backend.insert(at(n).locator, at(n).session))
  const bytesOfASession = Math.round(((await bytesUsed()) - before) / sessions)
  const batches = Math.floor(sessions / BATCH)
  const batchesPerSecond = await perSecond(batches, 4, (n) =>
    backend.update(Array.from({ length: BATCH }, (_, place) => nextVersion(at(n * BATCH + place)))),
  )
  const readsPerSecond = await perSecond(sessions, AT_ONCE, (n) => backend.read(at(n).locator))
  await backend.close()
  return { engine, createdPerSecond, flushedPerSecond: batchesPerSecond * BATCH, readsPerSecond, bytesOfASession }
}

const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

const inPostgres = async (sessions: number, partitions: number | undefined): Promise<Figures> => {
  const server = await startPostgres({ useEnvironment: false, fsync: true })
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: server.adminUrl })
  try {
    await client.connect()
    const size = async (): Promise<number> =>
      Number((await client.query('select pg_database_size(current_database()) as size')).rows[0].size)
    const backend = postgres({
      connectionString: server.adminUrl,
      ...PATIENCE,
      ...(partitions === undefined ? {} : { partitions }),
    })
    const engine = partitions === undefined ? 'PostgreSQL, one table' : `PostgreSQL, ${partitions} partitions`
    return await measured(engine, backend, sessions, size)
  } finally {
    await client.end()
    await server.stop()
  }
}

const inRedis = async (sessions: number): Promise<Figures> => {
  const server = await startRedis({ settings: { appendfsync: 'everysec' } })
  try {
    const used = async (): Promise<number> =>
      Number(/used_memory:(\d+)/.exec(await server.ask('INFO', 'memory'))?.[1] ?? Number.NaN)
    return await measured('Redis', redis({ url: server.url, ...PATIENCE }), sessions, used)
  } finally {
    await server.stop()
  }
}

const inMemcached = async (sessions: number): Promise<Figures> => {
  const server = await startMemcached({ memoryMb: 1_024 })
  const cache = memcached({ servers: server.address })
  try {
    // As the store keeps a session: the data, and a head of about 150 bytes.
    const value = randomBytes(BYTES + 150)
    const keys = Array.from({ length: sessions }, () => sampleLocator({ namespace: 'cost' }).key)
    const key = (n: number): string => keys[n % sessions] as string
    await perSecond(sessions, AT_ONCE, (n) => cache.set(key(n), value, Date.now() + 86_400_000))
    const readsPerSecond = await perSecond(sessions, AT_ONCE, (n) => cache.get(key(n)))
    // What it has taken to divide it up.
    const bytes = (await memcachedCounts(server.address, 'stats slabs'))('total_malloced')
    return { engine: 'Memcached', readsPerSecond, bytesOfASession: Math.round(bytes / sessions) }
  } finally {
    await cache.close()
    await server.stop()
  }
}

const main = async (sessions: number): Promise<void> => {
  const all: Figures[] = []
  for (const measure of [
    () => inPostgres(sessions, undefined),
    () => inPostgres(sessions, 16),
    () => inRedis(sessions),
    () => inMemcached(sessions),
  ]) {
    const figures = await measure()
    all.push(figures)
    const { engine, createdPerSecond = '-', flushedPerSecond = '-', readsPerSecond, bytesOfASession } = figures
    console.log(
      `${engine}: ${createdPerSecond} made, ${flushedPerSecond} flushed and ${readsPerSecond} read a second, ${bytesOfASession} bytes each`,
    )
  }
  console.log(JSON.stringify({ sessions, figures: all }))
}

const [word = '20000', ...others] = process.argv.slice(2)
if (word === '--help' || word === '-h') console.log(HELP)
else if (others.length > 0 || !/^[1-9]\d{2,6}$/.test(word)) {
  console.error(`scripts/engine-cost takes a number of sessions, 100 or more, and got something else.\n\n${HELP}`)
  process.exitCode = 2
} else await main(Number(word))
