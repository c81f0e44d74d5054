import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../support/servers.js'
import { FRAMEWORKS } from './apps/index.js'
import { BEHAVE } from './behaviours.js'
import { BEHAVIOURS, type BehaviourName } from './framework.js'
import { openGround, type Tiers } from './ground.js'
import { costsTable, importsTable, matrix, tableIn } from './matrix.js'

const NAMES = Object.keys(BEHAVIOURS) as readonly BehaviourName[]

const [postgresFound, memcachedFound] = [await sharedPostgres(), await sharedMemcached()]
const servers =
  postgresFound.kind === 'absent'
    ? postgresFound
    : memcachedFound.kind === 'absent'
      ? memcachedFound
      : { database: postgresFound, cache: memcachedFound }

skipUnless('every framework on real Memcached and PostgreSQL', servers, ({ database, cache }) => {
  let place: FreshSchema
  const tiers: Tiers = {
    cache: () => memcached({ servers: cache.address }),
    backend: () => postgres({ connectionString: place.connectionString, schema: place.schema, maxConnections: 4 }),
  }

  beforeAll(async () => {
    place = await freshSchema(database)
    const backend = postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true })
    await backend.setUp()
    await backend.close()
  })
  afterAll(async () => await place.drop())

  describe.each(FRAMEWORKS.map((framework) => ({ framework, name: framework.name })))('$name', ({ framework }) => {
    const behaves = async (name: BehaviourName): Promise<void> => {
      await using ground = await openGround(framework, tiers)
      await BEHAVE[name](ground, framework)
    }

    test.each(NAMES.filter((name) => framework.limits[name] === undefined).map((name) => [name, BEHAVIOURS[name]]))(
      '%s: %s',
      async (name) => await behaves(name as BehaviourName),
    )

    test.each(
      NAMES.filter((name) => framework.limits[name] !== undefined).map((name) => [name, framework.limits[name]]),
    )('%s is a limit: %s', async (name) => {
      await expect(behaves(name as BehaviourName), 'it holds, so it is no limit any more').rejects.toThrow()
    })
  })
})

describe('the page on frameworks, and the README', () => {
  test('have the tables of what was tried here, and no others', () => {
    console.log(`\n${matrix(FRAMEWORKS)}\n\n${costsTable(FRAMEWORKS)}\n`)
    expect(tableIn('docs/frameworks/README.md', 'matrix')).toBe(matrix(FRAMEWORKS))
    expect(tableIn('README.md', 'frameworks')).toBe(importsTable(FRAMEWORKS))
    expect(tableIn('docs/frameworks/README.md', 'costs')).toBe(costsTable(FRAMEWORKS))
  })
})
