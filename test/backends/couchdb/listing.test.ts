import { describe, expect, test } from 'vitest'
import { contentOf, idOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import type { StoredSession } from '../../../src/contract/backend.js'
import type { Locator } from '../../../src/contract/locator.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { countingFor } from './counting.js'
import { closedAfterEach } from './scene.js'
import { json, scripted } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

const DAY_MS = 86_400_000

/** Two months with nine living sessions each, and three that have ended. */
const twoMonths = async () => {
  const clock = { now: Date.UTC(2026, 9, 28) }
  const runtime = { ...systemRuntime, now: () => clock.now }
  const backend = couchdb(couch().options({ runtime }))
  closing.push(() => backend.close())
  const keys: string[] = []
  for (const days of [0, 8]) {
    clock.now += days * DAY_MS
    for (let index = 0; index < 12; index++) {
      const locator = sampleLocator({ namespace: 'shop', bornMonth: monthOf(clock.now) })
      const lives = index % 4 !== 0
      const expiresAt = clock.now + (lives ? 20 * DAY_MS : 1)
      await backend.insert(locator, storedSession({ createdAt: clock.now, expiresAt }))
      if (lives) keys.push(locator.key)
    }
  }
  clock.now += 1
  return { backend, clock, keys: keys.sort(), bystander: sampleLocator({ namespace: 'shop2' }) }
}

test.each([1, 2, 4, 9, 18, 19])(
  'pages of %i go through all months in the order of the keys, each session once',
  async (limit) => {
    const { backend, clock, keys, bystander } = await twoMonths()
    await backend.insert(bystander, storedSession())
    const pages: string[][] = []
    for (let after: string | undefined; ; ) {
      const from = { namespace: 'shop', now: clock.now, limit, ...(after === undefined ? {} : { after }) }
      const { entries, next } = await backend.list({ ...from, withData: true, maxBytes: 1_000_000 })
      pages.push(entries.map(({ locator }) => locator.key))
      expect(await backend.listKeys(from)).toEqual({ entries: entries.map(({ locator }) => locator), next })
      if (next === undefined) break
      after = next
    }
    expect(pages.flat()).toEqual(keys)
    expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true)
    expect(await backend.count({ namespace: 'shop', now: clock.now })).toBe(keys.length)
  },
)

describe('two months', () => {
  /** In each month two sessions of Ada, one of Eve and one of nobody; Ada's second is of an application and seen later. */
  const filled = async (url = couch().url) => {
    const clock = { now: Date.UTC(2026, 9, 28) }
    const runtime = { ...systemRuntime, now: () => clock.now }
    const backend = couchdb(couch().options({ runtime, url }))
    closing.push(() => backend.close())
    const data = Buffer.from('nobody is to see this on the wire')
    const made: { readonly locator: Locator; readonly session: StoredSession; readonly of: string }[] = []
    for (const days of [0, 8]) {
      clock.now += days * DAY_MS
      const expiresAt = clock.now + 20 * DAY_MS
      for (const [of, more] of [
        ['ada', { userId: 'ada' }],
        ['ada too', { userId: 'ada', app: 'blog', seenAt: clock.now + 5, address: '::1', userAgent: 'größer' }],
        ['eve', { userId: 'eve', app: 'blog' }],
        ['nobody', {}],
      ] as const) {
        const locator = sampleLocator({ namespace: 'shop', bornMonth: monthOf(clock.now) })
        const session = storedSession({ createdAt: clock.now, expiresAt, data, ...more })
        await backend.insert(locator, session)
        made.push({ locator, session, of })
      }
    }
    made.sort((one, other) => (one.locator.key < other.locator.key ? -1 : 1))
    return { backend, clock, made, data, which: { namespace: 'shop', now: clock.now } }
  }

  test('hold the sessions of a user, each in the month where it stands', async () => {
    const { backend, made, which } = await filled()
    const ofAda = made.filter(({ session }) => session.userId === 'ada').map(({ locator }) => locator)
    expect(new Set(ofAda.map(({ bornMonth }) => bornMonth))).toEqual(new Set(['2610', '2611']))
    const found: Locator[] = []
    for (let after: string | undefined; ; ) {
      const from = after === undefined ? {} : { after }
      const { entries, next } = await backend.listKeys({ ...which, userId: 'ada', limit: 3, ...from })
      found.push(...entries)
      if (next === undefined) break
      after = next
    }
    expect(found).toEqual(ofAda)
    expect(await backend.count({ ...which, userId: 'ada' })).toBe(4)
    expect(await backend.count({ ...which, app: 'blog' })).toBe(4)
    expect(await backend.count({ ...which, app: '' })).toBe(4)
    expect(await backend.count({ ...which, seenSince: which.now })).toBe(4)
  })

  test('hold a user once who has sessions in both', async () => {
    const { backend, which } = await filled()
    expect(await backend.countUsers(which)).toBe(2)
    expect(await backend.countUsers({ ...which, app: 'blog' })).toBe(2)
    expect(await backend.countUsers({ ...which, seenSince: which.now + 5 })).toBe(1)
    expect(await backend.countUsers({ ...which, userId: 'eve' })).toBe(1)
    expect(await backend.countUsers({ ...which, userId: 'eve', app: '' })).toBe(0)
  })

  test('show their sessions without data, of which no byte goes over the wire', async () => {
    const bodies: string[] = []
    const proxy = await scripted(
      async (asked, response) => {
        const body = asked.body === '' ? {} : { body: JSON.parse(asked.body) as unknown }
        const answer = await couch().ask(asked.path.slice(1), { method: asked.method, ...body })
        bodies.push(JSON.stringify(answer.body))
        json(response, answer.status, answer.body)
      },
      { hasDatabases: false },
    )
    closing.push(() => proxy.close())
    const { backend, made, data, which } = await filled(proxy.url)
    const shown = async (more: object) => {
      bodies.length = 0
      return (await backend.list({ ...which, limit: 9, withData: false, maxBytes: 1, ...more })).entries
    }
    const bare = made.map(({ locator, session }) => ({ locator, session: { ...session, data: new Uint8Array(0) } }))
    expect(await shown({})).toEqual(bare)
    expect(await shown({ userId: 'ada' })).toEqual(bare.filter(({ session }) => session.userId === 'ada'))
    expect(bodies.length).toBeGreaterThan(0)
    const onTheWire = (): boolean => bodies.some((body) => body.includes(data.toString('base64').slice(0, 20)))
    expect(onTheWire()).toBe(false)
    await backend.list({ ...which, limit: 9, withData: true, maxBytes: 1_000_000 })
    expect(onTheWire()).toBe(true)
  })
})

test('counts go through as many pages of lines as there are, in the order of the users where these are counted', async () => {
  const line = (at: number, month: string) => {
    // Each user has two sessions, and every third user is in both months.
    const user = String(month === '2026-05' ? Math.floor(at / 2) : Math.floor(at / 2) * 3).padStart(8, '0')
    const order = String(at).padStart(8, '0')
    return { key: ['shop', 'user', user, order], value: [at % 4 < 2 ? QUIET_DAY : QUIET_DAY + 1, QUIET_DAY, ''] }
  }
  const LINES = { '2026-05': 12_000, '2026-06': 10_000 }
  const sizes: number[] = []
  const server = await scripted(({ path }, response) => {
    const url = new URL(path, 'http://localhost')
    const month = url.pathname.slice(1).replace('nonstick-', '').slice(0, 7) as keyof typeof LINES
    const [, , , start = ''] = JSON.parse(url.searchParams.get('startkey') ?? '[]') as string[]
    const limit = Number(url.searchParams.get('limit'))
    const rows = Array.from({ length: LINES[month] }, (_, at) => ({ id: `s:shop:${at}`, ...line(at, month) }))
    const page = rows.filter(({ key }) => start === '' || String(key[3]) >= start).slice(0, limit)
    sizes.push(page.length)
    json(response, 200, { rows: page })
  })
  closing.push(() => server.close())
  const backend = couchdb({
    ...{ url: server.url, absoluteTtlMs: 30 * DAY_MS, runtime: standingRuntime, requestTimeoutMs: 60_000 },
  })
  closing.push(() => backend.close())
  const which = { namespace: 'shop', now: QUIET_DAY, seenSince: 0 }
  expect(await backend.count(which)).toBe(11_000)
  // Of 6,000 users in May and 5,000 in June, every second has not expired; those with a number below 6,000 are in both.
  const users = new Set<number>()
  for (let at = 1; at < 6_000; at += 2) users.add(at)
  for (let at = 1; at < 5_000; at += 2) users.add(at * 3)
  expect(await backend.countUsers(which)).toBe(users.size)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(5_000)
})

test('a store’s clear() ends all of its sessions where they are, in whichever month', async () => {
  const clock = { now: Date.UTC(2026, 9, 28) }
  const runtime = { ...systemRuntime, now: () => clock.now }
  const database = couch().pattern()
  const backend = couchdb(couch().options({ runtime, database }))
  const sessions = createSessionStore({ cache: memoryCache({ runtime }), backend, runtime, idleTtlMs: 20 * DAY_MS })
  closing.push(() => sessions.close())
  const ids = [(await sessions.create({ n: 1 })).id]
  clock.now += 8 * DAY_MS
  ids.push(
    (await sessions.create({ n: 2 })).id,
    (await sessions.create({ n: 3 }, { id: 'a-foreign-id-0123456789' })).id,
  )
  expect((await sessions.destroyAll()).destroyed).toBe(3)
  expect(await sessions.count()).toBe(0)
  for (const id of ids) expect(await sessions.load(id)).toBeUndefined()
  const other = createSessionStore({
    cache: memoryCache({ runtime }),
    backend: couchdb(couch().options({ runtime, database })),
    runtime,
  })
  closing.push(() => other.close())
  for (const id of ids) expect(await other.load(id)).toBeUndefined()
  const tombstones = await Promise.all(
    (await couch().databases(database)).map(async (name) => {
      const { body } = await couch().ask(`${name}/_all_docs?include_docs=true`)
      const { rows } = body as { rows: { doc: { kind?: string } }[] }
      return rows.filter(({ doc }) => doc.kind === 'tombstone').length
    }),
  )
  expect(tombstones).toEqual([1, 2])
})

describe('a page costs the same few requests', () => {
  const filled = async () => {
    const wire = await countingFor(couch().url)
    closing.push(() => wire.close())
    const database = couch().pattern()
    const backend = couchdb(couch().options({ database, url: wire.url, runtime: standingRuntime }))
    closing.push(() => backend.close())
    await backend.setUp()
    const [, name = ''] = await couch().databases(database)
    const put = (docs: readonly object[]) => couch().ask(`${name}/_bulk_docs`, { method: 'POST', body: { docs } })
    const keys = Array.from({ length: 3 }, () => sampleLocator({ namespace: 'shop', bornMonth: '2606' }).key).sort()
    const session = storedSession({ createdAt: QUIET_DAY, expiresAt: QUIET_DAY + DAY_MS })
    await put(keys.map((key) => ({ _id: idOf(key), ...contentOf(session) })))
    const page = async (after?: string) => {
      const options = { namespace: 'shop', now: QUIET_DAY, limit: 1, ...(after === undefined ? {} : { after }) }
      const listed: string[] = []
      const asked = await wire.during(async () => {
        listed.push(
          ...(await backend.list({ ...options, withData: true, maxBytes: 1_000_000 })).entries.map(
            ({ locator }) => locator.key,
          ),
        )
      })
      return { listed, requests: asked.filter((line) => line.includes(name)).length }
    }
    /** So many of others, before, between and behind ours. */
    const others = (count: number, content: object) =>
      put(
        Array.from({ length: count }, (_, at) => ({
          _id: idOf(`shop:${'-_09AZaz'[at % 8]}${String(at).padStart(6, '0')}`),
          ...content,
        })),
      )
    return { page, others, keys }
  }

  test('whatever was logged out, and is not purged yet', async () => {
    const { page, others, keys } = await filled()
    expect(await page()).toEqual({ listed: keys.slice(0, 1), requests: 2 })
    await others(1_000, tombstoneOf('0011223344556677', QUIET_DAY - 1, QUIET_DAY + DAY_MS))
    expect(await page()).toEqual({ listed: keys.slice(0, 1), requests: 2 })
    expect(await page(keys[1])).toEqual({ listed: keys.slice(2), requests: 2 })
    expect(await page(keys[2])).toEqual({ listed: [], requests: 1 })
  })

  test('or hardly more, whatever has ended, and is not purged yet', async () => {
    const { page, others, keys } = await filled()
    await others(1_000, contentOf(storedSession({ expiresAt: QUIET_DAY })))
    const first = await page()
    expect(first.listed).toEqual(keys.slice(0, 1))
    expect(first.requests).toBeLessThanOrEqual(4)
    const last = await page(keys[2])
    expect(last.listed).toEqual([])
    expect(last.requests).toBeLessThanOrEqual(4)
  })
})
