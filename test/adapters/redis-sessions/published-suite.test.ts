import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { systemRuntime } from '../../../src/runtime.js'
import { QUIET_DAY } from '../../support/calendar.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../../support/servers.js'
import { expectAllToPass, HANGING_MS, runPublishedSuite } from './published-suite.js'

const [cacheFound, postgresFound] = [await sharedMemcached(), await sharedPostgres()]
const servers =
  cacheFound.kind === 'absent'
    ? cacheFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { cache: cacheFound, shared: postgresFound }

test(
  'the published suite of redis-sessions, as it is, passes with all of its 88 tests on the embedded tiers',
  async () => {
    await expectAllToPass({ kind: 'memory', namespace: 'rs', startsAt: QUIET_DAY })
  },
  HANGING_MS,
)

skipUnless('the published suite on real servers', servers, ({ cache, shared }) => {
  let place: FreshSchema
  beforeAll(async () => {
    place = await freshSchema(shared)
    const backend = postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true })
    await backend.setUp()
    await backend.close()
  })
  afterAll(() => place.drop())

  test(
    'passes with all of its 88 tests on PostgreSQL behind Memcached',
    async () => {
      const { connectionString, schema } = place
      await expectAllToPass({
        kind: 'postgres',
        namespace: cache.namespace,
        // PostgreSQL goes by a clock of its own, which nobody can move.
        startsAt: systemRuntime.now(),
        cacheAddress: cache.address,
        options: { connectionString, schema },
      })
    },
    HANGING_MS,
  )
})

test(
  'a test of the suite that fails is counted as one, although the suite ends its process with 0',
  async () => {
    const { passed, failed } = await runPublishedSuite('module.exports = { default: class {} }\n')
    expect(failed.length).toBeGreaterThan(60)
    expect(passed).toBeLessThan(20)
  },
  HANGING_MS,
)
