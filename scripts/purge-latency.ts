/** Runs what `scripts/purge-latency` promises; `HELP` is the promise. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { postgres } from '../src/backends/postgres/index.js'
import { memcached } from '../src/caches/memcached/index.js'
import { createSessionStore } from '../src/index.js'
import { startMemcached, startPostgres } from './servers/index.js'

const HELP = `scripts/purge-latency [rows]

Starts Memcached and PostgreSQL, lets four visitors load and change sessions one after the other, and purges so many
expired rows (50,000) beside them, three times, with as much time before each without a purge. Prints the 50th, 95th and
99th percentile of the requests' latencies with and without the purge, and a line of JSON. The exit code is 1 if the 95th
with it is twice the one without it, or more. Only on a quiet machine does the figure say anything.`

const VISITORS = 4
const ROUNDS = 3
const MOST = 2

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

const figuresOf = (latencies: readonly number[]) => {
  const sorted = [...latencies].sort((one, other) => one - other)
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => Number(percentile(sorted, share).toFixed(2)))
  return { requests: sorted.length, p50, p95, p99 }
}

const main = async (rows: number): Promise<number> => {
  const [server, cache] = await Promise.all([startPostgres({ useEnvironment: false }), startMemcached()])
  const admin = new pg.Client({ connectionString: server.adminUrl })
  await admin.connect()
  const backend = postgres({ connectionString: server.adminUrl, connectTimeoutMs: 20_000, queryTimeoutMs: 20_000 })
  const sessions = createSessionStore<{ count: number }>({
    cache: memcached({ servers: `127.0.0.1:${cache.port}` }),
    backend,
    purgeEveryMs: 0,
    backendTimeoutMs: 20_000,
    deadlineMs: 60_000,
  })
  try {
    await backend.setUp()
    const ids = await Promise.all(Array.from({ length: 200 }, async () => (await sessions.create({ count: 0 })).id))

    const putExpired = async (): Promise<void> => {
      await admin.query(
        `insert into nonstick.session (namespace, id_hash, lineage, version, write_ids, codec, data, created_at, seen_at,
           expires_at, absolute_expires_at, idle_ttl_ms, purge_hour)
         select 'nonstick', decode(md5($2 || i) || md5(i || $2), 'hex'), decode('00000000000000aa', 'hex'), 1,
           decode('00000000000000bb', 'hex'), 1, decode(repeat('ab', 1000), 'hex'), moment, moment, moment,
           moment + interval '30 days', 86400000, ceil(extract(epoch from moment + interval '1 day') / 3600)::integer
         from generate_series(1, $1::integer) as i, (select now() - interval '3 days' as moment) as moments`,
        [rows, randomBytes(4).toString('hex')],
      )
      await admin.query('checkpoint')
    }
    /** Visitors come until the work is over; how long each of their requests took, in ms. */
    const serveDuring = async (work: Promise<unknown>): Promise<readonly number[]> => {
      const latencies: number[] = []
      let isOver = false
      const over = work.finally(() => {
        isOver = true
      })
      const visit = async (visitor: number): Promise<void> => {
        for (let request = visitor; !isOver; request += VISITORS) {
          const startedMs = performance.now()
          await sessions.update(ids[request % ids.length] ?? '', ({ count }) => ({ count: count + 1 }))
          latencies.push(performance.now() - startedMs)
        }
      }
      await Promise.all([over, ...Array.from({ length: VISITORS }, (_, visitor) => visit(visitor))])
      return latencies
    }

    const without: number[] = []
    const during: number[] = []
    let removed = 0
    let tookMs = 3_000
    await serveDuring(new Promise((resolve) => setTimeout(resolve, tookMs)))
    for (let round = 0; round < ROUNDS; round += 1) {
      await putExpired()
      without.push(...(await serveDuring(new Promise((resolve) => setTimeout(resolve, tookMs)))))
      const startedMs = performance.now()
      during.push(...(await serveDuring(sessions.purge().then((report) => (removed += report.removed)))))
      tookMs = performance.now() - startedMs
    }
    const figures = { removed, tookMs: Math.round(tookMs), without: figuresOf(without), during: figuresOf(during) }
    const ratio = Number(((figures.during.p95 ?? Number.NaN) / (figures.without.p95 ?? Number.NaN)).toFixed(2))
    console.log(`${removed} rows were purged, the last ${rows} in ${figures.tookMs} ms.`)
    for (const [what, { requests, p50, p95, p99 }] of [
      ['without a purge', figures.without],
      ['beside a purge', figures.during],
    ] as const)
      console.log(`${what}: ${requests} requests, p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms`)
    console.log(`The 95th percentile is ${ratio} times as long; it must be less than ${MOST}.`)
    console.log(JSON.stringify({ ...figures, ratio }))
    return removed === rows * ROUNDS && ratio < MOST ? 0 : 1
  } finally {
    await sessions.close()
    await admin.end()
    await Promise.all([server.stop(), cache.stop()])
  }
}

const [word = '50000', ...others] = process.argv.slice(2)
if (word === '--help' || word === '-h') console.log(HELP)
else if (others.length > 0 || !/^[1-9]\d{0,6}$/.test(word)) {
  console.error(`scripts/purge-latency takes a number of rows, and got something else.\n\n${HELP}`)
  process.exitCode = 2
} else process.exitCode = await main(Number(word))
