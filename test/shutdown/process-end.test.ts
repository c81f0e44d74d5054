import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  absent,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  ownPostgres,
  type PostgresServer,
  sharedPostgres,
  skipUnless,
} from '../support/servers.js'
import { type Program, startProgram } from './programs.js'

/** A busy machine takes its time to start a program. */
const PATIENCE_MS = 300_000

let running: Program[] = []
afterEach(async () => {
  await Promise.all(running.map((program) => program.stop()))
  running = []
})
const start = (env: NodeJS.ProcessEnv): Program => {
  const program = startProgram('test/shutdown/forgetful.ts', {
    MEMCACHED_SERVERS: undefined,
    DATABASE_URL: undefined,
    ...env,
  })
  running.push(program)
  return program
}

test('a script that owes a flush and does not close its store ends by itself', { timeout: PATIENCE_MS }, async () => {
  const program = start({})
  expect(await program.ended).toBe(0)
  expect(program.output()).toContain('used 1')
})

skipUnless('a script that does not close its store on PostgreSQL', await sharedPostgres(), (shared) => {
  test('ends by itself too', { timeout: PATIENCE_MS }, async () => {
    const place = await freshSchema(shared)
    const program = start({ DATABASE_URL: place.connectionString })
    try {
      expect(await program.ended).toBe(0)
      expect(program.output()).toContain('used 1')
    } finally {
      await program.stop()
      await place.drop()
    }
  })
})

const [memcachedFound, postgresFound] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : typeof postgresFound !== 'function'
      ? absent('there is no PostgreSQL that a test may freeze')
      : { startMemcached: memcachedFound, startPostgres: postgresFound }

skipUnless('a store that is closed while a real server is in trouble', servers, ({ startMemcached, startPostgres }) => {
  let cache: MemcachedServer
  let backend: PostgresServer
  beforeAll(async () => {
    ;[cache, backend] = await Promise.all([startMemcached(), startPostgres()])
  })
  afterEach(() => {
    cache.resume()
    backend.resume()
  })
  afterAll(async () => {
    await Promise.all([cache.stop(), backend.stop()])
  })

  test.each<[string, () => void | Promise<void>, number]>([
    ['nothing at all', () => {}, 0],
    ['Memcached frozen', () => cache.pause(), 1],
    ['PostgreSQL frozen', () => backend.pause(), 1],
    [
      'both frozen',
      () => {
        cache.pause()
        backend.pause()
      },
      1,
    ],
    ['Memcached killed', () => cache.kill9(), 1],
  ])(
    '%s: it closes in time, says what is left, and its process ends',
    { timeout: PATIENCE_MS },
    async (_what, strike, left) => {
      const program = start({
        MEMCACHED_SERVERS: cache.address,
        DATABASE_URL: backend.adminUrl,
        CLOSE_AT: 'SIGUSR2',
      })
      await program.prints(/^waiting/)
      await strike()
      program.signal('SIGUSR2')
      const [closed] = await program.prints(/^closed (.*)$/)
      const report = JSON.parse(closed?.[1] ?? '')
      expect(report).toMatchObject({ flushed: 1 - left, left, destroysLeft: 0 })
      // Its deadline is a second; what is beyond it is the busy machine's.
      expect(report.tookMs).toBeLessThan(3_000)
      expect(await program.ended).toBe(0)
    },
  )
})
