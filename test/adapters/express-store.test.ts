import { AsyncLocalStorage } from 'node:async_hooks'
import session, { type SessionData } from 'express-session'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { NonstickStore, type NonstickStoreOptions, type OwnStoreOptions } from '../../src/adapters/express.js'
import type { Session, SessionStore } from '../../src/contract/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { openCluster } from './express-cluster.js'

type Done = (error: unknown, value?: unknown) => void

const ID = 'an id of the application'

/** Session data as a program makes it by hand. */
const data = (fields: Record<string, unknown> = {}): SessionData =>
  ({ cookie: { originalMaxAge: null, path: '/', httpOnly: true }, ...fields }) as unknown as SessionData

const request = (store: NonstickStore, sessionID: string) =>
  ({ sessionID, sessionStore: store }) as unknown as Parameters<NonstickStore['regenerate']>[0] & {
    session: SessionData & Record<string, unknown>
  }

/** Every method, in the form with a callback and in the form without. */
const METHODS: Record<string, (store: NonstickStore, done?: Done) => unknown> = {
  get: (store, done) => (done ? store.get(ID, done) : store.get(ID)),
  load: (store, done) => (done ? store.load(ID, done) : store.load(ID)),
  set: (store, done) => store.set(ID, data({ user: 'ada' }), done),
  touch: (store, done) => store.touch(ID, data({ user: 'ada' }), done),
  destroy: (store, done) => store.destroy(ID, done),
  all: (store, done) => (done ? store.all(done) : store.all()),
  length: (store, done) => (done ? store.length(done) : store.length()),
  clear: (store, done) => store.clear(done),
  regenerate: (store, done) => store.regenerate(request(store, ID), done),
}
const NAMES = Object.keys(METHODS)
/** What lists is not asked of the cache, and so fails without a backend; so do creation and destruction. */
const call = (name: string, store: NonstickStore, done?: Done): unknown => METHODS[name]?.(store, done)

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

const ready = (store: NonstickStore): NonstickStore => {
  // What express-session's middleware does when it is given a store.
  session({ store, secret: 'of a test', resave: false, saveUninitialized: false })
  return store
}

describe.for(NAMES)('%s', (name) => {
  test('called with a callback, it calls it once and returns nothing', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    const calls: unknown[][] = []
    expect(call(name, store, (...values) => calls.push(values))).toBeUndefined()
    expect(calls).toEqual([])
    await turns()
    expect(calls).toHaveLength(1)
    expect(calls[0]?.[0]).toBeNull()
  })

  test('called without one, it returns a promise', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    const promise = call(name, store)
    expect(promise).toBeInstanceOf(Promise)
    await promise
  })

  test('a callback that throws is an uncaught exception, and is not called again', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    const uncaught: unknown[] = []
    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error))
    let calls = 0
    try {
      call(name, store, () => {
        calls += 1
        throw new Error('the mistake of the callback')
      })
      await turns()
    } finally {
      process.setUncaughtExceptionCaptureCallback(null)
      process.off('unhandledRejection', listen)
    }
    expect(calls).toBe(1)
    expect(uncaught).toMatchObject([{ message: 'the mistake of the callback' }])
    expect(unhandled).toEqual([])
  })

  test('a callback runs in the context of the call', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    const context = new AsyncLocalStorage<string>()
    const seen = await new Promise((resolve) => {
      context.run('of the request', () => call(name, store, () => resolve(context.getStore())))
    })
    expect(seen).toBe('of the request')
  })

  test('a store that cannot know gives its error to the callback, or rejects; an ignored promise ends nothing', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    cluster.cache.unreachable = true
    cluster.backend.unreachable = true
    const calls: unknown[][] = []
    call(name, store, (...values) => calls.push(values))
    // It looks once more before it goes round the cache, after a short pause.
    await vi.waitUntil(() => calls.length > 0)
    expect(calls).toMatchObject([[{ code: 'E_SESSION_UNAVAILABLE' }]])
    expect(calls[0]).toHaveLength(1)
    await expect(call(name, store)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })

    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    call(name, store)
    await turns()
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
    cluster.cache.unreachable = false
    cluster.backend.unreachable = false
    await store.close()
  })

  test('after close it says so', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    await store.close()
    await expect(call(name, store)).rejects.toMatchObject({ code: 'E_CLOSED' })
  })
})

describe('a session', () => {
  test('that is not there is null to a callback and undefined to a promise, for get and for load', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    expect(await store.get(ID)).toBeUndefined()
    expect(await store.load(ID)).toBeUndefined()
    expect(await new Promise((resolve) => store.get(ID, (...values) => resolve(values)))).toEqual([null, null])
    expect(await new Promise((resolve) => store.load(ID, (_error, value) => resolve(value)))).toBeUndefined()
  })

  test('that was set is got, also when the cache was lost', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    expect(await store.get(ID)).toMatchObject({ user: 'ada', cookie: { originalMaxAge: null, expires: null } })
    cluster.loseCache()
    expect(await cluster.store().get(ID)).toMatchObject({ user: 'ada' })
  })

  test('that this caller has not loaded is overwritten by set', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada', cart: 'tea' }))
    await cluster.store().set(ID, data({ user: 'bob' }))
    expect(Object.keys((await store.get(ID)) ?? {})).toEqual(['cookie', 'user'])
  })

  test('that was got is merged by set, key by key', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const [one, two] = [await store.get(ID), await store.get(ID)]
    if (one === undefined || two === undefined) expect.fail()
    await store.set(ID, Object.assign(one, { cart: 'tea' }))
    await store.set(ID, Object.assign(two, { colour: 'blue' }))
    expect(await store.get(ID)).toMatchObject({ user: 'ada', cart: 'tea', colour: 'blue' })
  })

  test('that was got under one id and is set under another is stored there whole', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const got = await store.get(ID)
    if (got === undefined) expect.fail()
    await store.set(`${ID}, and another`, got)
    expect(await store.get(`${ID}, and another`)).toMatchObject({ user: 'ada' })
  })

  test('that was loaded is a live Session, tied to its copy', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const live = await store.load(ID)
    if (live === undefined) expect.fail()
    expect(live.id).toBe(ID)
    expect(live).toBeInstanceOf((session as unknown as { Session: new () => unknown }).Session)
    await cluster.store().set(ID, Object.assign((await store.get(ID)) ?? expect.fail(), { cart: 'tea' }))
    Object.assign(live, { colour: 'blue' })
    await new Promise<void>((done, failed) => live.save((error) => (error ? failed(error) : done())))
    expect(await store.get(ID)).toMatchObject({ user: 'ada', colour: 'blue' })
  })

  test('that is touched by one who has not loaded it takes the cookie and no data', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const stale = data({ user: 'nobody' })
    stale.cookie.originalMaxAge = 5_000
    await store.touch(ID, stale)
    expect(await store.get(ID)).toMatchObject({ user: 'ada', cookie: { originalMaxAge: 5_000 } })
  })

  test('that is touched by one who has no cookie of it keeps its own', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    for (const nothing of [undefined, null, {}, { cookie: null }, 'text']) {
      await store.set(ID, { ...data({ user: 'ada' }), cookie: { originalMaxAge: 5_000 } } as SessionData)
      await store.touch(ID, nothing as unknown as SessionData)
      expect(await store.get(ID)).toMatchObject({ user: 'ada', cookie: { originalMaxAge: 5_000 } })
    }
  })

  test('that is none at all is refused, and what stands there stands', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    for (const nothing of [undefined, null, 'text', 7, ['a list']]) {
      const setting = store.set(ID, nothing as unknown as SessionData)
      await expect(setting).rejects.toMatchObject({ code: 'E_SESSION_DATA' })
    }
    expect(await store.get(ID)).toMatchObject({ user: 'ada' })
  })

  test('that is gone is not brought back by touch or by a set of who had loaded it, and neither is an error', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const got = await store.get(ID)
    if (got === undefined) expect.fail()
    await store.destroy(ID)
    await store.touch(ID, got)
    await store.touch(ID, data())
    await store.set(ID, Object.assign(got, { cart: 'tea' }))
    expect(await store.get(ID)).toBeUndefined()
    await store.destroy(ID)
  })

  test('that is gone is not made again by a set of who had not loaded it, who is told so each time', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const mine = data({ user: 'ada' })
    await store.set(ID, mine)
    await store.destroy(ID)
    const told: unknown[] = []
    store.on('dropped', (error) => told.push(error))
    for (const again of [mine, data({ user: 'ada' })])
      await expect(store.set(ID, again)).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED', applied: 'no' })
    const error = await new Promise((resolve) => store.set(ID, data(), resolve))
    expect(error).toMatchObject({ code: 'E_SESSION_DESTROYED' })
    expect(told).toHaveLength(3)
    expect(await store.get(ID)).toBeUndefined()
  })

  // As express-openid-connect does for a logout over the back channel: it marks `issuer|subject` as logged out.
  test('a mark of express-openid-connect can be taken away and set again, each time in both tiers', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const mark = 'https://issuer.example/|ann'
    for (let time = 0; time < 3; time += 1) {
      expect(await store.get(mark)).toBeUndefined()
      await store.set(mark, data())
      cluster.loseCache()
      expect(await store.get(mark)).toBeDefined()
      await store.destroy(mark)
      cluster.loseCache()
    }
    expect(await store.get(mark)).toBeUndefined()
    await store.set(mark, { cookie: { originalMaxAge: 0 } } as unknown as SessionData)
    expect(await store.get(mark)).toBeUndefined()
  })

  test('an id that only looks a little like a mark is the id of a session', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    store.on('dropped', () => {})
    for (const id of ['tenant|1234', 'urn:issuer|ann', 'https://issuer.example/ann']) {
      await store.set(id, data())
      await store.destroy(id)
      await expect(store.set(id, data())).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
    }
  })

  test('that is set as part of another object is merged with what others stored, as express-openid-connect does it', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    store.on('dropped', () => {})
    const header = { iat: 1 }
    await store.set(ID, data({ header, data: { user: 'ada' } }))
    const [mine, theirs] = [await store.get(ID), await store.get(ID)] as unknown as Record<string, object>[]
    if (mine === undefined || theirs === undefined) expect.fail()
    await store.set(ID, data({ header: { iat: 2 }, data: theirs['data'] }))
    await store.set(ID, data({ header: { iat: 1 }, data: Object.assign(mine['data'] ?? {}, { cart: 'tea' }) }))
    expect(await store.get(ID)).toMatchObject({ header: { iat: 2 }, data: { user: 'ada', cart: 'tea' } })
    await store.destroy(ID)
    await store.set(ID, data({ data: mine['data'] }))
    expect(await store.get(ID)).toBeUndefined()
  })

  test('where nobody listens, the first change that is dropped is a warning of the process, without the id', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    try {
      await store.destroy(ID)
      for (let n = 0; n < 3; n += 1) await store.set(ID, data()).catch(() => {})
      await turns()
      expect(warn.mock.calls).toEqual([[expect.stringContaining("'dropped'"), { code: 'NONSTICK_DROPPED' }]])
      expect(String(warn.mock.calls[0]?.[0])).not.toContain(ID)
    } finally {
      warn.mockRestore()
    }
  })

  test.each([null, 'text', 7, ['a list'], new Map([['user', 'ada']])])(
    'of another part of the program, with %o for its data, is none of express’s',
    async (theirs) => {
      await using cluster = openCluster()
      const store = cluster.store()
      const { id } = await store.sessions.create(theirs as never)
      await store.set(ID, data({ user: 'ada' }))
      expect(await store.get(id)).toBeUndefined()
      await store.touch(id, data())
      expect(await store.all()).toMatchObject([{ user: 'ada' }])
      expect((await store.sessions.load(id))?.data).toEqual(theirs)
    },
  )

  test('stored by another program without a cookie can be served', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const { id } = await store.sessions.create({ user: 'ada' } as never)
    const req = request(store, id)
    const got = await store.get(id)
    if (got === undefined) expect.fail()
    const live = store.createSession(req, got)
    expect(live).toMatchObject({ user: 'ada', cookie: { path: '/', httpOnly: true, originalMaxAge: null } })
    await store.set(id, live)
    expect(await store.get(id)).toMatchObject({ user: 'ada' })
  })

  test.for<[string, unknown]>([
    ['a function', () => undefined],
    ['a symbol', Symbol('of a test')],
    ['an instance of a class', new (class Basket {})()],
    [
      'a cycle',
      (() => {
        const cycle: Record<string, unknown> = {}
        cycle['self'] = cycle
        return cycle
      })(),
    ],
  ])('that holds %s is refused, and the path is named', async ([, value]) => {
    await using cluster = openCluster()
    const store = cluster.store()
    const refusal = { code: 'E_SESSION_DATA', path: expect.stringContaining('cart') }
    await expect(store.set(ID, data({ cart: value }))).rejects.toMatchObject(refusal)
    expect(await new Promise((resolve) => store.set(ID, data({ cart: value }), resolve))).toMatchObject(refusal)
    expect(await store.get(ID)).toBeUndefined()
  })

  test('that was refused once can be put right and saved', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ user: 'ada' }))
    const got = await store.get(ID)
    if (got === undefined) expect.fail()
    await expect(store.set(ID, Object.assign(got, { cart: () => 'tea' }))).rejects.toMatchObject({
      code: 'E_SESSION_DATA',
    })
    await store.set(ID, Object.assign(got, { cart: 'tea' }))
    expect(await store.get(ID)).toMatchObject({ user: 'ada', cart: 'tea' })
  })
})

describe('a request that goes on after its save merged in what another stored', () => {
  /** This request's session after such a save: it does not show `theirs`, which is stored. */
  const merged = async (store: NonstickStore): Promise<SessionData> => {
    await store.set(ID, data({ user: 'ada' }))
    const mine = await store.get(ID)
    const others = await store.get(ID)
    if (mine === undefined || others === undefined) expect.fail()
    await store.set(ID, Object.assign(others, { theirs: 'tea' }))
    await store.set(ID, Object.assign(mine, { mine: 1 }))
    return mine
  }

  test('keeps it however often it saves', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const mine = await merged(store)
    for (const n of [2, 3, 4]) {
      await store.set(ID, Object.assign(mine, { mine: n }))
      await store.touch(ID, mine)
      expect(await store.get(ID)).toMatchObject({ user: 'ada', theirs: 'tea', mine: n })
    }
  })

  test('keeps it, and nothing of a save that was refused', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const mine = await merged(store)
    const bad = Object.assign(mine, { mine: 2, bad: () => 'of no codec' }) as SessionData & { bad?: unknown }
    await expect(store.set(ID, bad)).rejects.toMatchObject({ code: 'E_SESSION_DATA' })
    delete bad.bad
    await store.set(ID, bad)
    expect(
      Object.entries((await store.get(ID)) ?? {})
        .filter(([key]) => key !== 'cookie')
        .sort(),
    ).toEqual([
      ['mine', 2],
      ['theirs', 'tea'],
      ['user', 'ada'],
    ])
  })

  const bare = (entries: object): object => Object.assign(Object.create(null) as object, entries)
  const coded = (message: string): Error => Object.assign(new Error(message), { code: message })
  const total = (items: number): object => ({ items, total: () => items })
  const asJson = { beforeSave: (all: object) => JSON.parse(JSON.stringify(all)) as object }

  test.each([
    ['objects without a prototype', {}, bare({ q: 'tea' }), bare({ q: 'coffee' })],
    ['errors with a code', {}, coded('tea'), coded('coffee')],
    ['Invalid Dates', {}, [new Date(Number.NaN), 'tea'], [new Date(Number.NaN), 'coffee']],
    ['expressions with a lastIndex', {}, Object.assign(/x/g, { lastIndex: 1 }), Object.assign(/x/g, { lastIndex: 2 })],
    ['a Proxy', {}, new Proxy({ q: 'tea' }, {}), new Proxy({ q: 'coffee' }, {})],
    ['what `beforeSave` takes out', asJson, total(1), total(2)],
    ['an order', {}, new Set(['tea', 'coffee']), new Set(['coffee', 'tea'])],
  ])('undoes nothing of others in a key that it left alone: %s', async (_title, options, first, theirs) => {
    await using cluster = openCluster()
    const store = cluster.store(options as OwnStoreOptions)
    await store.set(ID, data({ it: first }))
    const [mine, others] = [await store.get(ID), await store.get(ID)]
    if (mine === undefined || others === undefined) expect.fail()
    await store.set(ID, Object.assign(others, { it: theirs }))
    const shown = JSON.stringify(inOrder((await store.get(ID)) as object))
    for (const step of [1, 2, 3]) await store.set(ID, Object.assign(mine, { step }))
    await store.touch(ID, mine)
    const stored = (await store.get(ID)) as unknown as Record<string, unknown>
    expect(stored['step']).toBe(3)
    delete stored['step']
    expect(JSON.stringify(inOrder(stored))).toBe(shown)
  })

  test('stores a change of nothing but an order', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, data({ recent: new Map(Object.entries({ tea: 1, coffee: 1 })) }))
    const mine = (await store.get(ID)) as unknown as SessionData & { recent: Map<string, number> }
    await store.set(ID, Object.assign((await store.get(ID)) as SessionData, { theirs: 1 }))
    await store.set(ID, Object.assign(mine, { step: 1 }))
    mine.recent.delete('tea')
    mine.recent.set('tea', 1)
    await store.set(ID, mine)
    const { recent, theirs } = (await store.get(ID)) as unknown as typeof mine & { theirs: number }
    expect([[...recent.keys()], theirs]).toEqual([['coffee', 'tea'], 1])
  })

  test('can delete what was its own, and put back what it deleted', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const mine = (await merged(store)) as SessionData & { user?: string }
    delete mine.user
    await store.set(ID, mine)
    expect(Object.keys((await store.get(ID)) ?? {}).sort()).toEqual(['cookie', 'mine', 'theirs'])
    mine.user = 'ada'
    await store.set(ID, mine)
    expect(await store.get(ID)).toMatchObject({ user: 'ada', theirs: 'tea', mine: 1 })
  })
})

/** A value with what JSON does not show of it. */
const inOrder = (value: unknown): unknown => {
  if (value instanceof Error) return [value.name, value.message, (value as { code?: unknown }).code]
  if (value instanceof RegExp) return [String(value), value.lastIndex]
  if (value instanceof Set || value instanceof Map || Array.isArray(value)) return [...value].map(inOrder)
  if (value instanceof Date) return String(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .filter(([key]) => key !== 'cookie')
    .map(([key, each]) => [key, inOrder(each)])
}

describe('a mark of a library, which is a property whose key is a symbol', () => {
  const mark = Symbol('saved')

  test('is not stored, and the rest is', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    await store.set(ID, Object.assign(data({ user: 'ada' }), { [mark]: true }))
    const got = await store.get(ID)
    if (got === undefined) expect.fail()
    expect(got).toMatchObject({ user: 'ada' })
    await store.set(ID, Object.assign(got, { [mark]: true, user: 'bob' }))
    await store.touch(ID, Object.assign(got, { user: 'cy' }))
    const stored = (await store.get(ID)) as object
    expect(stored).toMatchObject({ user: 'cy' })
    expect(Object.getOwnPropertySymbols(stored)).toEqual([])
  })

  test('deeper inside it is refused like anything that cannot be stored', async () => {
    await using cluster = openCluster()
    const refusal = { code: 'E_SESSION_DATA', path: 'data.cart' }
    await expect(cluster.store().set(ID, data({ cart: { [mark]: true } }))).rejects.toMatchObject(refusal)
  })
})

describe('an id that cannot be one', () => {
  test.for<[string, unknown]>([
    ['empty', ''],
    ['too long', 'x'.repeat(5_000)],
    ['no string', undefined],
    ['a key that a listing gave', `nonstick:${'k'.repeat(43)}`],
  ])('(%s) has no session, is touched in vain, and can be neither set nor destroyed', async ([, id]) => {
    await using cluster = openCluster()
    const store = cluster.store()
    const bad = id as string
    const cost = await cluster.callsDuring(async () => {
      expect(await store.get(bad)).toBeUndefined()
      expect(await store.load(bad)).toBeUndefined()
      await store.touch(bad, data())
      await expect(store.destroy(bad)).rejects.toMatchObject({ code: 'E_INVALID_ID' })
      await expect(store.set(bad, data())).rejects.toMatchObject({ code: 'E_INVALID_ID' })
    })
    expect(cost).toEqual({ cache: [], backend: [] })
  })
})

describe('all sessions', () => {
  test('are listed, counted and cleared, this namespace alone', async () => {
    await using cluster = openCluster()
    const [ours, theirs] = [cluster.store({ namespace: 'ours' }), cluster.store({ namespace: 'theirs' })]
    for (let n = 0; n < 7; n += 1) await ours.set(`${ID} ${n}`, data({ n }))
    await theirs.set(ID, data({ user: 'bob' }))
    const all = await ours.all()
    expect(all.map((each) => (each as unknown as { n: number }).n).sort()).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(all[0]).toMatchObject({ cookie: { originalMaxAge: null, expires: null } })
    expect(await ours.length()).toBe(7)
    expect(Object.keys(all[0] ?? {}), 'the handle is not part of the data').not.toContain('handle')
    const [first] = all
    await ours.sessions.destroyByHandle(first?.handle ?? expect.fail())
    expect(await ours.length()).toBe(6)
    await ours.clear()
    expect(await ours.length()).toBe(0)
    expect(await ours.all()).toEqual([])
    expect(await ours.get(`${ID} 3`)).toBeUndefined()
    expect(await theirs.get(ID)).toMatchObject({ user: 'bob' })
  })

  test('are listed whole where there is more than a page of them', async () => {
    await using cluster = openCluster()
    const { sessions } = cluster.store()
    const byThrees: typeof sessions.list = (options) => sessions.list({ ...options, limit: 3 })
    const store = new NonstickStore({ sessions: { ...sessions, list: byThrees } })
    for (let n = 0; n < 7; n += 1) await store.set(`${ID} ${n}`, data({ n }))
    const numbers = (await store.all()).map((each) => (each as unknown as { n: number }).n)
    expect(numbers.sort()).toEqual([0, 1, 2, 3, 4, 5, 6])
  })
})

describe('regenerate', () => {
  test('gives the request a new and empty session, after the old one is destroyed', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    await store.set(ID, data({ user: 'ada' }))
    const req = request(store, ID)
    await store.regenerate(req)
    expect(req.sessionID).not.toBe(ID)
    expect(Object.keys(req.session)).toEqual(['cookie'])
    expect(await store.get(ID)).toBeUndefined()
  })

  test('where the old one cannot be destroyed, the request has a new one all the same, and the error', async () => {
    await using cluster = openCluster()
    const store = ready(cluster.store())
    await store.set(ID, data({ user: 'ada' }))
    const req = request(store, ID)
    cluster.backend.unreachable = true
    const error = await new Promise((resolve) => store.regenerate(req, resolve))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    expect(req.sessionID).not.toBe(ID)
    cluster.backend.unreachable = false
    await store.close()
  })
})

describe('the store', () => {
  const stores: SessionStore<unknown>[] = []
  const given = <Data>(): SessionStore<Data> => {
    const sessions = createSessionStore<Data>({ cache: memoryCache(), backend: memoryBackend() })
    stores.push(sessions as SessionStore<unknown>)
    return sessions
  }
  afterEach(async () => {
    for (const sessions of stores.splice(0)) await sessions.close()
  })

  test('made from options is closed by close, with its report', async () => {
    const store = new NonstickStore({ cache: memoryCache(), backend: memoryBackend() })
    expect(await store.close()).toMatchObject({ left: 0 })
    await expect(store.sessions.load(ID)).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  test('that was given stays open, and shares its sessions with the rest of the program', async () => {
    const sessions = given<{ user?: string }>()
    const store = new NonstickStore({ sessions })
    await store.set(ID, data({ user: 'ada' }))
    expect(await store.close()).toBeUndefined()
    const session: Session<{ user?: string }> | undefined = await sessions.load(ID)
    expect(session?.data.user).toBe('ada')
    expect(store.sessions).toBe(sessions)
  })

  test('that was given can be told how long a session lives whose cookie ends with the browser', async () => {
    const store = new NonstickStore({ sessions: given(), idleTtlMs: 5_000 })
    await store.set(ID, data())
    expect((await store.sessions.load(ID))?.idleTtlMs).toBe(5_000)
  })

  test('that was given goes with options that are undefined, which count as left out', async () => {
    const sessions = given()
    const options: object = { sessions, namespace: undefined, cache: undefined, idleTtlMs: undefined }
    expect(new NonstickStore(options).sessions).toBe(sessions)
  })

  test('never tells express-session that it is disconnected', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    const told: string[] = []
    for (const event of ['disconnect', 'connect']) store.on(event, () => told.push(event))
    cluster.cache.unreachable = true
    cluster.backend.unreachable = true
    await store.get(ID).catch(() => undefined)
    await store.destroy(ID).catch(() => undefined)
    expect(told).toEqual([])
    cluster.cache.unreachable = false
    cluster.backend.unreachable = false
    await store.close()
  })

  test.for<[string, () => unknown, string]>([
    ['a store that is none', () => ({ sessions: {} }), 'Expected `sessions` to be a session store'],
    [
      'options that the given store has',
      () => ({ sessions: given(), maxStaleCount: 3 }),
      'Expected `maxStaleCount` to be left',
    ],
    [
      'an idle time-out that is none',
      () => ({ sessions: given(), idleTtlMs: '1h' }),
      'Expected `idleTtlMs` to be a whole number',
    ],
    ['an option of the store that is none', () => ({ maxStaleCount: 0 }), 'Expected `maxStaleCount`'],
    ['an option that nobody has', () => ({ ttl: 5 }), 'Expected `ttl`'],
    ['no options object', () => 'cache1:11211', 'Expected `options` to be an object'],
    [
      'a store in place of options',
      given,
      'Expected `options` to be an object such as `{ sessions }`, got an object: it is a session store',
    ],
  ])('refuses %s, and names it', ([, options, message]) => {
    const make = (): unknown => new NonstickStore(options() as NonstickStoreOptions)
    expect(make).toThrowError(expect.objectContaining({ code: 'E_CONFIG', message: expect.stringContaining(message) }))
  })
})
