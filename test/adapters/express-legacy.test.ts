import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import session, { MemoryStore } from 'express-session'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fromExpressStore, NonstickStore } from '../../src/adapters/express.js'
import { systemRuntime as clock } from '../../src/runtime.js'
import { Browser, bag, idOf, openCluster } from './express-cluster.js'

/** A store that gives what it was told, by its callback. */
const giving = (session: unknown) => ({
  get: (_sid: string, callback: (error: unknown, session?: object | null) => void) =>
    void callback(null, session as object),
  destroy: (_sid: string, callback: (error?: unknown) => void) => void callback(),
})

describe('fromExpressStore', () => {
  test('lets visitors of another store go on with their cookies', async () => {
    await using cluster = openCluster()
    const memory = new MemoryStore()
    const oldApp = await cluster.process(
      (app) => {
        app.get('/', (req, res) => {
          bag(req)['user'] = 'ada'
          res.send('in')
        })
      },
      { session: { store: memory, cookie: { maxAge: 60_000 } } },
    )
    const newApp = await cluster.process(
      (app) => {
        app.get('/', (req, res) => res.send(String(bag(req)['user'])))
        app.get('/logout', (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.send('out'))))
      },
      { session: { cookie: { maxAge: 60_000 } }, store: { legacy: fromExpressStore(memory) } },
    )
    const browser = new Browser()
    await browser.get(oldApp.url)
    expect(await browser.get(newApp.url)).toMatchObject({ status: 200, body: 'ada' })
    const stranger = new Browser()
    expect(await stranger.get(newApp.url)).toMatchObject({ body: 'undefined' })
    await browser.get(`${newApp.url}/logout`)
    expect(await browser.get(newApp.url)).toMatchObject({ body: 'undefined' })
    await new Promise<void>((resolve, reject) =>
      memory.length((error, left) => (left === 0 ? resolve() : reject(error ?? new Error('it is still there')))),
    )
  })

  test.each([
    ['a text, as JSON makes it', (at: number) => new Date(at).toISOString()],
    ['a Date', (at: number) => new Date(at)],
  ])(
    'takes a session that the old store gives for one in use, although the last change of its cookie is older than its maxAge: %s',
    async (_, expires) => {
      const old = giving({
        user: 'ada',
        cookie: { originalMaxAge: 60_000, expires: expires(clock.now() - 5_000), httpOnly: true, path: '/' },
      })
      const found = await fromExpressStore(old).get('an id')
      expect(found).toEqual({
        data: { user: 'ada', cookie: { originalMaxAge: 60_000, httpOnly: true, path: '/' } },
        idleTtlMs: 60_000,
      })
    },
  )

  test('gives no idle time-out for a cookie that ends with the browser, and nothing where there is no session', async () => {
    const old = giving({ cookie: { originalMaxAge: null, expires: null, path: '/' } })
    expect(await fromExpressStore(old).get('an id')).toEqual({ data: { cookie: { originalMaxAge: null, path: '/' } } })
    for (const nothing of [null, undefined])
      expect(await fromExpressStore(giving(nothing)).get('an id')).toBeUndefined()
  })

  test('rejects where the old store fails, whichever way it says so', async () => {
    const failure = new Error('connection refused')
    const ways = [
      (_: string, callback: (error: unknown) => void) => void callback(failure),
      async () => await Promise.reject(failure),
      () => {
        throw failure
      },
    ]
    for (const fail of ways) {
      const legacy = fromExpressStore({ get: fail, destroy: fail })
      await expect(legacy.get('an id')).rejects.toBe(failure)
      await expect(legacy.destroy('an id')).rejects.toBe(failure)
    }
  })

  test('takes `ENOENT` for an answer that there is no session, and what is false for no error, as express-session does', async () => {
    const absent = Object.assign(new Error('no such file'), { code: 'ENOENT' })
    const ways = [
      (_: string, callback: (error: unknown) => void) => void callback(absent),
      async () => await Promise.reject(absent),
    ]
    for (const say of ways) {
      const legacy = fromExpressStore({ get: say, destroy: say })
      expect(await legacy.get('an id')).toBeUndefined()
      expect(await legacy.destroy?.('an id')).toBeUndefined()
    }
    const found = { user: 'ada', cookie: { originalMaxAge: null } }
    const old = {
      ...giving(found),
      get: (_: string, callback: (error: unknown, session: object) => void) => void callback(false, found),
    }
    expect(await fromExpressStore(old as never).get('an id')).toMatchObject({ data: { user: 'ada' } })
  })

  test('serves the visitors of session-file-store, also one whose session has ended there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nonstick-files-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const FileStore = (
      createRequire(import.meta.url)('session-file-store') as (
        of: typeof session,
      ) => new (
        options: object,
      ) => session.Store
    )(session)
    const files = new FileStore({ path: folder, logFn: () => {}, reapInterval: -1, retries: 0 })
    await using cluster = openCluster()
    const app = await cluster.process(
      (routes) => {
        routes.get('/', (req, res) => res.send(String(bag(req)['user'])))
        routes.get('/login', (req, res) => {
          bag(req)['user'] = 'ada'
          res.send('in')
        })
      },
      { session: { store: files } },
    )
    const moved = await cluster.process(
      (routes) => void routes.get('/', (req, res) => res.send(String(bag(req)['user']))),
      {
        store: { legacy: fromExpressStore(files) },
      },
    )
    const [ada, late] = [new Browser(), new Browser()]
    await ada.get(`${app.url}/login`)
    await late.get(`${app.url}/login`)
    await new Promise((resolve) => files.destroy(idOf(late), resolve))
    expect(await late.get(moved.url)).toMatchObject({ status: 200, body: 'undefined' })
    expect(await ada.get(moved.url)).toMatchObject({ status: 200, body: 'ada' })
  })

  test('refuses what is no store, and an option that there is not', () => {
    expect(() => fromExpressStore({} as never)).toThrow('Expected `store` to be a store of express-session')
    expect(() => fromExpressStore(session as never)).toThrow('Expected `store` to be a store of express-session')
    expect(() => fromExpressStore(new MemoryStore(), { removes: true } as never)).toThrow(
      'Expected `removes` to be left out: there is no such option (did you mean `remove`?)',
    )
    expect(fromExpressStore(new MemoryStore(), { remove: true }).remove).toBe(true)
    expect(() => new NonstickStore({ legacy: new MemoryStore() as never })).toThrow(
      'Expected `legacy` to be an old store, such as fromExpressStore(store) gives, got an object: give `fromExpressStore(store)`',
    )
  })
})
