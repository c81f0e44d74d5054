import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import session, { type SessionData, type Store } from 'express-session'
import pg from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findRedis, type RedisServer, startRedis } from '../../scripts/servers/index.js'
import { NonstickStore } from '../../src/adapters/express.js'
import type { Source } from '../../src/cli/import/source.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import { absent, type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../support/servers.js'
import { openSource, target } from './carrying.js'
import { makePgSimpleTable, openOldStore } from './old-stores.js'

const require = createRequire(import.meta.url)
const HOUR_MS = 3_600_000

/** A session as express-session gives it to its store. */
const ofExpress = (data: object, maxAge: number | null = HOUR_MS): SessionData => {
  const cookie = new session.Cookie()
  if (maxAge !== null) cookie.maxAge = maxAge
  return { cookie, ...data } as unknown as SessionData
}

const put = (store: Store, sid: string, data: SessionData): Promise<void> =>
  new Promise((resolve, reject) => {
    store.set(sid, data, (error: unknown) => (error ? reject(error) : resolve()))
  })

/** What holds of every store of express-session that sessions are carried from. */
const carriesAll = (
  place: () => {
    readonly store: Store
    open(): Promise<Source>
    spoil(id: string): Promise<void>
    left(): Promise<number>
  },
): void => {
  test('its sessions are carried under their ids, with data, idle time-out and end, and an application goes on with them', async () => {
    const { store, open } = place()
    await put(store, 'ada', ofExpress({ user: 'ada', cart: [{ tea: 1 }] }))
    await put(store, 'browser', ofExpress({ user: 'bob' }, null))
    const { sessions, carry, compare } = target()
    const source = await open()
    try {
      expect(await carry(source)).toMatchObject({ counts: { found: 2, carried: 2 }, isDone: true, reasons: [] })
      expect(await compare(source)).toMatchObject({ found: 2, same: 2, reasons: [] })
      expect(await carry(source)).toMatchObject({ counts: { found: 2, carried: 0, here: 2 }, isDone: true })
    } finally {
      await source.close()
    }
    const express = new NonstickStore({ sessions: sessions as never })
    expect(await express.get('ada')).toMatchObject({
      user: 'ada',
      cart: [{ tea: 1 }],
      cookie: { originalMaxAge: HOUR_MS, httpOnly: true, path: '/' },
    })
    const ada = await sessions.load('ada', { touch: false })
    expect(ada?.idleTtlMs).toBe(HOUR_MS)
    const leftMs = Number(ada?.expiresAt) - clock.now()
    expect(leftMs).toBeGreaterThan(HOUR_MS - 120_000)
    // Some of these stores write down whole seconds.
    expect(leftMs).toBeLessThanOrEqual(HOUR_MS + 1_000)
    expect(await express.get('browser')).toMatchObject({ user: 'bob', cookie: { originalMaxAge: null } })
  })

  test('what cannot be read is told without its content, and is left where it is', async () => {
    const { spoil, open, left } = place()
    await spoil('spoilt')
    const { carry, purge } = target()
    const source = await open()
    try {
      const { counts, reasons } = await carry(source)
      expect(counts).toMatchObject({ found: 3, carried: 2, refused: 1 })
      expect(reasons).toMatchObject([{ count: 1 }])
      expect(JSON.stringify(reasons)).not.toMatch(/spoilt|secret/)
      expect(await purge(source, true)).toMatchObject({ removed: 2, unreadable: 1 })
      expect(await left()).toBe(3)
      expect(await purge(source)).toMatchObject({ removed: 2, unreadable: 1, notHere: 0 })
      expect(await left()).toBe(1)
    } finally {
      await source.close()
    }
  })

  test('what is not here is not removed there', async () => {
    const { store, open, left } = place()
    await put(store, 'only there', ofExpress({ user: 'eve' }))
    const source = await open()
    try {
      expect(await target().purge(source)).toMatchObject({ removed: 0, notHere: 1 })
      expect(await left()).toBe(2)
    } finally {
      await source.close()
    }
  })
}

skipUnless(
  'sessions in a real Redis',
  findRedis() === undefined ? absent('no redis-server on this machine') : { start: startRedis },
  ({ start }) => {
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

    describe('of connect-redis', () => {
      let old: Awaited<ReturnType<typeof openOldStore>>
      beforeAll(async () => {
        await client.flushAll()
        await client.set('of another program', 'no session')
        await client.hSet('sess:of another type', { no: 'session' })
        old = await openOldStore({ kind: 'connect-redis', url: redis.url })
      })
      afterAll(() => old.close())
      carriesAll(() => ({
        store: old.store,
        open: () => openSource('connect-redis', { at: redis.url }),
        spoil: async (id) => void (await client.set(`sess:${id}`, 'a secret that is no JSON')),
        left: async () => (await client.keys('sess:*')).length - 1,
      }))
    })
  },
)

skipUnless('sessions in a real PostgreSQL', await sharedPostgres(), (shared) => {
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

  describe('of connect-pg-simple', () => {
    let old: Awaited<ReturnType<typeof openOldStore>>
    beforeAll(async () => {
      await makePgSimpleTable(place.connectionString)
      old = await openOldStore({ kind: 'connect-pg-simple', connectionString: place.connectionString })
    })
    afterAll(() => old.close())
    carriesAll(() => ({
      store: old.store,
      open: () => openSource('connect-pg-simple', { at: place.connectionString }),
      spoil: async (id) =>
        void (await pool.query(`insert into session values ($1, '"a secret"', now() + interval '1 hour')`, [id])),
      left: async () => Number((await pool.query('select count(*) as n from session')).rows[0].n),
    }))

    test('one that has ended is not carried, and is removed', async () => {
      await pool.query(`truncate session`)
      await put(old.store, 'ended', ofExpress({ user: 'ada' }))
      await pool.query(`update session set expire = now() - interval '1 second'`)
      const source = await openSource('connect-pg-simple', { at: place.connectionString })
      const { carry, purge } = target()
      expect((await carry(source)).counts).toMatchObject({ found: 1, carried: 0, ended: 1 })
      expect(await purge(source)).toMatchObject({ removed: 1 })
      await source.close()
    })
  })
})

describe('sessions in files', () => {
  describe('of session-file-store', () => {
    let folder: string
    let store: Store
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'nonstick-files-'))
      const FileStore = (require('session-file-store') as (of: typeof session) => new (options: object) => Store)(
        session,
      )
      store = new FileStore({ path: folder, ttl: 3_600, reapInterval: -1, logFn: () => {} })
    })
    afterAll(() => rm(folder, { recursive: true, force: true }))
    carriesAll(() => ({
      store,
      open: () => openSource('session-file-store', { at: folder }),
      spoil: async (id) => await writeFile(join(folder, `${id}.json`), 'a secret that is no JSON'),
      left: async () => (await import('node:fs/promises')).readdir(folder).then((names) => names.length),
    }))
  })
})
