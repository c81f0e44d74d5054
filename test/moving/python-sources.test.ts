import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findRedis, type RedisServer, startRedis } from '../../scripts/servers/index.js'
import type { Source } from '../../src/cli/import/source.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import { openCouch } from '../backends/couchdb/server.js'
import { absent, type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../support/servers.js'
import { openSource, target } from './carrying.js'

/** Written by hand, by the layouts that these systems document; the pickles in them by Python itself. */
const fixtures = JSON.parse(await readFile(new URL('fixtures/pickles.json', import.meta.url), 'utf8')) as {
  readonly values: readonly string[]
  readonly evil: readonly string[]
}
const pickle = (protocol: number): Buffer => Buffer.from(fixtures.values[protocol] ?? '', 'base64')
const evil = (protocol: number): Buffer => Buffer.from(fixtures.evil[protocol] ?? '', 'base64')
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const DATA = { isauthenticated: true, user: 'ada', set: new Set([1, 2]), d: { day: '2026-01-02' } }

/** Carries all of a source, purges it, and tells what came of it. */
const move = async (source: Source) => {
  const { sessions, carry, compare, purge } = target()
  try {
    const carried = await carry(source)
    const comparison = await compare(source)
    return { sessions, ...carried, comparison, purged: await purge(source) }
  } finally {
    await source.close()
  }
}

const redisFound = findRedis() === undefined ? absent('no redis-server on this machine') : { start: startRedis }

skipUnless('sessions of Python in a real Redis', redisFound, ({ start }) => {
  let redis: RedisServer
  let client: ReturnType<typeof createClient>
  beforeAll(async () => {
    redis = await start()
    client = createClient({ url: redis.url })
    client.on('error', () => {})
    await client.connect()
  })
  afterAll(async () => {
    client.destroy()
    await redis.stop()
  })

  test('of session_redis: dates and sets come with their type, and another prefix is another store', async () => {
    const stored = {
      uid: 7,
      context: { lang: 'en_US' },
      at: { _type: 'datetime', value: '2026-01-02T03:04:05.000006' },
      day: { _type: 'date', value: '2026-01-02' },
      tags: { _type: 'set', value: [1, 2] },
      mine: { _type: 'datetime', note: 'no value' },
    }
    await client.set('session:ada', JSON.stringify(stored), { expiration: { type: 'EX', value: 600_000 } })
    await client.set('session:nobody', '{"uid": null}', { expiration: { type: 'EX', value: 10_000 } })
    await client.set('session::other:bob', '{"uid": 8}', { expiration: { type: 'EX', value: 600_000 } })
    const { sessions, counts, reasons, purged } = await move(await openSource('session-redis', { at: redis.url }))
    expect(counts).toMatchObject({ found: 3, carried: 2, refused: 1 })
    expect(reasons).toMatchObject([{ because: 'it is of another prefix' }])
    expect(purged).toMatchObject({ removed: 2, unreadable: 1 })
    const ada = await sessions.load('ada', { touch: false })
    expect(ada?.data).toEqual({
      uid: 7,
      context: { lang: 'en_US' },
      at: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
      day: '2026-01-02',
      tags: new Set([1, 2]),
      mine: { _type: 'datetime', note: 'no value' },
    })
    expect(ada?.idleTtlMs).toBe(7 * DAY_MS)
    expect(Number(ada?.expiresAt) - clock.now()).toBeLessThanOrEqual(600_000_000)
    expect((await sessions.load('nobody', { touch: false }))?.idleTtlMs).toBe(3 * HOUR_MS)
    const other = await move(await openSource('session-redis', { at: redis.url, prefix: 'session::other:' }))
    expect((await other.sessions.load('bob'))?.data).toEqual({ uid: 8 })
  })

  test('of MuK: pickles are read as data, and one with code in it, or of another program, is refused and stays', async () => {
    await client.flushAll()
    const week = { expiration: { type: 'EX', value: 604_800 } } as const
    await client.set('ada', '(dp0\nVuid\np1\nI7\nsVlogin\np2\nVada\np3\ns.', week)
    await client.set('evil', evil(4), week)
    await client.set('shop:product:17', '{"name":"tea","uid":7}', week)
    await client.set('shop:cache', pickle(4), week)
    const { sessions, counts, reasons, purged } = await move(await openSource('muk-redis', { at: redis.url }))
    expect(counts).toMatchObject({ found: 4, carried: 1, refused: 3 })
    expect(reasons.map(({ because }) => because).join()).toMatch(/code and no data/)
    expect((await sessions.load('ada'))?.data).toEqual({ uid: 7, login: 'ada' })
    expect(purged).toMatchObject({ removed: 1, unreadable: 3 })
    expect((await client.keys('*')).sort()).toEqual(['evil', 'shop:cache', 'shop:product:17'])
  })
})

skipUnless('sessions of Python in a real PostgreSQL', await sharedPostgres(), (shared) => {
  let place: FreshSchema
  let pool: pg.Pool
  beforeAll(async () => {
    place = await freshSchema(shared)
    pool = new pg.Pool({ connectionString: place.connectionString, max: 1 })
    pool.on('error', () => {})
  })
  afterAll(async () => {
    await pool.end()
    await place.drop()
  })

  test('of Chula: pickles and JSON, with their creation and their last write', async () => {
    await pool.query(`create table session (id serial primary key, guid varchar(64) unique not null,
      created timestamptz not null default now(), updated timestamptz, active boolean not null default true, "values" text)`)
    const guid = (letter: string): string => `${(clock.now() / 1_000).toFixed(6).slice(0, 17)}-${letter.repeat(46)}`
    const insert = `insert into session (guid, created, updated, "values") values ($1, now() - interval '1 day', $2, $3)`
    const now = new Date(clock.now())
    const [ada, bob] = [guid('A'), guid('B')]
    await pool.query(insert, [ada, now, pickle(0).toString('latin1')])
    await pool.query(insert, [bob, now, JSON.stringify({ user: 'bob', 'REQUESTS-BETWEEN-DB-PERSIST': 3 })])
    await pool.query(insert, [guid('C'), null, pickle(0).toString('latin1')])
    await pool.query(insert, [guid('D'), now, evil(0).toString('latin1')])
    const source = await openSource('chula-postgres', { at: place.connectionString })
    const { sessions, counts, comparison, purged } = await move(source)
    expect(counts).toMatchObject({ found: 4, carried: 2, ended: 1, refused: 1 })
    expect(comparison).toMatchObject({ same: 2 })
    expect(purged).toMatchObject({ removed: 3, unreadable: 1 })
    const carried = await sessions.load(ada, { touch: false })
    expect(carried?.data).toMatchObject(DATA)
    expect(carried?.idleTtlMs).toBe(HOUR_MS / 2)
    expect(clock.now() - Number(carried?.createdAt)).toBeGreaterThanOrEqual(DAY_MS)
    expect((await sessions.load(bob))?.data).toEqual({ user: 'bob' })
    expect((await pool.query('select guid from session')).rows).toHaveLength(1)
  })

  test('of MuK: pickles in bytes, with the day of the last use', async () => {
    await pool.query(
      `create table odoo_sessions (sid varchar primary key, write_date timestamp without time zone not null, payload bytea not null)`,
    )
    const insert = `insert into odoo_sessions values ($1, (now() at time zone 'UTC') - $2::interval, $3)`
    await pool.query(insert, ['ada', '1 day', pickle(4)])
    await pool.query(insert, ['ended', '8 days', pickle(4)])
    await pool.query(insert, ['evil', '1 day', evil(4)])
    const { sessions, counts } = await move(await openSource('muk-postgres', { at: place.connectionString }))
    expect(counts).toMatchObject({ found: 3, carried: 1, ended: 1, refused: 1 })
    const ada = await sessions.load('ada', { touch: false })
    expect(ada?.data).toMatchObject(DATA)
    expect(ada?.idleTtlMs).toBe(7 * DAY_MS)
    expect(clock.now() - Number(ada?.seenAt)).toBeGreaterThanOrEqual(DAY_MS)
  })
})

test('sessions of Chula in the months of a CouchDB are carried and removed, in parts', async () => {
  const couch = await openCouch()
  // The stand-in takes the slashes out of a name.
  const slash = couch.isReal ? '/' : '-'
  const prefix = `${couch.pattern().replace('-{yyyy}-{mm}', '')}${slash}`
  const months = [`${prefix}2026${slash}10`, `${prefix}2026${slash}9`]
  try {
    for (const month of months) await couch.ask(encodeURIComponent(month), { method: 'PUT' })
    const put = async (month: string, id: string, stored: string, modified = clock.now() / 1_000): Promise<void> => {
      const body = { PICKLE: stored, created: modified - 60, modified }
      await couch.ask(`${encodeURIComponent(month)}/${encodeURIComponent(id)}`, { method: 'PUT', body })
    }
    const [first = '', second = ''] = months
    await put(first, '1790000000.123456-ADA', pickle(0).toString('latin1'))
    await put(first, '1790000001.123456-EVIL', evil(0).toString('latin1'))
    await put(second, '1780000000.123456-BOB', JSON.stringify({ user: 'bob' }))
    await put(second, '1780000001.123456-OLD', JSON.stringify({}), clock.now() / 1_000 - 3_600)
    const docs = Array.from({ length: 250 }, (_, n) => ({
      _id: `178000001${String(n).padStart(3, '0')}.1-MORE`,
      ...{ PICKLE: JSON.stringify({ n }), created: clock.now() / 1_000, modified: clock.now() / 1_000 },
    }))
    await couch.ask(`${encodeURIComponent(second)}/_bulk_docs`, { method: 'POST', body: { docs } })
    const { sessions, counts, comparison, purged } = await move(
      await openSource('chula-couchdb', { at: couch.url, prefix }),
    )
    expect(counts).toMatchObject({ found: 254, carried: 252, ended: 1, refused: 1 })
    expect(comparison).toMatchObject({ same: 252, ended: 1, unreadable: 1 })
    expect(purged).toMatchObject({ removed: 253, unreadable: 1 })
    expect((await sessions.load('1790000000.123456-ADA'))?.data).toMatchObject(DATA)
    expect((await sessions.load('1780000000.123456-BOB'))?.data).toEqual({ user: 'bob' })
    expect((await couch.ask(`${encodeURIComponent(second)}/_all_docs`)).body).toMatchObject({ rows: [] })
  } finally {
    for (const month of months) await couch.ask(encodeURIComponent(month), { method: 'DELETE' })
    await couch.stop()
  }
})

describe('sessions of Odoo in files', () => {
  test('of older and newer versions are carried, with the moment of their last write', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nonstick-odoo-'))
    try {
      await mkdir(join(folder, 'ab'))
      await writeFile(join(folder, 'werkzeug_old0.sess'), pickle(2))
      await writeFile(join(folder, 'ab', 'abnew.sess'), JSON.stringify({ uid: 7 }))
      await writeFile(join(folder, 'werkzeug_evil.sess'), evil(2))
      await writeFile(join(folder, 'werkzeug_long-ago.sess'), pickle(2))
      await writeFile(join(folder, 'of another program'), 'no session')
      await writeFile(join(folder, 'notes.sess'), 'of another program, too')
      await utimes(join(folder, 'notes.sess'), 0, 0)
      const longAgo = clock.now() / 1_000 - 8 * 86_400
      await utimes(join(folder, 'werkzeug_long-ago.sess'), longAgo, longAgo)
      const { sessions, counts, purged } = await move(await openSource('odoo-files', { at: folder }))
      expect(counts).toMatchObject({ found: 5, carried: 2, ended: 1, refused: 2 })
      expect(purged).toMatchObject({ removed: 3, unreadable: 2 })
      expect((await sessions.load('old0'))?.data).toMatchObject(DATA)
      expect((await sessions.load('abnew'))?.data).toEqual({ uid: 7 })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
