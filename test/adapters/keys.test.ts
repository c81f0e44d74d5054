import { describe, expect, test } from 'vitest'
import { Keys } from '../../src/adapters/keys.js'
import { type KeysOptions, resolveKeysOptions } from '../../src/adapters/keys-options.js'
import { jsonCodec } from '../../src/codecs/index.js'
import { tierUnavailable } from '../../src/errors.js'
import { world } from '../store/world.js'
import { mulberry32 } from '../support/mulberry32.js'

/** Processes of one cluster that keep keys, on tiers and by a clock that all of them share. */
const cluster = () => {
  const { runtime, cache, backend, loseCache, process } = world()
  return {
    ...{ runtime, cache, backend, loseCache, process },
    keys: (options: KeysOptions = {}): Keys =>
      new Keys(resolveKeysOptions({ cache, backend, runtime, purgeEveryMs: 0, ...options } as KeysOptions, 'test')),
    on: (sessions: KeysOptions['sessions'] & object): Keys =>
      new Keys(resolveKeysOptions({ sessions, runtime }, 'test')),
  }
}

const DAY_MS = 86_400_000

describe('a key', () => {
  test('is seen by another process as soon as it is set, and as it was set last', async () => {
    const { keys } = cluster()
    const [one, other] = [keys(), keys()]
    expect(await other.get('colour')).toBeUndefined()
    await one.set('colour', 'red')
    expect((await other.get('colour'))?.value).toBe('red')
    await other.set('colour', 'blue')
    expect((await one.get('colour'))?.value).toBe('blue')
  })

  test('is in the backend when setting it has resolved: a loss of the cache loses nothing', async () => {
    const { keys, loseCache } = cluster()
    const one = keys()
    for (let count = 1; count <= 5; count += 1) {
      await one.set('count', count)
      loseCache()
      expect((await keys().get('count'))?.value).toBe(count)
    }
    expect(await one.delete('count')).toBe(true)
    loseCache()
    expect(await keys().get('count')).toBeUndefined()
  })

  test('ends at its moment, also where it is read all the time, and can be set again', async () => {
    const { keys, runtime } = cluster()
    const one = keys()
    await one.set('code', '123', runtime.now() + 10_000)
    for (let second = 0; second < 9; second += 1) {
      runtime.advance(1_000)
      expect((await one.get('code'))?.value).toBe('123')
    }
    runtime.advance(1_000)
    expect(await one.get('code')).toBeUndefined()
    expect(await one.delete('code')).toBe(false)
    await one.set('code', '456', runtime.now() + 10_000)
    expect((await keys().get('code'))?.value).toBe('456')
  })

  test('lives as long as its last setting says, be that longer or shorter than before', async () => {
    const { keys, runtime } = cluster()
    const one = keys()
    await one.set('k', 1, runtime.now() + 5_000)
    await one.set('k', 2, runtime.now() + 400 * DAY_MS)
    runtime.advance(399 * DAY_MS)
    expect((await one.get('k'))?.value).toBe(2)
    await one.set('k', 3, runtime.now() + 2_000)
    runtime.advance(2_000)
    expect(await one.get('k')).toBeUndefined()
  })

  test('that was given no end stays for ten years', async () => {
    const { keys, runtime, loseCache } = cluster()
    await keys().set('k', 1)
    runtime.advance(3_649 * DAY_MS)
    loseCache()
    expect((await keys().get('k'))?.value).toBe(1)
  })

  test('that is set with an end in the past is gone, and so is what stood there', async () => {
    const { keys, runtime } = cluster()
    const one = keys()
    await one.set('k', 1)
    await one.set('k', 2, runtime.now())
    expect(await one.get('k')).toBeUndefined()
  })

  test('that was deleted can be set again at once, by every process, again and again', async () => {
    const { keys, loseCache } = cluster()
    const processes = [keys(), keys(), keys()]
    for (let round = 0; round < 30; round += 1) {
      const writer = processes[round % 3]
      await writer?.set('flag', round)
      if (round % 4 === 1) loseCache()
      for (const reader of processes) expect((await reader.get('flag'))?.value).toBe(round)
      expect(await processes[(round + 1) % 3]?.delete('flag')).toBe(true)
      for (const reader of processes) expect(await reader.get('flag')).toBeUndefined()
      expect(await writer?.delete('flag')).toBe(false)
    }
  })

  test('that was deleted can be set again at any time later, also after a purge', async () => {
    const { keys, runtime, loseCache } = cluster()
    const one = keys()
    for (const laterMs of [1, 59_999, 60_000, 61_000, 600_000, 2 * DAY_MS, 40 * DAY_MS]) {
      await one.set('flag', laterMs)
      await one.delete('flag')
      runtime.advance(laterMs)
      if (laterMs > DAY_MS) await one.sessions.purge()
      expect(await one.get('flag')).toBeUndefined()
      await one.set('flag', 'again')
      expect((await keys().get('flag'))?.value).toBe('again')
      loseCache()
      expect((await keys().get('flag'))?.value).toBe('again')
    }
  })

  test('that was deleted leaves nothing behind once it is purged', async () => {
    const { keys, runtime } = cluster()
    const one = keys()
    await one.set('flag', 1)
    await one.delete('flag')
    runtime.advance(2 * DAY_MS)
    expect(await one.sessions.purge()).toMatchObject({ removed: 1 })
    expect(await one.sessions.count()).toBe(0)
  })

  test('of another prefix, and a session of the same id, is not met', async () => {
    const { process, on } = cluster()
    const sessions = process()
    const one = on(sessions)
    const other = new Keys(resolveKeysOptions({ sessions, prefix: 'other' }, 'test'))
    await one.set('k', 1)
    expect(await other.get('k')).toBeUndefined()
    await other.clear()
    expect((await one.get('k'))?.value).toBe(1)
    await sessions.create({ value: 'a session' }, { id: 'test:s' })
    expect(await one.get('s')).toBeUndefined()
    expect(await one.delete('s')).toBe(false)
  })

  test('may be empty, or any other text of up to 1024 characters with the prefix, and nothing else', async () => {
    const { keys } = cluster()
    const one = keys()
    for (const key of ['', ' ', '"', 'Ω:💡', 'x'.repeat(1_019)]) {
      await one.set(key, key)
      expect((await one.get(key))?.value).toBe(key)
    }
    await expect(one.set('x'.repeat(1_020), 1)).rejects.toMatchObject({
      code: 'E_INVALID_ID',
      message: expect.stringContaining('at most 1019 characters, got one of 1020'),
    })
    for (const [key, got] of [
      [undefined, 'got nothing'],
      [null, 'got null'],
      [{ key: 'k' }, 'got an object'],
    ])
      await expect(one.get(key as string)).rejects.toMatchObject({
        code: 'E_INVALID_ID',
        message: expect.stringContaining(String(got)),
      })
  })

  test('keeps what the codec keeps, bytes and null among it', async () => {
    const { keys } = cluster()
    const one = keys()
    for (const value of [null, 0, '', false, [1, [2]], { a: { b: 'ü' } }, new Uint8Array([0, 255])]) {
      await one.set('k', value)
      expect((await keys().get('k'))?.value).toEqual(value)
    }
    await keys({ codec: jsonCodec }).set('j', { a: null })
    expect((await keys({ codec: jsonCodec }).get('j'))?.value).toEqual({ a: null })
  })
})

describe('taking a key', () => {
  test('gives what stood there to one of many that ask at once, in several processes', async () => {
    const { keys, loseCache } = cluster()
    const processes = [keys(), keys(), keys()]
    for (let round = 0; round < 20; round += 1) {
      await processes[round % 3]?.set('token', round)
      if (round % 5 === 2) loseCache()
      const taken = await Promise.all([...processes, ...processes, ...processes].map((one) => one.take('token')))
      expect(taken.filter((entry) => entry !== undefined)).toEqual([{ value: round, until: undefined }])
    }
  })
})

describe('counting', () => {
  test('misses no call, in whatever process', async () => {
    const { keys } = cluster()
    const processes = [keys(), keys(), keys()]
    const sums = await Promise.all(
      Array.from({ length: 60 }, (_, call) => processes[call % 3]?.increment('hits', 60_000)),
    )
    expect(sums.sort((one, other) => Number(one) - Number(other))).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
  })

  test('begins with 1, and again when the time of the first is over, whatever the later calls say', async () => {
    const { keys, runtime } = cluster()
    const one = keys()
    expect(await one.increment('hits', 10_000)).toBe(1)
    runtime.advance(4_000)
    expect(await one.increment('hits', 10_000)).toBe(2)
    expect(await one.increment('hits', 1_000)).toBe(3)
    runtime.advance(5_999)
    expect(await one.increment('hits', 10_000)).toBe(4)
    runtime.advance(1)
    expect(await one.increment('hits', 2_000)).toBe(1)
    runtime.advance(2_000)
    expect(await one.increment('hits', 2_000)).toBe(1)
    await one.delete('hits')
    expect(await one.increment('hits', 2_000)).toBe(1)
  })

  test('of what is no number is refused', async () => {
    const { keys } = cluster()
    const one = keys()
    await one.set('k', 'text')
    await expect(one.increment('k', 1_000)).rejects.toMatchObject({ code: 'E_SESSION_DATA', applied: 'no' })
    expect((await one.get('k'))?.value).toBe('text')
  })
})

describe('the keys of a store', () => {
  test('are listed without those that were deleted or have ended, and without sessions', async () => {
    const { process, on, runtime } = cluster()
    const sessions = process()
    const one = on(sessions)
    await sessions.create({ cart: [] })
    await one.set('a:1', 1)
    await one.set('a:2', 2, runtime.now() + 5_000)
    await one.set('a:3', 3, runtime.now() + 5_001)
    await one.set('b:1', 4)
    await one.set('a:4', 5)
    await one.delete('a:4')
    runtime.advance(5_000)
    const found: unknown[] = []
    for await (const [key, { value }] of one.entries('a:')) found.push([key, value])
    expect(found.sort()).toEqual([
      ['a:1', 1],
      ['a:3', 3],
    ])
    await one.clear('a:')
    for await (const [key] of one.entries()) found.push(key)
    expect(found.slice(2)).toEqual(['b:1'])
    expect(await sessions.count()).toBeGreaterThan(1)
  })
})

describe('a tier that fails', () => {
  test('is an error, and never a key that is not there', async () => {
    const { keys, backend, loseCache, runtime } = cluster()
    const one = keys()
    await one.set('k', 1)
    loseCache()
    backend.unreachable = true
    for (const call of [
      () => one.get('k'),
      () => one.set('k', 2),
      () => one.delete('k'),
      () => one.take('k'),
      () => one.increment('n', 1_000),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    backend.unreachable = false
    runtime.advance(5_000)
    expect((await one.get('k'))?.value).toBe(1)
  })

  test('is gone round where it is the cache', async () => {
    const { keys, cache, runtime } = cluster()
    const [one, other] = [keys(), keys()]
    await one.set('k', 1)
    cache.unreachable = true
    for (let round = 0; round < 5; round += 1) {
      const pending = one.set('k', round)
      runtime.advance(1_000)
      await pending
      expect((await other.get('k'))?.value).toBe(round)
      const counting = other.increment('n', 60_000)
      runtime.advance(1_000)
      expect(await counting).toBe(round + 1)
      const deleting = other.delete('k')
      runtime.advance(1_000)
      expect(await deleting).toBe(true)
      expect(await one.get('k')).toBeUndefined()
    }
    cache.unreachable = false
    runtime.advance(10_000)
    expect(await one.get('k')).toBeUndefined()
    await one.set('k', 'back')
    expect((await other.get('k'))?.value).toBe('back')
  })

  test('at single calls by chance, before or after they were done, loses and revives nothing that was acknowledged', async () => {
    const draw = mulberry32(20_261_130)
    const random = (): number => draw() / 2 ** 32
    for (let story = 0; story < 4; story += 1) {
      const { keys, cache, backend, loseCache, runtime } = cluster()
      const quick = { cacheRetryMs: 0, backendRetryMs: 0, leaseWaitMs: 20 }
      const processes = [keys(quick), keys(quick), keys(quick)]
      let isFaulty = false
      for (const [tier, name] of [
        [cache, 'memory cache'],
        [backend, 'memory backend'],
      ] as const)
        tier.intercept = async (call, proceed) => {
          const chance = isFaulty ? random() : 1
          if (chance < 0.06) throw tierUnavailable(name, call, { applied: 'no' })
          const result = await proceed()
          if (chance < 0.12) throw tierUnavailable(name, call, { applied: 'unknown' })
          return result
        }
      /** What may stand there: more than one thing after a change that was rejected. */
      let possible: unknown[] = [undefined]
      for (let step = 0; step < 50; step += 1) {
        const one = processes[Math.floor(random() * 3)] ?? keys(quick)
        if (random() < 0.05) loseCache()
        runtime.advance(Math.floor(random() * 400))
        isFaulty = true
        const wanted = random() < 0.4 ? undefined : step
        const change = wanted === undefined ? one.delete('k') : one.set('k', wanted)
        possible = await change.then(
          () => [wanted],
          (error: unknown) => {
            expect(error).toMatchObject({ code: expect.stringMatching(/^E_SESSION_(UNAVAILABLE|UNKNOWN_OUTCOME)$/) })
            return [...possible, wanted]
          },
        )
        isFaulty = false
        const seen = (await (processes[Math.floor(random() * 3)] ?? one).get('k'))?.value
        expect(possible, `story ${story}, step ${step}`).toContain(seen)
      }
    }
  })
})
