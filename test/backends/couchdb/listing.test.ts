import { describe, expect, test } from 'vitest'
import { contentOf, idOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { countingFor } from './counting.js'
import { closedAfterEach } from './scene.js'
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
  expect(await sessions.clear()).toBe(3)
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
