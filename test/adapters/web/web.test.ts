import { CookieJar } from 'tough-cookie'
import { describe, expect, test } from 'vitest'
import { createWebSessions, type WebSession } from '../../../src/adapters/web.js'
import { isSessionStoreError } from '../../../src/index.js'
import { type Answer, Browser, KEYS, openTiers, serve, serveSessions, type Visit, webSessions } from './served.js'

const shows: Answer = (session) => Response.json(session.data)
const login: Answer = async (session) => {
  await session.regenerate()
  session.data.user = 'ada'
  return new Response('hello')
}
const logout: Answer = async (session) => {
  await session.destroy()
  return new Response('bye')
}
const fills: Answer = (session) => {
  session.data.cart = ['tea']
  return new Response('filled')
}
const PATHS = { '/show': shows, '/login': login, '/logout': logout, '/fill': fills }

test.each([
  ['nothing', null],
  ['a list', ['tea']],
  ['a string', 'ada'],
  ['a Map', new Map([['user', 'ada']])],
  ['an object', Object.create(Object.create(Object.create(null)))],
])('what is no object with fields is refused, and the session stays: %s', async (_what, data) => {
  const { sessions } = openTiers()
  let told: unknown
  const replace: Answer = async (session) => {
    session.data = data as never
    await Promise.all([session.commit(), session.regenerate()]).catch((error: unknown) => {
      told = error
    })
    session.data = {}
    await session.regenerate()
    return new Response('refused')
  }
  const web = webSessions(sessions)
  await using served = await serveSessions(web, {
    ...PATHS,
    '/replace': replace,
    '/new': async (session) => {
      session.data = data as never
      told = await session.commit().catch((error: unknown) => error)
      session.data = {}
      return new Response('refused')
    },
  })
  const refusal = { code: 'E_SESSION_DATA', message: expect.stringContaining(`got ${_what}`) }
  const browser = new Browser()
  await browser.get(served, '/new')
  expect(told).toMatchObject(refusal)
  await browser.get(served, '/fill')
  await browser.get(served, '/replace')
  expect(told).toMatchObject(refusal)
})

describe('the cookie', () => {
  test('is set by the request that stores the session first, and by none that only reads or changes it', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    expect((await browser.get(served, '/show')).setCookies).toEqual([])
    expect((await browser.get(served, '/fill')).setCookies).toEqual([
      expect.stringMatching(/^sid=[\w-]+\.[\w%]+; Path=\/; HttpOnly; SameSite=Lax$/),
    ])
    for (const path of ['/show', '/fill', '/show']) expect((await browser.get(served, path)).setCookies).toEqual([])
    expect((await browser.get(served, '/login')).setCookies).toHaveLength(1)
  })

  test('is set anew by each change where it lives for a time, and by each request where it rolls', async () => {
    const { sessions } = openTiers()
    let turn = 0
    const paths = {
      ...PATHS,
      '/change': (session: WebSession<Visit>) => {
        turn += 1
        session.data.visits = turn
        return new Response('changed')
      },
    }
    await using lasting = await serveSessions(webSessions(sessions, { maxAgeMs: 1_500 }), paths)
    await using rolling = await serveSessions(webSessions(sessions, { maxAgeMs: 60_000, rolling: true }), paths)
    const browser = new Browser()
    // Seconds are whole, and a cookie that ended before its session would log out too early.
    expect((await browser.get(lasting, '/fill')).setCookies).toEqual([expect.stringContaining('Max-Age=2;')])
    expect((await browser.get(lasting, '/show')).setCookies).toEqual([])
    expect((await browser.get(lasting, '/change')).setCookies).toHaveLength(1)
    expect((await browser.get(rolling, '/show')).setCookies).toEqual([expect.stringContaining('Max-Age=60;')])
    expect((await new Browser().get(rolling, '/show')).setCookies).toEqual([])
  })

  test('gives the session its own time untouched as well', async () => {
    const { sessions } = openTiers()
    const web = webSessions(sessions, { maxAgeMs: 90_000 })
    const session = await web.load(null)
    session.data.user = 'ada'
    await session.commit()
    expect((await sessions.load(session.id ?? ''))?.idleTtlMs).toBe(90_000)
  })

  test('that an older key has signed is believed, and signed anew by the newest', async () => {
    const { sessions } = openTiers()
    const [newest, older] = KEYS
    await using before = await serveSessions(webSessions(sessions, { keys: [older] }), PATHS)
    await using during = await serveSessions(webSessions(sessions, { keys: [newest, older] }), PATHS)
    await using after = await serveSessions(webSessions(sessions, { keys: [newest] }), PATHS)
    const [faithful, late] = [new Browser(), new Browser()]
    await faithful.get(before, '/login')
    await late.get(before, '/login')
    const answer = await faithful.get(during, '/show')
    expect([answer.text, answer.setCookies.length]).toEqual(['{"user":"ada"}', 1])
    expect((await faithful.get(during, '/show')).setCookies).toEqual([])
    expect((await faithful.get(after, '/show')).text).toBe('{"user":"ada"}')
    expect((await late.get(after, '/show')).text).toBe('{}')
  })

  test('that nobody has signed asks nothing of the tiers, and takes nothing away from the browser', async () => {
    const { sessions, cache, backend } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    await browser.get(served, '/login')
    const [value = ''] = await browser.cookies(served)
    const id = value.split('.')[0] ?? ''
    const asked = [...cache.calls, ...backend.calls].length
    for (const forged of [id, `${id}.`, `${id}.${'A'.repeat(43)}`, '', '.', '%', 'x'.repeat(3_000)]) {
      const response = await fetch(`${served.url}/show`, { headers: { cookie: `sid=${forged}` } })
      expect([await response.text(), response.headers.getSetCookie()]).toEqual(['{}', []])
    }
    expect([...cache.calls, ...backend.calls]).toHaveLength(asked)
  })

  test('of a session that is gone is left alone, as a login may have set another one meanwhile', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    await browser.get(served, '/login')
    await sessions.destroyByUser('ada')
    expect(await browser.get(served, '/show')).toMatchObject({ text: '{}', setCookies: [] })
    const before = await browser.cookies(served)
    await browser.get(served, '/fill')
    const after = await browser.cookies(served)
    expect(after).toHaveLength(1)
    expect(after).not.toEqual(before)
  })

  test('is kept by a browser that checks what `__Host-` promises, and goes with the logout', async () => {
    const { sessions } = openTiers()
    const web = createWebSessions<Visit>({ sessions, cookie: { keys: KEYS, name: '__Host-sid', partitioned: true } })
    const browser = new CookieJar(undefined, { prefixSecurity: 'strict' })
    const url = 'https://shop.example/'
    const visit = async (work: (session: WebSession<Visit>) => unknown): Promise<void> => {
      const session = await web.load(await browser.getCookieString(url))
      await work(session)
      for (const cookie of await session.commit()) await browser.setCookie(cookie, url)
    }
    await visit((session) => {
      session.data.user = 'ada'
    })
    const [cookie] = await browser.getCookies(url)
    expect(cookie).toMatchObject({ key: '__Host-sid', secure: true, httpOnly: true, path: '/', hostOnly: true })
    await visit((session) => expect(session.data).toEqual({ user: 'ada' }))
    await visit(async (session) => await session.destroy())
    expect(await browser.getCookies(url)).toEqual([])
  })
})

describe('a session', () => {
  test('of a visitor who stores nothing is not made', async () => {
    const { sessions, cache, backend } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    await new Browser().get(served, '/show')
    expect([...cache.calls, ...backend.calls]).toEqual([])
  })

  test('has a new id after a login, keeps what it held, and its old id opens nothing', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    await browser.get(served, '/fill')
    const planted = new Browser(await browser.jar.clone())
    await browser.get(served, '/login')
    expect((await browser.get(served, '/show')).text).toBe('{"cart":["tea"],"user":"ada"}')
    expect((await planted.get(served, '/show')).text).toBe('{}')
  })

  test('is the same object of the request after a login, with what another request has changed meanwhile', async () => {
    const { sessions } = openTiers()
    const web = webSessions(sessions)
    const first = await web.load(null)
    first.data.cart = ['tea']
    const [cookie = ''] = await first.commit()
    const session = await web.load(cookie)
    const { data } = session
    data.visits = 1
    await sessions.update(session.id ?? '', (stored) => {
      stored.theme = 'dark'
    })
    await session.regenerate()
    expect(session.data).toBe(data)
    expect(data).toEqual({ cart: ['tea'], visits: 1, theme: 'dark' })
    data.user = 'ada'
    await session.commit()
    expect((await sessions.load(session.id ?? ''))?.data).toEqual({
      ...{ cart: ['tea'], user: 'ada', theme: 'dark', visits: 1 },
    })
  })

  test('that another request logs out is told to the one that has changed it, and not to the one that reads', async () => {
    const { sessions } = openTiers()
    const web = webSessions(sessions)
    const first = await web.load(null)
    first.data.user = 'ada'
    const [cookie = ''] = await first.commit()
    const [reading, changing] = [await web.load(cookie), await web.load(cookie)]
    await (await web.load(cookie)).destroy()
    changing.data.cart = ['tea']
    expect(await reading.commit()).toEqual([])
    await expect(changing.commit()).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
    expect(await sessions.load(changing.id ?? '')).toBeUndefined()
  })

  test('may begin anew in the request that has ended one', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), {
      ...PATHS,
      '/switch': async (session) => {
        await session.destroy()
        session.data.theme = 'dark'
        return new Response('switched')
      },
    })
    const browser = new Browser()
    await browser.get(served, '/login')
    const old = new Browser(await browser.jar.clone())
    expect((await browser.get(served, '/switch')).setCookies).toHaveLength(1)
    expect((await browser.get(served, '/show')).text).toBe('{"theme":"dark"}')
    expect((await old.get(served, '/show')).text).toBe('{}')
  })

  test('is logged out also where its cookie is worth nothing any more: the browser loses it', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    await browser.get(served, '/login')
    await sessions.destroyByUser('ada')
    const cleared = expect.stringMatching(/^sid=; Max-Age=0; .*Expires=Thu, 01 Jan 1970/)
    expect((await browser.get(served, '/logout')).setCookies).toEqual([cleared])
    expect(await browser.cookies(served)).toEqual([])
    expect((await browser.get(served, '/logout')).setCookies).toEqual([])
  })

  test('is committed as often as one likes: each time the response is told the same', async () => {
    const { sessions, cache } = openTiers()
    const web = webSessions(sessions)
    const session = await web.load(undefined)
    session.data.user = 'ada'
    const first = await session.commit()
    const asked = cache.calls.length
    expect(await session.commit()).toEqual(first)
    expect(cache.calls).toHaveLength(asked)
    await session.destroy()
    expect(await session.commit()).toEqual([expect.stringContaining('Max-Age=0')])
    await session.destroy()
    expect(await session.commit()).toEqual([expect.stringContaining('Max-Age=0')])
  })

  test('records the client that the program names', async () => {
    const { sessions } = openTiers()
    const web = webSessions(sessions)
    const client = { address: '192.0.2.7', userAgent: 'a browser' }
    const session = await web.load(null, { client })
    session.data.user = 'ada'
    const [cookie = ''] = await session.commit()
    expect(await sessions.load(session.id ?? '')).toMatchObject(client)
    const moved = await web.load(cookie, { client: { address: '192.0.2.8' } })
    await moved.regenerate()
    expect(await sessions.load(moved.id ?? '')).toMatchObject({ address: '192.0.2.8' })
  })
})

describe('a response', () => {
  test('whose headers are fixed is sent with the cookie all the same, as that of a redirect', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), {
      ...PATHS,
      '/in': async (session, request) => {
        await login(session, request)
        return Response.redirect(new URL('/show', request.url), 303)
      },
      '/proxy': async (session, request) => {
        await fills(session, request)
        return await fetch(new URL('/show', request.url))
      },
    })
    const browser = new Browser()
    expect(await browser.get(served, '/in')).toMatchObject({ status: 303, setCookies: [expect.any(String)] })
    expect((await browser.get(served, '/show')).text).toBe('{"user":"ada"}')
    const proxied = await new Browser().get(served, '/proxy')
    expect([proxied.text, proxied.setCookies.length]).toEqual(['{}', 1])
  })

  test('keeps the cookies that the application sets itself', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), {
      '/both': (session) => {
        session.data.user = 'ada'
        return new Response('both', { headers: { 'set-cookie': 'theme=dark' } })
      },
    })
    expect((await new Browser().get(served, '/both')).setCookies).toEqual([
      'theme=dark',
      expect.stringMatching(/^sid=/),
    ])
  })

  test('that an error took the place of stores nothing', async () => {
    const { sessions } = openTiers()
    await using served = await serveSessions(webSessions(sessions), {
      ...PATHS,
      '/fail': (session) => {
        session.data.cart = ['nothing of this']
        throw new Error('the application failed')
      },
    })
    const browser = new Browser()
    await browser.get(served, '/login')
    expect(await browser.get(served, '/fail')).toMatchObject({ status: 500, setCookies: [] })
    expect((await browser.get(served, '/show')).text).toBe('{"user":"ada"}')
  })

  test('for which no response was made stores nothing, and the error says what to return', async () => {
    const { sessions } = openTiers()
    const web = webSessions(sessions)
    const { headers } = new Request('http://127.0.0.1/')
    for (const given of [undefined, null, { status: 'logged in' }, 'logged in']) {
      const answering = web.withSession({ headers }, (session) => {
        session.data.user = 'ada'
        return given as unknown as Response
      })
      await expect(answering).rejects.toThrow(
        /^Expected `answer` to give a Response, got (?:undefined|null|object|string): return /,
      )
      await expect(answering).rejects.toThrow(TypeError)
    }
    expect(await sessions.count()).toBe(0)
  })

  test('is an error, and no logout, where the store cannot know', async () => {
    const { sessions, cache, backend } = openTiers()
    await using served = await serveSessions(webSessions(sessions), PATHS)
    const browser = new Browser()
    await browser.get(served, '/login')
    for (const tier of [cache, backend]) tier.unreachable = true
    for (const path of ['/show', '/logout'])
      expect(await browser.get(served, path)).toEqual({
        ...{ status: 500, text: 'E_SESSION_UNAVAILABLE', setCookies: [] },
      })
    expect(await browser.cookies(served)).toHaveLength(1)
    // Whoever has no cookie is served without a session, as there is nothing to ask.
    expect(await new Browser().get(served, '/show')).toMatchObject({ status: 200, text: '{}' })
  })
})

test('a call that nobody awaits does not end the process by its failure', async () => {
  const { sessions, cache, backend } = openTiers()
  const unhandled: unknown[] = []
  const hear = (error: unknown): unknown => unhandled.push(error)
  process.on('unhandledRejection', hear)
  try {
    const web = webSessions(sessions)
    const session = await web.load(null)
    session.data.user = 'ada'
    await session.commit()
    await using served = await serve(async () => {
      for (const tier of [cache, backend]) tier.unreachable = true
      session.data.cart = ['tea']
      void session.commit()
      void session.regenerate()
      void session.destroy()
      return new Response('not awaited')
    })
    expect((await new Browser().get(served, '/')).text).toBe('not awaited')
    // The last of them has ended when this one has.
    await expect(session.destroy()).rejects.toSatisfy((error) => isSessionStoreError(error, 'E_SESSION_UNAVAILABLE'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', hear)
  }
})

test('what holds no cookies is refused with words for what was meant', async () => {
  const web = webSessions(openTiers().sessions)
  const load = async (from: unknown): Promise<unknown> => await web.load(from as string)
  await expect(load({ headers: { cookie: 'sid=x' } })).rejects.toThrow(/node:http.*request\.headers\.cookie/)
  await expect(load(Promise.resolve(new Headers()))).rejects.toThrow(/await it first/)
  await expect(load(7)).rejects.toThrow(TypeError)
  for (const from of [new Request('http://a.example'), new Headers(), { headers: new Headers() }, '', null, undefined])
    expect(await load(from)).toMatchObject({ id: undefined, data: {} })
})
