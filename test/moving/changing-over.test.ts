import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findRedis, type RedisServer, startRedis } from '../../scripts/servers/index.js'
import { pauseMs } from '../../scripts/servers/process.js'
import { postgres } from '../../src/backends/postgres/index.js'
import {
  absent,
  type FreshSchema,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  sharedPostgres,
  skipUnless,
} from '../support/servers.js'
import { type AppProcess, startApp, userBehind, Visitor } from './fleet.js'
import { makePgSimpleTable, type OldPlace } from './old-stores.js'

const [postgresFound, memcachedFound] = [await sharedPostgres(), await ownMemcached()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : findRedis() === undefined
        ? absent('no redis-server on this machine (Debian: apt-get install redis-server)')
        : { shared: postgresFound, start: memcachedFound }

const PROCESSES = 3
const VISITORS = 24
/** How often each visitor does something, on average, before the next process is replaced. */
const STEPS_BETWEEN = 8
/** Twelve processes start for these tests, on a machine that may have much else to do. */
const PATIENCE_MS = 600_000

skipUnless('a fleet of three express processes that changes over under load', servers, ({ shared, start }) => {
  let redis: RedisServer
  let cache: MemcachedServer
  let place: FreshSchema

  beforeAll(async () => {
    redis = await startRedis()
    cache = await start()
    place = await freshSchema(shared)
    await postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }).setUp()
    await makePgSimpleTable(place.connectionString)
  })
  afterAll(async () => {
    await redis.stop()
    await cache.stop()
    await place.drop()
  })

  test.each(['connect-redis', 'connect-pg-simple'] as const)(
    'from %s, one process after the other: nobody is logged out, no change is lost, and a logout stays a logout, for the old processes too',
    async (kind) => {
      const secret = randomBytes(16).toString('hex')
      const old: OldPlace =
        kind === 'connect-redis' ? { kind, url: redis.url } : { kind, connectionString: place.connectionString }
      const { connectionString, schema } = place
      const fresh = { cacheAddress: cache.address, connectionString, schema }
      const started: AppProcess[] = []
      const begin = async (isNew: boolean): Promise<AppProcess> => {
        const app = await startApp(isNew ? { secret, old, fresh } : { secret, old })
        started.push(app)
        return app
      }
      try {
        const [slots, next] = await Promise.all([
          Promise.all(Array.from({ length: PROCESSES }, () => begin(false))),
          Promise.all(Array.from({ length: PROCESSES }, () => begin(true))),
        ])
        const before = [...slots]
        const wrong: string[] = []
        const loggedOut: string[] = []
        const stepsOf = Array.from({ length: VISITORS }, () => 0)
        const steps = (): number => stepsOf.reduce((sum, each) => sum + each)
        let isOver = false

        /** The balancer sends a visitor to the same process until that one is replaced. */
        const visit = async (n: number): Promise<void> => {
          const visitor = new Visitor(`user-${n}`)
          const here = (): string => slots[n % PROCESSES]?.url ?? ''
          const tell = (what: string | undefined): void => {
            if (what !== undefined) wrong.push(what)
          }
          await visitor.login(here())
          for (let step = n; !isOver; step += 1) {
            if (step % 7 === 6) {
              const cookie = await visitor.logout(here())
              loggedOut.push(cookie)
              if ((await userBehind(here(), cookie)) !== undefined) wrong.push(`user-${n} is not logged out`)
              await visitor.login(here())
            } else if (step % 7 === 3) tell(await visitor.look(here()))
            else tell(await visitor.note(here()))
            stepsOf[n] = (stepsOf[n] ?? 0) + 1
          }
          tell(await visitor.look(here()))
        }
        const visits = Promise.all(Array.from({ length: VISITORS }, (_, n) => visit(n)))
        const afterMoreSteps = async (): Promise<void> => {
          const until = steps() + STEPS_BETWEEN * VISITORS
          // A visitor whose request fails ends all of it.
          while (steps() < until) await Promise.race([visits, pauseMs(5)])
        }
        /** What a visitor has begun at the process that is replaced has been answered, as a balancer waits for it. */
        const allHaveLeft = async (): Promise<void> => {
          const then = [...stepsOf]
          while (stepsOf.some((count, n) => count === then[n])) await Promise.race([visits, pauseMs(5)])
        }

        await afterMoreSteps()
        for (let slot = 0; slot < PROCESSES; slot += 1) {
          const replacement = next[slot]
          if (replacement === undefined) throw new Error('there is a new process for each old one')
          slots[slot] = replacement
          await allHaveLeft()
          // Nobody visits the first any more, and nobody has ended it either.
          if (slot > 0) await before[slot]?.end()
          await afterMoreSteps()
        }
        isOver = true
        await visits

        expect(wrong).toEqual([])
        expect(loggedOut.length).toBeGreaterThan(VISITORS)
        const everywhere = [...slots, ...before.slice(0, 1)]
        for (const cookie of loggedOut)
          for (const { url } of everywhere) expect(await userBehind(url, cookie)).toBeUndefined()

        const reports = await Promise.all(slots.map((app) => app.end()))
        expect(reports.map((report) => [report?.left, report?.destroysLeft])).toEqual(slots.map(() => [0, 0]))
        const adopted = reports.reduce((sum, report) => sum + (report?.adopted ?? 0), 0)
        expect(adopted).toBeGreaterThan(VISITORS / 2)
        expect(adopted).toBeLessThanOrEqual(VISITORS)
      } finally {
        for (const app of started) app.kill()
      }
    },
    PATIENCE_MS,
  )
})
