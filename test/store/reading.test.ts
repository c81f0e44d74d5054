import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { calls, expectCode, held, increment, loaded, settled, world } from './world.js'

describe('reading a session', () => {
  test('a warm session is one read of the cache and none of the backend', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    await settled()

    const backendCalls = backend.calls.length
    const cacheCalls = await calls(cache, () => store.load(id))
    expect(cacheCalls).toEqual(['get'])
    expect(backend.calls.length).toBe(backendCalls)
  })

  test('a thousand reads of a warm session cost the backend nothing', async () => {
    const { process, backend } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    await settled()
    const before = backend.calls.length
    for (let n = 0; n < 1000; n += 1) expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
    expect(backend.calls.length).toBe(before)
    expect(store.stats()).toMatchObject({ cacheHits: 1000, cacheMisses: 0 })
  })

  test('an unknown id is a value, not an error', async () => {
    const { process } = world()
    expect(await process().load('never-seen')).toBeUndefined()
  })

  test('after the cache lost everything the backend is asked once and the cache filled', async () => {
    const { process, backend, loseCache } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    loseCache()

    expect(await calls(backend, () => loaded(store, id))).toEqual(['read'])
    expect(await calls(backend, () => loaded(store, id))).toEqual([])
    expect(store.stats()).toMatchObject({ fills: 1, cacheMisses: 1, cacheHits: 1 })
  })

  test('each request has a copy of its own', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    const one = await loaded(store, id)
    const other = await loaded(store, id)
    ;(one.data['cart'] as string[]).push('coffee')
    expect(other.data).toEqual({ cart: ['tea'] })
  })

  test('a hundred requests after a loss are served by one read of the backend', async () => {
    const { process, cache, backend, loseCache } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    await settled()
    loseCache()
    const cacheCalls = calls(cache, () => Promise.all(Array.from({ length: 100 }, () => loaded(store, id))))
    expect(await calls(backend, () => cacheCalls)).toEqual(['read'])
    expect((await cacheCalls).filter((call) => call === 'add')).toHaveLength(1)
  })

  test('two processes that miss at once read the backend once between them: one waits for the lease', async () => {
    const { processWithTiers, loseCache } = world()
    const one = processWithTiers()
    const other = processWithTiers()
    const { id } = await one.store.create({ cart: ['tea'] })
    await settled()
    loseCache()
    const [a, b] = await Promise.all([loaded(one.store, id), loaded(other.store, id)])
    expect([a.data, b.data]).toEqual([{ cart: ['tea'] }, { cart: ['tea'] }])
    expect([...one.backend.calls, ...other.backend.calls].filter((call) => call === 'read')).toHaveLength(1)
  })

  test('a lease whose holder died does not block for ever: a patient reader reads for itself and fills nothing', async () => {
    const { process, plantEnvelope, cached, runtime } = world()
    const store = process({ leaseWaitMs: 30 })
    const { id } = await store.create({ cart: ['tea'] })
    await settled()
    await plantEnvelope(id, { kind: 'lease', nonce: 'aaaaaaaaaaaaaaaa', expiresAt: runtime.now() + 5_000 })

    expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
    expect(await cached(id)).toMatchObject({ kind: 'lease', nonce: 'aaaaaaaaaaaaaaaa' })
    runtime.advance(5_001)
    await loaded(store, id)
    expect(await cached(id)).toMatchObject({ kind: 'live' })
  })

  test('a writer does not write past the leases of readers who come one after another', async () => {
    const { process, cache, plantEnvelope, runtime, backend } = world()
    const store = process({ backendTimeoutMs: 20, leaseMs: 60, deadlineMs: 5_000 })
    const session = await store.create({ cart: ['tea'] })
    await settled()
    let looks = 0
    await plantEnvelope(session.id, { kind: 'lease', nonce: 'aaaaaaaaaaaaaaaa', expiresAt: runtime.now() + 600_000 })
    cache.intercept = async (call, proceed) => {
      looks += 1
      const nonce = looks.toString(16).padStart(16, '0')
      if (call === 'get') await plantEnvelope(session.id, { kind: 'lease', nonce, expiresAt: runtime.now() + 600_000 })
      return await proceed()
    }
    const before = backend.calls.length
    session.data['cart'] = ['coffee']
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    expect(backend.calls.slice(before)).toEqual([])
  })

  test('a lease that has stood longer than any holder may take is taken over, whatever its own moment says', async () => {
    const { process, plantEnvelope, runtime } = world()
    const store = process({ backendTimeoutMs: 20, leaseMs: 60, deadlineMs: 5_000 })
    const session = await store.create({ cart: ['tea'] })
    await settled()
    // As a process leaves it whose clock is ten minutes ahead, and which dies.
    await plantEnvelope(session.id, { kind: 'lease', nonce: 'aaaaaaaaaaaaaaaa', expiresAt: runtime.now() + 600_000 })
    session.data['cart'] = ['coffee']
    expect(await store.save(session)).toMatchObject({ changed: true })
    expect((await loaded(store, session.id)).data).toEqual({ cart: ['coffee'] })
  })

  test('a broken backend on a miss is an error, never "no session"', async () => {
    const { process, backend, loseCache } = world()
    const store = process()
    const { id } = await store.create({})
    loseCache()
    backend.unreachable = true
    await expectCode(store.load(id), 'E_SESSION_UNAVAILABLE')
    backend.unreachable = false
    expect((await loaded(store, id)).data).toEqual({})
  })

  test('a cache that cannot be reached is no miss: the backend answers, and nothing is filled', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    cache.unreachable = true
    expect(await calls(backend, () => loaded(store, id))).toEqual(['read'])
    expect(store.stats()).toMatchObject({ bypassed: 1, cacheMisses: 0, fills: 0 })
  })

  test('with both tiers down a read rejects, and works again when they are back', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    cache.unreachable = backend.unreachable = true
    await expectCode(store.load(id), 'E_SESSION_UNAVAILABLE')
    cache.unreachable = backend.unreachable = false
    expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
  })

  test('a cache that never answers is given up within its deadline', async () => {
    const { process, cache } = world()
    const store = process({ cacheTimeoutMs: 50 })
    const { id } = await store.create({ cart: ['tea'] })
    await settled()
    cache.intercept = () => new Promise(() => {})
    expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
  })

  test('a backend that never answers is given up within its deadline', async () => {
    const { process, backend, loseCache } = world()
    const store = process({ backendTimeoutMs: 50 })
    const { id } = await store.create({})
    loseCache()
    backend.intercept = () => new Promise(() => {})
    await expectCode(store.load(id), 'E_SESSION_UNAVAILABLE')
  })

  test('never more sessions are read from the backend at once than the budget allows', async () => {
    const { process, backend, loseCache } = world()
    const store = process({ maxBackendReads: 3 })
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await store.create({})).id))
    await settled()
    loseCache()
    let inFlight = 0
    let most = 0
    backend.intercept = async (_call, proceed) => {
      inFlight += 1
      most = Math.max(most, inFlight)
      await new Promise((resolve) => setTimeout(resolve, 2))
      inFlight -= 1
      return await proceed()
    }
    await Promise.all(ids.map((id) => loaded(store, id)))
    expect(most).toBe(3)
  })

  test('reads that wait in line come in order of arrival, and one that waited too long is not made at all', async () => {
    const { process, backend, runtime, keyOf } = world()
    const store = process({ maxBackendReads: 1, backendTimeoutMs: 1_000, cacheTimeoutMs: 60_000 })
    const gate = held()
    const read: unknown[] = []
    backend.intercept = async (call, proceed) => {
      if (call === 'read') read.push(call)
      if (read.length === 1) await gate.opened
      return await proceed()
    }
    const order: string[] = []
    const asked = ['first', 'second', 'third'].map(async (id) => {
      await store.load(id).catch((error: unknown) => {
        order.push(`${id} ${(error as { readonly code: string }).code}`)
        return undefined
      })
      order.push(id)
    })
    await settled()
    gate.open()
    await Promise.all(asked)
    expect(order).toEqual(['first', 'second', 'third'])

    read.length = 0
    const closed = held()
    backend.intercept = async (_call, proceed) => {
      read.push(keyOf('other'))
      await closed.opened
      return await proceed()
    }
    // The one that is under way gets no answer, and the one behind it is told that its turn does not come.
    const late = expectCode(store.load('late'), 'E_SESSION_UNAVAILABLE')
    const later = expectCode(store.load('later'), 'E_OVERLOADED')
    await settled()
    runtime.advance(1_001)
    await Promise.all([late, later])
    closed.open()
    await settled()
    expect(read).toHaveLength(1)
  })

  test('a session of another key under this key is recognised, counted, treated as a miss and replaced', async () => {
    const { process, plant, rawBytes, cached } = world()
    const store = process()
    const damaged: unknown[] = []
    store.on('damaged', (event) => damaged.push(event))
    const alice = await store.create({ userId: 'alice' })
    const bob = await store.create({ userId: 'bob' })
    await settled()
    await plant(bob.id, await rawBytes(alice.id))

    expect((await loaded(store, bob.id)).data).toEqual({ userId: 'bob' })
    expect(damaged).toEqual([{ tier: 'memory', reason: 'foreign' }])
    expect(store.stats()).toMatchObject({ damaged: 1 })
    expect(await cached(bob.id)).toMatchObject({ kind: 'live' })
  })

  test('damaged bytes are an event and a miss, never a crash', async () => {
    const { process, plant, rawBytes } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'] })
    await settled()
    const bytes = await rawBytes(id)
    for (const at of [0, 3, 5, 9, 40, bytes.length - 1]) {
      const flipped = Uint8Array.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ 0x10
      await plant(id, flipped)
      expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
    }
    await plant(id, bytes.subarray(0, 50))
    expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
    await plant(id, Buffer.from('{"json":true}'))
    expect((await loaded(store, id)).data).toEqual({ cart: ['tea'] })
    expect(store.stats().damaged).toBe(8)
  })

  test('data of a codec that this program does not have is an error, never a miss', async () => {
    const { process, loseCache } = world()
    const codec = { name: 'own', id: 77, encode: () => Buffer.from('x'), decode: () => ({}) }
    const { id } = await process({ codec }).create({})
    await settled()
    await expectCode(process().load(id), 'E_SESSION_FORMAT')
    loseCache()
    await expectCode(process().load(id), 'E_SESSION_FORMAT')
  })

  test('what the JSON codec wrote is read by a program that now writes msgpack, and saved as such', async () => {
    const { process } = world()
    const { jsonCodec } = await import('../../src/codecs/index.js')
    const { id } = await process({ codec: jsonCodec }).create({ count: 1 })
    const store = process()
    await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 2 })
  })

  test('an id that is empty, no string or absurdly long is refused before any I/O', async () => {
    const { process, cache, backend } = world()
    const store = process()
    for (const id of ['', 'x'.repeat(1025), 7, null, undefined, {}] as string[]) {
      await expectCode(store.load(id), 'E_INVALID_ID')
      await expectCode(store.destroy(id), 'E_INVALID_ID')
      await expectCode(
        store.update(id, () => {}),
        'E_INVALID_ID',
      )
      await expectCode(store.put(id, {}), 'E_INVALID_ID')
    }
    expect([...cache.calls, ...backend.calls]).toEqual([])
  })

  test('no tier, event or error ever holds the session id', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const told: unknown[] = []
    store.on('fault', (event) => told.push(event))
    const session = await store.create({})
    await settled()
    const keys: unknown[] = []
    cache.intercept = async (call) => {
      throw tierUnavailable('memory', call, { because: 'for this test' })
    }
    backend.intercept = async (call) => {
      keys.push(call)
      throw tierUnavailable('memory', call, { because: 'for this test' })
    }
    const error: unknown = await store.load(session.id).catch((reason: unknown) => reason)
    expect(told).not.toEqual([])
    expect(JSON.stringify([told, error, String(error), (error as Error).stack])).not.toContain(session.id)
  })
})

describe('a reader repairs what a dead process left', () => {
  test('a reader flushes what the process that wrote it did not flush in time', async () => {
    const { process, runtime, stored, backend } = world()
    const writer = process({ maxStaleMs: 1_000_000 })
    const { id } = await writer.create({})
    await settled()
    await increment(writer, id)
    const reader = process({ maxStaleMs: 60_000 })
    await loaded(reader, id)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 1 } })

    runtime.advance(80_000)
    await loaded(reader, id)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(reader.stats().flushes).toMatchObject({ time: 1 })

    const before = backend.calls.length
    await loaded(reader, id)
    await settled()
    expect(backend.calls.slice(before)).toEqual([])
  })

  test('a session that another process destroyed is gone for everyone at once', async () => {
    const { process } = world()
    const [one, other] = [process(), process()]
    const { id } = await one.create({})
    await loaded(other, id)
    await one.destroy(id)
    expect(await other.load(id)).toBeUndefined()
  })
})
