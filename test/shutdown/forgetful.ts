/** A script that leaves a session unflushed, and forgets to close its store, or closes it only at a signal. */
import { memoryBackend } from '../../src/backends/memory/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore } from '../../src/index.js'

const env = process.env
const servers = env['MEMCACHED_SERVERS']
const connectionString = env['DATABASE_URL']

const sessions = createSessionStore<{ n: number }>({
  cache: servers === undefined ? memoryCache() : memcached({ servers }),
  backend: connectionString === undefined ? memoryBackend() : postgres({ connectionString, migrate: true }),
  maxStaleMs: 3_600_000,
})
const session = await sessions.create({ n: 1 })
// The first change may be flushed at once, as the first after a fill.
for (session.data.n of [2, 3]) await sessions.save(session)
console.log('used', sessions.stats().unflushed)

if (env['CLOSE_AT'] !== undefined) {
  const waiting = setInterval(() => {}, 1_000)
  process.once(env['CLOSE_AT'], async () => {
    clearInterval(waiting)
    const startedMs = performance.now()
    const report = await sessions.close({ deadlineMs: 1_000 })
    console.log('closed', JSON.stringify({ ...report, tookMs: performance.now() - startedMs }))
  })
  console.log('waiting')
}
