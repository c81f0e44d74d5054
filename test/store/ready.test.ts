import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { createSessionStore } from '../../src/index.js'
import { memoryCache } from '../../src/memory.js'
import { quietRuntime } from '../support/calendar.js'
import { type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../support/servers.js'
import { expectCode, world } from './world.js'

describe('a store', () => {
  test('is ready when both tiers answer, and says how they are', async () => {
    const store = world().process()
    expect(await store.ready()).toMatchObject({ state: 'up', cache: { state: 'up' }, backend: { state: 'up' } })
    expect(await store.ready({ deadlineMs: 5_000 })).toMatchObject({ state: 'up' })
  })

  test.each(['cache', 'backend'] as const)('is ready as soon as a %s that was away is back', async (name) => {
    const cluster = world()
    const store = cluster.process()
    cluster[name].unreachable = true
    let state = 'waiting'
    const ready = store.ready({ deadlineMs: 60_000 }).then((health) => {
      state = health.state
    })
    // Until it has been asked in vain, and a good while after.
    await expect.poll(() => cluster[name].calls.length).toBeGreaterThan(1)
    cluster[name].unreachable = false
    await expect
      .poll(() => {
        cluster.runtime.advance(250)
        return state
      })
      .toBe('up')
    await ready
  })

  test.each(['cache', 'backend'] as const)(
    'is not ready while the %s is away: an error says which it is',
    async (name) => {
      const cluster = world()
      const store = cluster.process()
      cluster[name].unreachable = true
      const refused = expect(store.ready({ deadlineMs: 2_000 })).rejects.toMatchObject({
        code: 'E_SESSION_UNAVAILABLE',
        message: expect.stringMatching(/is not ready: .*memory.* is down .*Check whether the servers run/),
      })
      await expect.poll(() => cluster[name].calls.length).toBeGreaterThan(1)
      for (let second = 0; second < 4; second += 1) {
        await new Promise((resolve) => setImmediate(resolve))
        cluster.runtime.advance(1_000)
      }
      await refused
    },
  )

  test('is not ready where a tier says nothing at all, at the deadline', async () => {
    const cluster = world()
    const store = cluster.process()
    cluster.backend.intercept = () => new Promise(() => {})
    const refused = expectCode(store.ready({ deadlineMs: 1_000 }), 'E_SESSION_UNAVAILABLE')
    cluster.runtime.advance(1_000)
    await refused
  })

  test('that was closed is never ready, and an option that there is not is refused', async () => {
    const store = world().process()
    await expectCode(store.ready({ deadline: 5 } as never), 'E_CONFIG')
    await expectCode(store.ready({ deadlineMs: -1 }), 'E_CONFIG')
    await store.close()
    await expectCode(store.ready(), 'E_CLOSED')
  })
})

skipUnless('a store on PostgreSQL', await sharedPostgres(), (server) => {
  let fresh: FreshSchema
  beforeAll(async () => {
    fresh = await freshSchema(server)
  })
  afterAll(() => fresh.drop())

  test('is not ready without its table, says what to run, and is ready where it makes it itself', async () => {
    const place = { connectionString: fresh.connectionString, schema: fresh.schema }
    const on = (backend: ReturnType<typeof postgres>) =>
      createSessionStore({ cache: memoryCache(), backend, runtime: quietRuntime })
    const bare = on(postgres(place))
    await expect(bare.ready()).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringMatching(/npx nonstick setup|migrate/),
    })
    const migrating = on(postgres({ ...place, migrate: true }))
    expect(await migrating.ready()).toMatchObject({ state: 'up' })
    expect(await bare.ready()).toMatchObject({ state: 'up' })
    await Promise.all([bare.close(), migrating.close()])
  })
})
