import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serialize } from 'bson'
import session, { type SessionData, type Store } from 'express-session'
import pg from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findRedis, type RedisServer, startRedis } from '../../scripts/servers/index.js'
import { NonstickStore } from '../../src/adapters/express.js'
import { NonstickStore as KoaStore } from '../../src/adapters/koa.js'
import { RedisSessions as OurRedisSessions, userOfRedisSession } from '../../src/adapters/redis-sessions/index.js'
import type { Source } from '../../src/cli/import/source.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import {
  absent,
  type FreshSchema,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  sharedPostgres,
  skipUnless,
} from '../support/servers.js'
import { openSource, target } from './carrying.js'
import { makePgSimpleTable, openOldStore } from './old-stores.js'

const require = createRequire(import.meta.url)
const HOUR_MS = 3_600_000

interface KoaRedis {
  set(sid: string, session: object, ttlMs: number): Promise<void>
  quit(): Promise<void>
}

interface OldRedisSessions {
  create(given: object): Promise<{ readonly token: string }>
  get(given: object): Promise<{ readonly r: number } | null>
  kill(given: object): Promise<unknown>
  quit(): Promise<unknown>
}

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

/** Does something without the right of the superuser to read every file. */
const asNobody = async (work: () => Promise<void>): Promise<void> => {
  if (process.getuid?.() !== 0) return await work()
  process.seteuid?.(65_534)
  try {
    await work()
  } finally {
    process.seteuid?.(0)
  }
}

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
    await put(store, 'only-there', ofExpress({ user: 'eve' }))
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

    test('of connect-redis whose cookies say no age are brought up to date where --idle-ttl says how long they live unused', async () => {
      await client.flushAll()
      const { sessions, carry, compare } = target()
      const carryAndCompare = async (idleTtlMs: number | undefined) => {
        const source = await openSource('connect-redis', { at: redis.url, idleTtlMs })
        const { counts } = await carry(source)
        const { same, different } = await compare(source)
        await source.close()
        return { ...counts, same, different }
      }
      const put = async (cart: number, px: number): Promise<void> =>
        void (await client.set('sess:ann', JSON.stringify({ cookie: { originalMaxAge: null }, cart }), { PX: px }))
      await put(1, HOUR_MS / 2)
      expect(await carryAndCompare(HOUR_MS)).toMatchObject({ carried: 1, same: 1 })
      expect(await sessions.load('ann', { touch: false })).toMatchObject({ idleTtlMs: HOUR_MS })
      await put(2, HOUR_MS)
      expect(await carryAndCompare(undefined)).toMatchObject({ here: 1, same: 0, different: 1 })
      expect(await carryAndCompare(HOUR_MS)).toMatchObject({ updated: 1, same: 1, different: 0 })
    })

    test('a session whose key lives far shorter than its cookie is carried, and a key without an id is told and left', async () => {
      await client.flushAll()
      const forever = { cookie: { originalMaxAge: 3_153_600_000_000, path: '/' }, user: 'ada' }
      await client.set('sess:ada', JSON.stringify(forever), { expiration: { type: 'PX', value: 86_400_000 } })
      await client.set('sess:', JSON.stringify(forever))
      const { sessions, carry, purge } = target()
      const source = await openSource('connect-redis', { at: redis.url })
      for (const isDry of [true, false])
        expect((await carry(source, { isDry })).counts).toMatchObject({ found: 2, carried: 1, refused: 1 })
      const ada = await sessions.load('ada', { touch: false })
      expect(Number(ada?.expiresAt) - clock.now()).toBeLessThanOrEqual(86_400_000)
      expect(await purge(source)).toMatchObject({ removed: 1, unreadable: 1, notHere: 0 })
      await source.close()
      expect(await client.keys('*')).toEqual(['sess:'])
    })

    describe('a Redis that was restarted within a scan', () => {
      const COUNT = 3_000
      beforeAll(async () => {
        await client.flushAll()
        const numbers = Array.from({ length: COUNT }, (_, n) => n)
        await client.mSet(numbers.map((n) => [`sess:visitor-${n}`, '{"cookie":{}}'] as [string, string]))
        await client.zAdd(
          'rs:SESSIONS',
          numbers.map((n) => ({ score: n, value: `forum:token${n}:visitor-${n}` })),
        )
      })
      const rest = async (source: Source, from: string | undefined, seen: Set<string>): Promise<Set<string>> => {
        for (let at = from; ; ) {
          const { items, next } = await source.page(at)
          for (const { ref } of items) seen.add(ref)
          if (next === undefined) return seen
          at = next
        }
      }
      const begun = async (name: string, at: string) => {
        const source = await openSource(name, { at })
        const { items, next, resumeAt } = await source.page(undefined)
        expect(next).toBeDefined()
        return { source, next, resumeAt, seen: new Set(items.map(({ ref }) => ref)) }
      }

      test.each(['connect-redis', 'redis-sessions'])(
        'gives all sessions of %s, to who goes on and to who has come later',
        async (name) => {
          const first = await begun(name, redis.url)
          await first.source.close()
          await redis.restart()
          const resumed = await openSource(name, { at: redis.url })
          expect((await rest(resumed, first.resumeAt, first.seen)).size).toBe(COUNT)
          await resumed.close()

          const second = await begun(name, redis.url)
          await redis.restart()
          expect((await rest(second.source, second.next, second.seen)).size).toBe(COUNT)
          await second.source.close()
        },
      )

      test('is gone on with where it was, if it is the same process', async () => {
        const { source, next, resumeAt, seen } = await begun('connect-redis', redis.url)
        expect(resumeAt).toBe(next)
        const again = await openSource('connect-redis', { at: redis.url })
        const { items } = await again.page(resumeAt)
        expect(items.filter(({ ref }) => seen.has(ref))).toEqual([])
        await source.close()
        await again.close()
      })

      test('gives all as well to a user who may not ask which process it is', async () => {
        await redis.ask('ACL', 'SETUSER', 'reader', 'on', '>a-password', '~*', '+@all', '-info')
        const at = redis.url.replace('//', '//reader:a-password@')
        const first = await begun('connect-redis', at)
        expect((await rest(first.source, first.next, new Set(first.seen))).size).toBe(COUNT)
        await first.source.close()
        const resumed = await openSource('connect-redis', { at })
        expect((await rest(resumed, first.resumeAt, new Set())).size).toBe(COUNT)
        await resumed.close()
      })
    })

    test('of koa-redis: what koa-session stored is carried as nonstick/koa would have stored it', async () => {
      await client.flushAll()
      const store = (require('koa-redis') as (options: object) => KoaRedis)({ url: redis.url })
      const now = clock.now()
      await store.set('koa:ada', { user: 'ada', _expire: now + HOUR_MS, _maxAge: HOUR_MS }, HOUR_MS)
      await store.set('koa:bob', { user: 'bob', _session: true }, 2 * HOUR_MS)
      await store.set('koa:eve', { user: 'eve', _expire: now - 1, _maxAge: HOUR_MS }, HOUR_MS)
      await store.quit()
      await client.set('of another program', 'no session')
      const { sessions, carry, compare, purge } = target()
      const source = await openSource('koa-redis', { at: redis.url, prefix: 'koa:' })
      expect(await carry(source)).toMatchObject({ counts: { found: 3, carried: 2, ended: 1 }, reasons: [] })
      expect(await compare(source)).toMatchObject({ same: 2, ended: 1 })
      expect(await purge(source)).toMatchObject({ removed: 3 })
      await source.close()
      expect(await client.keys('*')).toEqual(['of another program'])
      const koa = new KoaStore({ sessions })
      const ada = await koa.get('koa:ada')
      expect(ada).toMatchObject({ user: 'ada', _maxAge: HOUR_MS })
      expect(Number(ada?.['_expire'])).toBeGreaterThan(now + HOUR_MS - 120_000)
      expect(await koa.get('koa:bob')).toEqual({ user: 'bob', _session: true })
    })

    test('without a prefix the keys of other programs are no sessions of koa-session, and stay where they are', async () => {
      await client.flushAll()
      await client.set('shop:product:17', '{"name":"tea"}')
      await client.set('shop:cache', '{"_expire":1,"rows":[]}')
      await client.set('ada', JSON.stringify({ user: 'ada', _session: true }))
      const { carry, purge } = target()
      const source = await openSource('koa-redis', { at: redis.url })
      const { counts, reasons } = await carry(source)
      expect(counts).toMatchObject({ found: 3, carried: 1, refused: 2 })
      expect(reasons).toMatchObject([{ because: expect.stringContaining('no session of koa-session'), count: 2 }])
      expect(await purge(source)).toMatchObject({ removed: 1, unreadable: 2 })
      await source.close()
      expect((await client.keys('*')).sort()).toEqual(['shop:cache', 'shop:product:17'])
    })

    test('of redis-sessions: its calls go on with the tokens that it gave out, and its five kinds of keys are removed', async () => {
      await client.flushAll()
      const { default: RedisSessions } = require('redis-sessions') as {
        default: new (options: object) => OldRedisSessions
      }
      const theirs = new RedisSessions({ options: { url: redis.url }, wipe: 0 })
      const app = 'forum'
      const birth = { app, id: 'ada:of:rome', ip: '127.0.0.1', ttl: 3_600 }
      const { token } = await theirs.create({ ...birth, d: { unread: 3, theme: 'dark' } })
      const { token: bare } = await theirs.create({ ...birth, id: 'bob' })
      const { token: fixed } = await theirs.create({ ...birth, id: 'bob', no_resave: true })
      const { token: killed } = await theirs.create({ ...birth, id: 'eve' })
      await theirs.get({ app, token })
      await theirs.kill({ app, token: killed })
      const before = await theirs.get({ app, token })
      await theirs.quit()

      const { sessions, carry, purge } = target({ identify: userOfRedisSession })
      const source = await openSource('redis-sessions', { at: redis.url })
      expect(await carry(source)).toMatchObject({ counts: { found: 3, carried: 3 }, reasons: [] })
      expect(await purge(source)).toMatchObject({ removed: 3 })
      await source.close()
      expect(await client.keys('*')).toEqual([])

      const ours = new OurRedisSessions({ sessions: sessions as never, wipe: 0 })
      const after = await ours.get({ app, token })
      expect(after).toMatchObject({ id: birth.id, ip: birth.ip, ttl: birth.ttl, d: { unread: 3, theme: 'dark' } })
      expect(after?.r).toBe(Number(before?.r) + 1)
      expect(await ours.get({ app, token: bare })).not.toHaveProperty('d')
      const limited = await ours.get({ app, token: fixed })
      expect(limited).toMatchObject({ no_resave: true })
      expect(limited?.ttl).toBeLessThanOrEqual(3_600)
      expect(await ours.get({ app, token: killed })).toBeNull()
      expect(await ours.killsoid({ app, id: 'bob' })).toEqual({ kill: 2 })
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

    test('one that ends at no moment of a clock is told, and the others are carried', async () => {
      await pool.query(`truncate session`)
      await put(old.store, 'ada', ofExpress({ user: 'ada' }))
      await pool.query(`insert into session values ('endless', '{"cookie":{}}', 'infinity')`)
      const source = await openSource('connect-pg-simple', { at: place.connectionString })
      expect(await target().carry(source)).toMatchObject({
        counts: { found: 2, carried: 1, refused: 1 },
        reasons: [{ because: expect.stringContaining('no finite number') }],
      })
      await source.close()
    })

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

skipUnless('sessions in a real Memcached', await ownMemcached(), (start) => {
  describe('of connect-memcached', () => {
    let server: MemcachedServer
    let store: Store & { readonly client: { end(): void } }
    beforeAll(async () => {
      server = await start()
      const OfMemcached = (
        require('connect-memcached') as (of: typeof session) => new (options: object) => typeof store
      )(session)
      store = new OfMemcached({ hosts: [server.address], prefix: 'old:' })
    })
    afterAll(async () => {
      store.client.end()
      await server.stop()
    })
    const client = (): {
      set(...words: unknown[]): void
      get(key: string, done: (error: unknown, value: unknown) => void): void
    } => store.client as never
    const ids = ['ada', 'browser', 'spoilt', 'only-there']
    carriesAll(() => ({
      store,
      open: () => openSource('connect-memcached', { at: server.address, prefix: 'old:' }),
      spoil: (id) =>
        new Promise<void>((resolve, reject) =>
          client().set(`old:${id}`, 'a secret that is no JSON', 3_600, (error: unknown) =>
            error ? reject(error) : resolve(),
          ),
        ),
      left: async () => {
        const values = await Promise.all(
          ids.map((id) => new Promise((resolve) => client().get(`old:${id}`, (_error, value) => resolve(value)))),
        )
        return values.filter((value) => value !== undefined).length
      },
    }))

    test('what another program stores as an object is no session, and stays where it is', async () => {
      await new Promise((resolve) => client().set('old:product', { name: 'tea' }, 3_600, resolve))
      const { carry, purge } = target()
      const source = await openSource('connect-memcached', { at: server.address, prefix: 'old:product' })
      expect(await carry(source)).toMatchObject({
        counts: { found: 1, refused: 1 },
        reasons: [{ because: expect.stringContaining('no `cookie`') }],
      })
      expect(await purge(source)).toMatchObject({ removed: 0, unreadable: 1 })
      await source.close()
      expect(await new Promise((resolve) => client().get('old:product', (_error, value) => resolve(value)))).toEqual({
        name: 'tea',
      })
    })

    test('a list of 200,000 keys is read to its end, and so is a value that comes in many pieces', async () => {
      const socket = connect(Number(server.address.split(':').at(-1)))
      const large = JSON.stringify({ cookie: {}, notes: 'END\r\n'.repeat(100_000) })
      let sets = `set many:large:ada 2 0 ${large.length}\r\n${large}\r\n`
      for (let n = 0; n < 200_000; n += 1) sets += `set many:key-of-a-visitor-${n} 2 0 2 noreply\r\n{}\r\n`
      socket.write(`${sets}version\r\n`)
      for await (const chunk of socket) if (String(chunk).includes('VERSION')) break
      const source = await openSource('connect-memcached', { at: server.address, prefix: 'many:' })
      // The crawler misses a few that move from one of its lists to another meanwhile.
      expect(await source.count()).toBeGreaterThan(190_000)
      await source.close()
      const alone = await openSource('connect-memcached', { at: server.address, prefix: 'many:large:' })
      expect((await target().carry(alone)).counts).toMatchObject({ found: 1, carried: 1 })
      await alone.close()
    })
  })
})

describe('sessions in files', () => {
  test('of connect-mongo, as mongodump writes its collection: as JSON or as they are, and those that have ended stay away', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'nonstick-dump-'))
    const at = join(folder, 'sessions.bson')
    const cookie = { originalMaxAge: HOUR_MS, expires: new Date(clock.now()), httpOnly: true, path: '/' }
    const expires = new Date(clock.now() + HOUR_MS)
    const documents = [
      { _id: 'as JSON', expires, session: JSON.stringify({ cookie, user: 'ada' }) },
      {
        _id: 'as it is',
        expires,
        session: { cookie, user: 'bob', since: new Date(7) },
        lastModified: new Date(clock.now()),
      },
      { _id: 'ended', expires: new Date(clock.now() - 1), session: JSON.stringify({ cookie }) },
      { _id: 'encrypted', expires, session: 'a secret' },
      ...Array.from({ length: 1_200 }, (_, n) => ({
        _id: `more ${n}`,
        expires,
        session: JSON.stringify({ cookie, n }),
      })),
    ]
    await writeFile(at, Buffer.concat(documents.map((document) => serialize(document))))
    const { sessions, carry } = target()
    const source = await openSource('connect-mongo', { at })
    const { counts, reasons } = await carry(source)
    expect(counts).toMatchObject({ found: 1_204, carried: 1_202, ended: 1, refused: 1 })
    expect(JSON.stringify(reasons)).not.toContain('secret')
    expect((await sessions.load('as JSON'))?.data).toMatchObject({ user: 'ada', cookie: { originalMaxAge: HOUR_MS } })
    expect((await sessions.load('as it is'))?.data).toMatchObject({ user: 'bob', since: new Date(7) })
    await source.close()
    await writeFile(at, Buffer.concat([serialize(documents[0] ?? {}), Buffer.from([9, 9])]))
    const cut = await openSource('connect-mongo', { at })
    await expect(carry(cut)).rejects.toThrow('a whole file of mongodump')
    await cut.close()
    await rm(folder, { recursive: true, force: true })
  })

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

    test('a folder with the name of a session is none, and a link that leads to no file is told and left', async () => {
      const at = await mkdtemp(join(folder, 'odd-'))
      await mkdir(join(at, 'backup.json'))
      await writeFile(join(at, 'backup.json', 'ada.json'), JSON.stringify({ cookie: {}, __lastAccess: clock.now() }))
      await symlink('backup.json', join(at, 'folder.json'))
      await symlink('circle.json', join(at, 'circle.json'))
      await symlink('/dev/zero', join(at, 'endless.json'))
      await symlink('nothing', join(at, 'gone.json'))
      const { carry, purge } = target()
      const source = await openSource('session-file-store', { at })
      const { counts, reasons } = await carry(source)
      expect(counts).toMatchObject({ found: 4, carried: 1, refused: 3 })
      expect(reasons.map(({ because }) => because).sort()).toEqual([
        'it cannot be read: EISDIR',
        'it cannot be read: ELOOP',
        'it is no file',
      ])
      expect(await purge(source)).toMatchObject({ removed: 1, unreadable: 3 })
      await source.close()
      await rm(at, { recursive: true })
    })

    test('a file and a folder that nobody here may read are told and left', async () => {
      const at = await mkdtemp(join(folder, 'closed-'))
      await writeFile(join(at, 'ada.json'), JSON.stringify({ cookie: {}, __lastAccess: clock.now() }))
      await writeFile(join(at, 'bob.json'), '{}', { mode: 0 })
      await mkdir(join(at, 'lost+found'), { mode: 0 })
      for (const open of [folder, at]) await chmod(open, 0o755)
      const source = await openSource('session-file-store', { at })
      await asNobody(async () => {
        expect(await target().carry(source)).toMatchObject({
          counts: { found: 3, carried: 1, refused: 2 },
          reasons: [{ because: 'it cannot be read: EACCES', count: 2 }],
        })
      })
      await source.close()
      await rm(at, { recursive: true })
    })
  })
})
