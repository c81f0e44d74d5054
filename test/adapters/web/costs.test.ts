import { expect, test } from 'vitest'
import { type Answer, Browser, openTiers, serveSessions, webSessions } from './served.js'

/** The rows of the table in docs/frameworks/web.md: what the tiers are asked. */
test('each kind of request costs what the documentation says', async () => {
  const { sessions, cache, backend } = openTiers()
  let turn = 0
  const change: Answer = (session) => {
    turn += 1
    session.data.visits = turn
    return new Response('changed')
  }
  await using served = await serveSessions(webSessions(sessions), {
    '/read': (session) => Response.json(session.data),
    '/change': change,
    '/login': async (session) => {
      await session.regenerate()
      session.data.user = 'ada'
      return new Response('hello')
    },
    '/logout': async (session) => {
      await session.destroy()
      return new Response('bye')
    },
  })
  const browser = new Browser()
  const costs: Record<string, unknown> = {}
  for (const path of ['/read', '/change', '/read', '/change', '/login', '/change', '/logout', '/login']) {
    const before = { cache: cache.calls.length, backend: backend.calls.length }
    await browser.get(served, path)
    costs[`${Object.keys(costs).length} ${path}`] = [
      cache.calls.slice(before.cache).join(' '),
      backend.calls.slice(before.backend).join(' '),
    ]
  }
  expect(costs).toEqual({
    '0 /read': ['', ''],
    '1 /change': ['add cas', 'insert'],
    '2 /read': ['get', ''],
    '3 /change': ['get cas', ''],
    '4 /login': ['get get cas cas set get add cas cas cas', 'update insert destroy read readUser update readUser'],
    '5 /change': ['get cas', ''],
    '6 /logout': ['get get set set', 'destroy'],
    '7 /login': ['add cas', 'readUser insert readUser'],
  })
})
