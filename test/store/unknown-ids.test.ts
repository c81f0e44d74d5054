import { describe, expect, test } from 'vitest'
import { encodeEnvelope } from '../../src/session/envelope.js'
import { calls, expectCode, held, loaded, loseOneAnswer, settled, world } from './world.js'

const ID = 'an id that nobody has given out'

describe('an unknown id', () => {
  test('is looked for in the backend once, and then costs one look at the cache, in every process', async () => {
    const { processWithTiers, cached } = world()
    const [one, other] = [processWithTiers(), processWithTiers()]
    expect(await one.store.load(ID)).toBeUndefined()
    expect(await cached(ID)).toMatchObject({ kind: 'nothing' })
    for (const { store, cache, backend } of [one, other])
      expect([
        await calls(cache, () => store.load(ID)),
        await calls(backend, () => Promise.all([store.load(ID), store.load(ID)])),
      ]).toEqual([['get'], []])
    expect(other.store.stats()).toMatchObject({ unknownIds: 3, cacheHits: 3, cacheMisses: 0, backendReads: 0 })
  })

  test('is looked for again when the mark is over: not before half of its longest life, and then at last', async () => {
    const { process, backend, runtime } = world()
    const store = process({ unknownIdTtlMs: 5_000 })
    await store.load(ID)
    runtime.advance(2_499)
    expect(await calls(backend, () => store.load(ID))).toEqual([])
    runtime.advance(2_501)
    expect(await calls(backend, () => store.load(ID))).toEqual(['read'])
  })

  test('is not forgotten at the same moment as others that were asked for with it', async () => {
    const { process, backend, runtime } = world()
    const store = process({ unknownIdTtlMs: 5_000, maxBackendReads: 100 })
    const ids = Array.from({ length: 100 }, (_, n) => `${ID} ${n}`)
    const askForAll = async (): Promise<unknown> => await Promise.all(ids.map((id) => store.load(id)))
    await askForAll()
    runtime.advance(3_750)
    const forgotten = (await calls(backend, askForAll)).length
    expect(forgotten).toBeGreaterThan(20)
    expect(forgotten).toBeLessThan(80)
  })

  test('is looked for each time where the store is told to remember none', async () => {
    const { process, backend, cached } = world()
    const store = process({ unknownIdTtlMs: 0 })
    await store.load(ID)
    expect(await cached(ID)).toBeUndefined()
    expect(await calls(backend, () => store.load(ID))).toEqual(['read'])
  })

  test('leaves nothing behind where the read took as long as the mark would stand', async () => {
    const { process, backend, runtime, cached } = world()
    const store = process({ unknownIdTtlMs: 1_000 })
    backend.intercept = async (_call, proceed) => {
      runtime.advance(1_000)
      return await proceed()
    }
    expect(await store.load(ID)).toBeUndefined()
    expect(await cached(ID)).toBeUndefined()
  })

  test('is unknown to update, touch and regenerate as well, and each of them is counted', async () => {
    const { process, backend } = world()
    const store = process()
    await store.load(ID)
    const asked = await calls(backend, async () => {
      expect(await store.update(ID, () => {})).toBeUndefined()
      await store.touch(ID)
      await expectCode(store.regenerate(ID), 'E_SESSION_DESTROYED')
    })
    expect(asked).toEqual([])
    expect(store.stats().unknownIds).toBe(4)
  })

  test('is shown by inspect as one that neither tier knows, and a session that is listed is not hidden by a mark', async () => {
    const { process, plantEnvelope, runtime } = world()
    const store = process()
    await store.load(ID)
    expect(await store.inspect(store.handleOf(ID))).toBeUndefined()
    const { id } = await store.create({ n: 1 })
    await settled()
    const mark = { kind: 'nothing', trustedAt: runtime.now(), expiresAt: runtime.now() + 3_000 } as const
    await plantEnvelope(id, mark)
    expect(await store.inspect(store.handleOf(id))).toMatchObject({
      tiers: { cache: 'missing', backend: 'live' },
      session: { data: undefined },
    })
    expect(await store.list({ newest: true })).toMatchObject([{ data: { n: 1 } }])
  })

  test('can be destroyed, with a tombstone in both tiers as ever', async () => {
    const { process, cached, stored } = world()
    const store = process()
    await store.load(ID)
    expect(await store.destroy(ID)).toEqual({ cache: 'tombstone' })
    expect([(await cached(ID))?.kind, (await stored(ID)).state]).toEqual(['tombstone', 'destroyed'])
    await expectCode(store.put(ID, {}), 'E_SESSION_DESTROYED')
  })

  test('that is damaged in the cache, or whose mark is another session’s, is looked for in the backend', async () => {
    const { process, plant, keyOf, runtime, backend } = world()
    const store = process({ sealing: { keys: [new Uint8Array(32).map((_, at) => at)], acceptUnsealed: true } })
    const mark = { kind: 'nothing', trustedAt: runtime.now(), expiresAt: runtime.now() + 3_000 } as const
    await plant(ID, encodeEnvelope(keyOf('another'), mark))
    expect(await calls(backend, () => store.load(ID))).toEqual(['read'])
  })
})

describe('a session that begins under an id which was asked for before', () => {
  test('is there at once, for every process, whichever call makes it', async () => {
    for (const how of ['create', 'put'] as const) {
      const { process, cached } = world()
      const [one, other] = [process(), process()]
      await other.load(ID)
      if (how === 'create') await one.create({ n: 1 }, { id: ID })
      else await one.put(ID, { n: 1 })
      expect(await cached(ID)).toMatchObject({ kind: 'live' })
      expect((await loaded(other, ID)).data).toEqual({ n: 1 })
    }
  })

  test('costs put no more calls than one that nobody asked for', async () => {
    const { process, cache, backend } = world()
    const store = process()
    expect(await calls(cache, () => calls(backend, () => store.put('new', {})))).toEqual([
      ...['get', 'add', 'cas', 'cas', 'cas'],
    ])
    await store.load(ID)
    let inBackend: string[] = []
    const inCache = await calls(cache, async () => {
      inBackend = await calls(backend, () => store.put(ID, {}))
    })
    expect([inCache, inBackend]).toEqual([['get', 'cas', 'cas'], ['insert']])
  })

  test('with its first copy in the cache alone takes the place of the mark, too', async () => {
    const { process, cached, stored } = world()
    const [one, other] = [process({ persistOn: 'identify' }), process({ persistOn: 'identify' })]
    await other.load(ID)
    await one.create({ n: 1 }, { id: ID })
    expect([(await cached(ID))?.kind, (await stored(ID)).state]).toEqual(['live', 'absent'])
    expect((await loaded(other, ID)).data).toEqual({ n: 1 })
  })

  test('is not hidden by a reader who had read the backend before, and whose mark comes late', async () => {
    const { processWithTiers, runtime } = world()
    const [creator, reader] = [processWithTiers(), processWithTiers()]
    const gate = held()
    // The reader has found nothing, and is about to say so.
    reader.cache.intercept = async (call, proceed) => {
      if (call === 'cas') await gate.opened
      return await proceed()
    }
    const reading = reader.store.load(ID)
    await settled()
    // Its lease has ended, as it is so slow.
    runtime.advance(6_000)
    await creator.store.create({ n: 1 }, { id: ID })
    gate.open()
    await reading
    expect((await loaded(reader.store, ID)).data).toEqual({ n: 1 })
  })

  test('is not hidden by a reader who took over its lease and marked that nothing stands there', async () => {
    const { processWithTiers, loseCache } = world()
    const [creator, reader] = [processWithTiers(), processWithTiers()]
    creator.backend.intercept = async (call, proceed) => {
      if (call === 'insert') {
        // The cache forgets the creator's lease, and a reader comes before the insert.
        loseCache()
        await reader.store.load(ID)
      }
      return await proceed()
    }
    await creator.store.create({ n: 1 }, { id: ID })
    expect((await loaded(reader.store, ID)).data).toEqual({ n: 1 })
  })

  test('whose flush was put off is not hidden by a reader who had read the backend before that flush', async () => {
    const { processWithTiers, loseCache, stored } = world()
    const [creator, reader] = [processWithTiers({ persistOn: 'due' }), processWithTiers({ persistOn: 'due' })]
    const session = await creator.store.create({ n: 1 }, { id: ID })
    creator.backend.intercept = async (call, proceed) => {
      if (call === 'insert') {
        loseCache()
        await reader.store.load(ID)
      }
      return await proceed()
    }
    session.data['n'] = 2
    await creator.store.save(session, { durable: true })
    expect((await stored(ID)).state).toBe('live')
    expect((await loaded(reader.store, ID)).data).toEqual({ n: 2 })
  })

  test('is there although the answer to the change of its entry was lost', async () => {
    const { process, cache } = world()
    const [one, other] = [process(), process()]
    await other.load(ID)
    expect(loseOneAnswer(cache, 'cas')()).toBe(0)
    await one.create({ n: 1 }, { id: ID })
    cache.intercept = async (_call, proceed) => await proceed()
    expect((await loaded(other, ID)).data).toEqual({ n: 1 })
  })

  test('by a process that cannot reach the cache is hidden from the others for the life of the mark at most', async () => {
    const { processWithTiers, runtime } = world()
    const [creator, reader] = [processWithTiers(), processWithTiers()]
    await reader.store.load(ID)
    creator.cache.unreachable = true
    await creator.store.create({ n: 1 }, { id: ID })
    expect(await reader.store.load(ID)).toBeUndefined()
    runtime.advance(3_000)
    expect((await loaded(reader.store, ID)).data).toEqual({ n: 1 })
  })

  test('while the cache was away is there for everybody who has seen it go, though the cache returns with the mark', async () => {
    const { process, cache } = world()
    const [creator, reader] = [process(), process()]
    await reader.load(ID)
    cache.unreachable = true
    await creator.create({ n: 1 }, { id: ID })
    expect((await loaded(reader, ID)).data).toEqual({ n: 1 })
    cache.unreachable = false
    expect((await loaded(reader, ID)).data).toEqual({ n: 1 })
  })
})

test('a writer does not believe the mark: it is told by the backend whether its session is there', async () => {
  const { process, plantEnvelope, runtime } = world()
  const store = process()
  const session = await store.create({ n: 1 })
  await settled()
  await plantEnvelope(session.id, { kind: 'nothing', trustedAt: runtime.now(), expiresAt: runtime.now() + 3_000 })
  session.data['n'] = 2
  await store.save(session)
  expect((await loaded(store, session.id)).data).toEqual({ n: 2 })
})

test('a mark whose moment is further off than any may be is by a clock that is wrong, and is not believed', async () => {
  const { process, plantEnvelope, runtime } = world()
  const store = process()
  const { id } = await store.create({ n: 1 })
  await settled()
  await plantEnvelope(id, { kind: 'nothing', trustedAt: runtime.now(), expiresAt: runtime.now() + 3_600_000 })
  expect((await loaded(store, id)).data).toEqual({ n: 1 })
})

describe('many reads of the backend at once', () => {
  /** A store that reads one session at a time, behind a backend that does not answer until the test lets it. */
  const behindASlowBackend = async (maxWaitingReads: number) => {
    const w = world()
    const store = w.process({ maxBackendReads: 1, maxWaitingReads })
    const { id } = await store.create({ n: 1 })
    await settled()
    w.loseCache()
    const gate = held()
    w.backend.intercept = async (_call, proceed) => {
      await gate.opened
      return await proceed()
    }
    return { ...w, store, id, gate }
  }
  const flood = (store: { load(id: string, options?: object): Promise<unknown> }, count: number, options = {}) =>
    Array.from({ length: count }, (_, n) =>
      store.load(`made up ${n}`, options).then(
        () => 'none',
        ({ code }: { readonly code: string }) => code,
      ),
    )

  test('are refused with a clear error and leave nothing in the cache, where too many wait', async () => {
    const { store, cache, gate, cached } = await behindASlowBackend(3)
    const asked = flood(store, 10)
    const refused = await Promise.race(asked.slice(4))
    expect(refused).toBe('E_OVERLOADED')
    await expect(store.load('one more')).rejects.toMatchObject({
      code: 'E_OVERLOADED',
      message: 'memory was not asked to read: 3 other reads wait in line',
      tier: 'memory',
      operation: 'read',
    })
    expect(await cached('one more')).toBeUndefined()
    // Only the one whose turn it is has a lease.
    expect(cache.calls.filter((call) => call === 'add')).toHaveLength(2)
    gate.open()
    expect((await Promise.all(asked)).filter((outcome) => outcome === 'none')).toHaveLength(4)
    expect(store.stats().readsRefused).toBe(7)
  })

  test('serve an id that is verified before all others, and make room for it', async () => {
    const { store, id, gate } = await behindASlowBackend(3)
    const order: string[] = []
    const asked = flood(store, 10).map(async (asking) => {
      const outcome = await asking
      order.push(outcome)
      return outcome
    })
    await settled()
    const real = store.load(id, { verified: true })
    real.finally(() => order.push('real')).catch(() => {})
    await settled()
    expect(order).toEqual(Array(7).fill('E_OVERLOADED'))
    gate.open()
    expect(await real).toMatchObject({ data: { n: 1 } })
    // The one that was under way is done as well, and none of those that waited.
    expect(order.slice(7).filter((outcome) => outcome === 'none').length).toBeLessThanOrEqual(1)
    expect((await Promise.all(asked)).filter((outcome) => outcome === 'none')).toHaveLength(3)
  })

  test('let callers take turns: who asks for very many keeps nobody from his session', async () => {
    const { store, id, gate } = await behindASlowBackend(3)
    const asked = flood(store, 10, { caller: '192.0.2.1' })
    await settled()
    const real = store.load(id, { caller: '192.0.2.2' })
    await settled()
    gate.open()
    expect(await real).toMatchObject({ data: { n: 1 } })
    expect((await Promise.all(asked)).filter((outcome) => outcome === 'none')).toHaveLength(3)
  })

  test('never hold up a writer, whose reads go before those of unknown ids', async () => {
    const { store, gate } = await behindASlowBackend(3)
    const asked = flood(store, 10)
    await settled()
    const putting = store.put('of the caller’s own', { n: 1 }, { verified: true })
    gate.open()
    expect(await putting).toMatchObject({ data: { n: 1 } })
    await Promise.all(asked)
  })

  test('of one id are one read, also where some of the callers are verified and some are not', async () => {
    const { store, id, gate, backend } = await behindASlowBackend(3)
    const before = backend.calls.length
    const all = [...Array(50).keys()].map((n) => store.load(id, { verified: n % 2 === 0 }))
    await settled()
    gate.open()
    for (const session of await Promise.all(all)) expect(session?.data).toEqual({ n: 1 })
    expect(backend.calls.slice(before)).toEqual(['read'])
  })

  test('are refused in time: before the call that waits is late', async () => {
    const w = world()
    const store = w.process({ maxBackendReads: 1, backendTimeoutMs: 3_000, deadlineMs: 3_000 })
    const gate = held()
    w.backend.intercept = async (_call, proceed) => {
      await gate.opened
      return await proceed()
    }
    const [first, second] = flood(store, 2)
    await settled()
    w.runtime.advance(2_251)
    expect(await second).toBe('E_OVERLOADED')
    gate.open()
    expect(await first).toBe('none')
  })

  test.each([
    [{ verified: 'yes' }, 'verified'],
    [{ caller: '' }, 'caller'],
    [{ caller: 5 }, 'caller'],
    [{ caller: 'x'.repeat(256) }, 'caller'],
  ])('are not begun with %j', async (options, name) => {
    const { process } = world()
    await expect(process().load(ID, options as object)).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringContaining(`\`${name}\``),
    })
  })
})
