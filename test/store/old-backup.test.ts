import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore, type SessionStore } from '../../src/index.js'
import { runtimeMovedBy } from '../support/calendar.js'
import { keyNamed } from '../support/sealing.js'
import { type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../support/servers.js'
import type { Data } from './world.js'

const HOUR_MS = 3_600_000

skipUnless('a backup of PostgreSQL', await sharedPostgres(), (shared) => {
  let place: FreshSchema
  let client: pg.Client
  const stores: SessionStore<Data>[] = []
  const sealing = { keys: [keyNamed('current')] }

  beforeAll(async () => {
    place = await freshSchema(shared)
    await postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }).setUp()
    client = new pg.Client({ connectionString: place.connectionString })
    await client.connect()
  })
  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())))
  afterAll(async () => {
    await client.end()
    await place.drop()
  })

  /** A process with a cache that is new, as after a restart of all servers. */
  const process = (laterByMs = 0): SessionStore<Data> => {
    const store = createSessionStore<Data>({
      cache: memoryCache(),
      backend: postgres({ connectionString: place.connectionString, schema: place.schema }),
      sealing,
      idleTtlMs: HOUR_MS,
      absoluteTtlMs: HOUR_MS,
      runtime: runtimeMovedBy(laterByMs),
    })
    stores.push(store)
    return store
  }

  /** Takes a backup of the schema, and gives the way to put it back. */
  const backup = async (): Promise<() => Promise<void>> => {
    const { rows } = await client.query<{ name: string; columns: string }>(
      `select table_name as name, string_agg(quote_ident(column_name), ', ') as columns
         from information_schema.columns
        where table_schema = $1 and is_generated = 'NEVER'
        group by table_name`,
      [place.schema],
    )
    const tables = rows.map(({ name, columns }) => ({
      live: `"${place.schema}"."${name}"`,
      copy: `pg_temp."${name}"`,
      columns,
    }))
    for (const { live, copy, columns } of tables)
      await client.query(`create table ${copy} as select ${columns} from ${live}`)
    return async () => {
      for (const { live, copy, columns } of tables) {
        await client.query(`delete from ${live}`)
        await client.query(`insert into ${live} (${columns}) select ${columns} from ${copy}`)
        await client.query(`drop table ${copy}`)
      }
    }
  }

  /** A session that was ended after a backup, which is then put back. */
  const broughtBack = async (): Promise<string> => {
    const before = process()
    const { id } = await before.create({ user: 'ada' })
    const putBack = await backup()
    await before.destroy(id)
    expect(await process().load(id)).toBeUndefined()
    await putBack()
    return id
  }

  test('a backup that is put back brings a session back that was ended since, at most until its absolute end', async () => {
    const id = await broughtBack()
    expect((await process().load(id))?.data).toEqual({ user: 'ada' })
    expect(await process(HOUR_MS + 60_000).load(id)).toBeUndefined()
  })

  test('`destroyAll` ends what a backup has brought back', async () => {
    const id = await broughtBack()
    await process().destroyAll()
    expect(await process().load(id)).toBeUndefined()
  })
})
