/** Runs what `scripts/event-loop` promises; `HELP` is the promise. */
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { findMemcached, findPostgres, startMemcached, startPostgres } from '../servers/index.js'
import { measureStalls, type Stall } from './stalls.js'

const HELP = `scripts/event-loop

Creates, loads, saves, merges and regenerates sessions of 4 MB and sessions with the most values, each of which a hundred
writers change, and has sessions with 100,000 keys refused. Prints for how long the event loop was kept at a time while
it did so: as monitorEventLoopDelay has it, and in processor time. It does so on Memcached and PostgreSQL where both are
installed, and else on the embedded tiers. The last line is JSON. On a busy machine only the processor time says anything.
The exit code is 1 where a change was lost, or a session was not refused.`

/** A machine may be busy with other things; what is measured here is how long a turn takes, and not a call. */
const PATIENT = { backendTimeoutMs: 60_000, cacheTimeoutMs: 60_000, deadlineMs: 300_000, purgeEveryMs: 0 }

/** Starts both servers where they are installed. */
const tiers = async () => {
  if (findMemcached() === undefined || findPostgres() === undefined) {
    const [cache, backend] = [memoryCache(), memoryBackend()]
    return { on: 'the embedded tiers', open: () => ({ ...PATIENT, cache, backend }), stop: async () => {} }
  }
  const [database, cacheServer] = await Promise.all([startPostgres({ useEnvironment: false }), startMemcached()])
  const connectionString = database.adminUrl
  const options = { connectionString, connectTimeoutMs: 60_000, queryTimeoutMs: 60_000 }
  const setUp = postgres(options)
  await setUp.setUp()
  await setUp.close()
  return {
    on: 'Memcached and PostgreSQL',
    open: () => ({
      ...PATIENT,
      cache: memcached({ servers: `127.0.0.1:${cacheServer.port}`, operationTimeoutMs: 30_000 }),
      backend: postgres(options),
    }),
    stop: async () => {
      await Promise.all([database.stop(), cacheServer.stop()])
    },
  }
}

const longest = (of: readonly Stall[]): Pick<Stall, 'wallMs' | 'cpuMs'> => ({
  wallMs: Math.max(...of.map(({ wallMs }) => wallMs)),
  cpuMs: Math.max(...of.map(({ cpuMs }) => cpuMs)),
})

const main = async (): Promise<void> => {
  const { on, open, stop } = await tiers()
  try {
    const { stalls, refused } = await measureStalls(open, ({ shape, call, wallMs, cpuMs }) =>
      console.log(`${shape}, ${call}: ${wallMs} ms, ${cpuMs} ms of the processor`),
    )
    console.log(JSON.stringify({ on, longest: longest([...stalls, ...refused]), stalls, refused }))
  } finally {
    await stop()
  }
}

const [word, ...others] = process.argv.slice(2)
if (word === '--help' || word === '-h') console.log(HELP)
else if (word !== undefined || others.length > 0) {
  console.error(`scripts/event-loop takes no arguments.\n\n${HELP}`)
  process.exitCode = 2
} else
  await main().catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
