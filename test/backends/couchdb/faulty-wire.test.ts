import { expect, test } from 'vitest'
import { startCouchdb } from '../../../scripts/servers/couchdb.js'
import { msgpackCodec } from '../../../src/codecs/index.js'
import { createSessionStore, isSessionStoreError, type SessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { locate } from '../../../src/session/key.js'
import { type FaultProxy, faultProxy } from '../../chaos/fault-proxy.js'
import { type Chance, chance } from '../../concurrency/chance.js'
import { quietRuntime } from '../../support/calendar.js'
import { rounds, seed } from '../../support/seed.js'
import { couchdb } from './backend.js'
import { closedAfterEach } from './scene.js'

const closing = closedAfterEach()

const runtime = quietRuntime

type Data = Record<string, unknown>

/** What the clients know of one session. */
interface Known {
  readonly id: string
  readonly acknowledged: Set<string>
  /** Of these, those that were said to be in the backend. */
  readonly durable: Set<string>
  /** `asked`: its answer was an error, so that either may be. */
  destroyed: 'no' | 'asked' | 'yes'
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const FAULTS: readonly ((wire: FaultProxy, random: Chance) => unknown)[] = [
  (wire, random) => wire.cutAfter(random.below(400), 'answers'),
  (wire, random) => wire.cutAfter(random.below(400), 'requests'),
  (wire) => wire.dropReplies(),
  (wire) => wire.blackHole(),
  (wire, random) => wire.delay(random.below(150)),
  (wire) => wire.reset(),
  (wire) => wire.halfClose(),
]

const CLIENTS = [0, 1, 2]

test('with wires that break and a server that freezes, what was acknowledged is kept and what was destroyed stays away', {
  timeout: rounds(300_000, 1_800_000),
}, async () => {
  const server = await startCouchdb()
  closing.push(() => server.stop())
  const wires = await Promise.all(CLIENTS.map(() => faultProxy(() => server.port)))
  for (const wire of wires) closing.push(() => wire.close())
  // One cache, which keeps what it has: what is lost now, the backend's faults have lost.
  const cache = memoryCache({ runtime })
  const backendAt = (port: number) =>
    couchdb({ url: `http://127.0.0.1:${port}`, absoluteTtlMs: 30 * 86_400_000, requestTimeoutMs: 600, runtime })
  const storeAt = (port: number): SessionStore<Data> =>
    createSessionStore<Data>({
      cache,
      backend: backendAt(port),
      maxStaleCount: 3,
      maxStaleMs: 200,
      backendTimeoutMs: 800,
      leaseMs: 1_000,
      deadlineMs: 5_000,
      runtime,
    })
  const stores = wires.map(({ port }) => storeAt(port))
  let [acknowledged, destroys, numbered] = [0, 0, 0]

  const attempt = async <T>(call: () => Promise<T>): Promise<{ readonly value: T } | undefined> => {
    try {
      return { value: await call() }
    } catch (error) {
      // Every error is one of ours: nothing else gets out of the client underneath.
      if (!isSessionStoreError(error)) throw error
      return undefined
    }
  }
  const sessions: Known[] = []
  const create = async (store: SessionStore<Data>): Promise<void> => {
    const created = await attempt(() => store.create({}))
    if (created !== undefined)
      sessions.push({ id: created.value.id, acknowledged: new Set(), durable: new Set(), destroyed: 'no' })
  }
  for (const store of stores) for (let index = 0; index < 3; index++) await create(store)

  let running = true
  const client = async (at: number): Promise<void> => {
    const random = chance(at)
    const store = stores[at]
    if (store === undefined) throw new Error(`there is no store ${at}`)
    while (running) {
      const known = sessions[random.below(sessions.length)]
      if (known === undefined) throw new Error('there is no session')
      if (random.onceIn(60)) {
        if (known.destroyed === 'no') known.destroyed = 'asked'
        if ((await attempt(() => store.destroy(known.id))) !== undefined) {
          known.destroyed = 'yes'
          destroys += 1
        }
        await create(store)
      } else {
        const token = `t${++numbered}`
        const durable = random.onceIn(4)
        const wasDestroyed = known.destroyed === 'yes'
        const change = (data: Data): void => {
          data[token] = 1
        }
        const done = await attempt(() => store.update(known.id, change, { durable }))
        if (wasDestroyed) expect(done?.value, `seed: ${seed}`).toBeUndefined()
        if (done?.value !== undefined) {
          known.acknowledged.add(token)
          if (durable) known.durable.add(token)
          acknowledged += 1
        }
      }
      await pause(random.waitMs(12))
    }
  }
  /** What the backend has, as somebody sees it who knows nothing of the cache and has a wire of its own. */
  const durableIsThere = async (): Promise<void> => {
    for (const known of sessions) {
      const expected = [...known.durable]
      const copy = await bystander.read(locate('nonstick', known.id))
      if (known.destroyed !== 'no') continue
      if (copy.state !== 'live') expect.fail(`it is ${copy.state}, seed: ${seed}`)
      const data = msgpackCodec.decode(copy.session.data) as Data
      expect(
        expected.filter((token) => data[token] === undefined),
        `seed: ${seed}`,
      ).toEqual([])
    }
  }
  const bystander = couchdb({ url: server.url, absoluteTtlMs: 30 * 86_400_000, requestTimeoutMs: 10_000, runtime })
  closing.push(() => bystander.close())
  const clients = Promise.all(CLIENTS.map(client))
  clients.catch(() => {})
  const random = chance(99)
  for (let fault = 0; fault < rounds(30, 400); fault++) {
    const wire = wires[random.below(wires.length)]
    const breakIt = FAULTS[random.below(FAULTS.length)]
    if (random.onceIn(8)) server.pause()
    else if (wire !== undefined) breakIt?.(wire, random)
    await pause(100 + random.below(400))
    server.resume()
    for (const each of wires) each.heal()
    await durableIsThere()
    await pause(random.below(150))
  }
  running = false
  await clients

  const felt = stores.reduce((sum, store) => sum + store.stats().faults, 0)
  // Everything is whole again, and so are the stores.
  const living = sessions.filter(({ destroyed }) => destroyed === 'no')
  for (const store of stores)
    for (const { id } of living)
      await expect
        .poll(() => attempt(() => store.update(id, () => {}, { durable: true })), { timeout: 10_000 })
        .toBeDefined()
  for (const store of stores)
    expect(await store.close({ deadlineMs: 10_000 })).toMatchObject({ left: 0, destroysLeft: 0 })

  // Without the cache, and over a wire of its own: what the backend has.
  const fresh = createSessionStore<Data>({ cache: memoryCache({ runtime }), backend: backendAt(server.port), runtime })
  closing.push(() => fresh.close())
  for (const known of sessions) {
    const found = await fresh.load(known.id)
    if (known.destroyed === 'yes') expect(found, `seed: ${seed}`).toBeUndefined()
    if (known.destroyed !== 'no') continue
    const missing = [...known.acknowledged].filter((token) => found?.data[token] === undefined)
    expect(missing, `seed: ${seed}`).toEqual([])
  }
  expect(acknowledged).toBeGreaterThan(100)
  expect(felt).toBeGreaterThan(0)
  expect(destroys).toBeGreaterThan(0)
})
