import { expect, test } from 'vitest'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { StoreStats } from '../../src/contract/events.js'
import type { FrontCache, SharedName } from '../../src/contract/front-cache.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { encodeEnvelope } from '../../src/session/envelope.js'
import type { StoreOptions } from '../../src/store/options.js'
import { change, type Data, expectCode, held, increment, loaded, loseOneAnswer, settled, world } from './world.js'

interface Place extends ReturnType<typeof world> {
  readonly store: SessionStore<Data>
  /** Another process of the cluster, on the same tiers. */
  readonly other: SessionStore<Data>
  /** A session that stands in both tiers. */
  readonly id: string
}

type Moves = readonly [name: string, by: number, act: (place: Place) => Promise<unknown>, options?: StoreOptions<Data>]

const userOf = { identify: (data: Data) => data['userId'] as string | undefined }

/** A cache that tells the stores over it, the first of them first, what it found. */
const listeners: ((found: SharedName) => void)[] = []
const watching: FrontCache = Object.assign(memoryCache(), {
  onSharedName: (listener: (found: SharedName) => void) => {
    listeners.push(listener)
    return () => {}
  },
})

/** Each counter, what it counts up by, and what makes it do so. */
const COUNTERS: readonly Moves[] = [
  ['cacheHits', 1, ({ store, id }) => loaded(store, id)],
  ['cacheMisses', 1, ({ store }) => store.load('nobody')],
  [
    'readsRefused',
    1,
    async ({ store, backend }) => {
      const gate = held()
      backend.intercept = async (_call, proceed) => {
        await gate.opened
        return await proceed()
      }
      const first = store.load('nobody')
      await settled()
      await store.load('nobody else').catch(() => {})
      gate.open()
      await first
    },
    { maxBackendReads: 1, maxWaitingReads: 0 },
  ],
  ['unknownIds', 2, async ({ store }) => [await store.load('nobody'), await store.load('nobody')]],
  [
    'fills',
    1,
    async ({ store, id, loseCache }) => {
      loseCache()
      await loaded(store, id)
    },
  ],
  [
    'backendReads',
    1,
    async ({ store, id, loseCache }) => {
      loseCache()
      await loaded(store, id)
    },
  ],
  [
    'leaseWaits',
    1,
    async ({ store, other, id, loseCache, backend }) => {
      loseCache()
      const gate = held()
      backend.intercept = async (_call, proceed) => {
        await gate.opened
        return await proceed()
      }
      const [filling, waiting] = [loaded(other, id), settled().then(() => loaded(store, id))]
      await settled()
      await settled()
      gate.open()
      await Promise.all([filling, waiting])
    },
  ],
  [
    'adopted',
    1,
    ({ store }) => loaded(store, 'old'),
    { legacy: { get: async () => ({ data: {} }), destroy: async () => {} } },
  ],
  ['backendWrites', 1, ({ store }) => store.create({})],
  ['writes', 1, ({ store, id }) => increment(store, id)],
  [
    'conflicts',
    1,
    async ({ store, other, id }) => {
      const mine = await loaded(store, id)
      await increment(other, id)
      mine.data['mine'] = 1
      await store.save(mine)
    },
  ],
  [
    'merges',
    1,
    async ({ store, other, id }) => {
      const mine = await loaded(store, id)
      await increment(other, id)
      mine.data['mine'] = 1
      await store.save(mine)
    },
  ],
  [
    'touches',
    1,
    async ({ store, id, runtime }) => {
      runtime.advance(20 * 60_000)
      await loaded(store, id)
      await settled()
    },
  ],
  [
    'extensions',
    1,
    async ({ store, id, runtime }) => {
      runtime.advance(3 * 3_600_000)
      await loaded(store, id)
      await settled()
    },
  ],
  [
    'purged',
    1,
    async ({ store, runtime }) => {
      runtime.advance(3 * 86_400_000)
      await store.purge()
    },
  ],
  ['destroys', 1, ({ store, id }) => store.destroy(id)],
  [
    'bypassed',
    1,
    async ({ store, id, cache }) => {
      cache.unreachable = true
      await loaded(store, id)
    },
  ],
  [
    'quarantined',
    1,
    async ({ store, id, cache, runtime }) => {
      cache.unreachable = true
      await loaded(store, id)
      cache.unreachable = false
      await store.load('nobody')
      runtime.advance(10_000)
      await loaded(store, id)
    },
  ],
  [
    'damaged',
    1,
    async ({ store, id, plant }) => {
      await plant(id, Buffer.from('garbage'))
      await loaded(store, id)
    },
  ],
  [
    'serversDiffer',
    1,
    async ({ store, id, cache, cached, plant, keyOf }) => {
      const envelope = await cached(id)
      if (envelope === undefined) throw new Error('nothing is cached')
      await plant(id, encodeEnvelope(keyOf(id), envelope, 2))
      Object.assign(cache, { serverList: 1 })
      await loaded(store, id)
    },
  ],
  ['sharedNames', 1, async () => listeners[0]?.({ server: 'cache1:11211', servers: 2 }), { cache: watching }],
  [
    'faults',
    1,
    async ({ store, id, cache }) => {
      loseOneAnswer(cache, 'get')
      await loaded(store, id)
    },
  ],
  ['flushes.create', 1, ({ store }) => store.create({})],
  ['flushes.count', 1, ({ store, id }) => increment(store, id), { maxStaleCount: 1 }],
  [
    'flushes.claim',
    1,
    async ({ store, id, loseCache }) => {
      loseCache()
      await increment(store, id)
    },
  ],
  [
    'flushes.time',
    1,
    async ({ store, id, runtime }) => {
      await increment(store, id)
      runtime.advance(60_000)
      await settled()
    },
  ],
  [
    'flushes.bypass',
    1,
    async ({ store, id, cache }) => {
      cache.unreachable = true
      await increment(store, id)
    },
  ],
  [
    'flushes.refused',
    1,
    ({ store, id }) => change(store, id, (data) => Object.assign(data, { blob: Buffer.alloc(1_100_000, 7) })),
  ],
  [
    'flushes.identify',
    1,
    ({ store, id }) => change(store, id, (data) => Object.assign(data, { userId: 'ann' })),
    userOf,
  ],
  [
    'flushes.durable',
    1,
    async ({ store, id }) => {
      const session = await loaded(store, id)
      session.data['count'] = 7
      await store.save(session, { durable: true })
    },
  ],
  // The old copy is made durable, and the new one.
  ['flushes.regenerate', 2, async ({ store, id }) => store.regenerate(await loaded(store, id))],
  [
    'flushes.drain',
    1,
    async ({ store, id }) => {
      await increment(store, id)
      await store.close()
    },
  ],
  ['unflushed', 1, ({ store, id }) => increment(store, id)],
  [
    'oldestUnflushedMs',
    30_000,
    async ({ store, id, runtime }) => {
      await increment(store, id)
      runtime.advance(30_000)
    },
  ],
]

const numberOf = (stats: StoreStats, name: string): number => {
  const [first = '', second] = name.split('.')
  const value = stats[first as keyof StoreStats]
  return Number(second === undefined ? value : (value as Record<string, number>)[second])
}

test.each(COUNTERS.map((moves) => ({ name: moves[0], moves })))(
  '$name moves by what happened, and stands still where nothing did',
  async ({ moves }) => {
    const [name, by, act, options] = moves
    const place = world()
    const [store, other, idle] = [place.process(options), place.process(options), place.process(options)]
    const { id } = await other.create({ count: 0 })
    await settled()
    const before = numberOf(store.stats(), name)
    await act({ ...place, store, other, id })
    const moved = numberOf(store.stats(), name) - before
    // A duration is of the clock that goes on while the test runs.
    if (name.endsWith('Ms')) expect(Math.floor(moved / by)).toBe(1)
    else expect(moved).toBe(by)
    expect(numberOf(idle.stats(), name)).toBe(0)
  },
)

test('the table above has every counter and every reason of a flush', () => {
  const { flushes, ...others } = world().process().stats()
  const all = [...Object.keys(others), ...Object.keys(flushes).map((reason) => `flushes.${reason}`)]
  expect(COUNTERS.map(([name]) => name).sort()).toEqual(all.sort())
})

test('a session stays unflushed, and its age goes on, while it is being flushed and when that failed', async () => {
  const { process, backend, runtime } = world()
  const store = process({ maxStaleMs: 60_000 })
  const { id } = await store.create({ count: 0 })
  await settled()
  const age = (): number => Math.floor(store.stats().oldestUnflushedMs / 60_000)
  await increment(store, id)
  const gate = held()
  backend.intercept = async () => {
    await gate.opened
    throw new Error('the backend is away')
  }
  runtime.advance(60_000)
  await settled()
  expect([store.stats().unflushed, age()]).toEqual([1, 1])
  // A newer change is noted meanwhile.
  await increment(store, id)
  expect([store.stats().unflushed, age()]).toEqual([1, 1])
  gate.open()
  await expect.poll(() => backend.calls.filter((call) => call === 'update').length).toBe(2)
  // Second by second: a call that is under way must not find its deadline passed.
  const seconds = async (count: number): Promise<void> => {
    for (let second = 0; second < count; second += 1) {
      await settled()
      runtime.advance(1_000)
    }
    await settled()
  }
  await seconds(59)
  await increment(store, id)
  await settled()
  expect([store.stats().unflushed, age()]).toEqual([1, 1])
  backend.intercept = (_call, proceed) => proceed()
  await seconds(10)
  expect([store.stats().unflushed, store.stats().oldestUnflushedMs]).toEqual([0, 0])
})

test('a lost answer is a fault like any other, and the write behind it counts once', async () => {
  const { process, cache } = world()
  const store = process()
  const { id } = await store.create({ count: 0 })
  await settled()
  loseOneAnswer(cache, 'cas')
  await increment(store, id)
  expect(store.stats()).toMatchObject({ faults: 1, writes: 1, conflicts: 0 })
  await expectCode(store.load(''), 'E_INVALID_ID')
  expect(store.stats()).toMatchObject({ faults: 1 })
})

test('the counts of the flush events are how many sessions went out together, and their sum is what was written', async () => {
  const { process } = world()
  const store = process({ maxStaleCount: 1 })
  const told: { reason: string; count: number }[] = []
  store.on('flush', (event) => told.push(event))
  const ids = await Promise.all(Array.from({ length: 30 }, async () => (await store.create({ count: 0 })).id))
  await settled()
  await Promise.all(
    ids.map(async (id, at) => {
      if (at % 2 === 0) await increment(store, id)
      else await store.save(await loaded(store, id), { durable: true, idleTtlMs: 5_000 })
    }),
  )
  const sum = (reason: string): number =>
    told.filter((event) => event.reason === reason).reduce((total, { count }) => total + count, 0)
  const { flushes, backendWrites } = store.stats()
  expect(sum('create')).toBe(30)
  expect(Object.fromEntries(told.map(({ reason }) => [reason, sum(reason)]))).toEqual(
    Object.fromEntries(Object.entries(flushes).filter(([, count]) => count > 0)),
  )
  expect(told.reduce((total, { count }) => total + count, 0)).toBe(backendWrites)
  expect(backendWrites).toBe(60)
  expect(Math.max(...told.map(({ count }) => count))).toBeGreaterThan(1)
  expect(told.length).toBeLessThan(60)
})
