import { describe, expect, test } from 'vitest'
import { increment, loaded, settled, world } from './world.js'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/** A world with a process whose clock is ahead by an hour, until it is set right. */
const withOneAhead = () => {
  const here = world()
  let aheadMs = HOUR_MS
  const now = (): number => here.runtime.now() + aheadMs
  const ahead = here.processWithTiers({ runtime: { ...here.runtime, now } })
  const setRight = (): void => {
    aheadMs = 0
  }
  return { ...here, ahead, setRight }
}

describe('while the clock of a process is an hour behind', () => {
  test.each(['touch', 'update'] as const)('its %s does not end a session in use', async (use) => {
    const { process, processWithTiers, runtime } = world()
    const now = (): number => runtime.now() - HOUR_MS
    const behind = processWithTiers({ runtime: { ...runtime, now } })
    const store = process()
    const { id } = await store.create({ count: 0 }, { idleTtlMs: 30 * MINUTE_MS })
    await settled()
    runtime.advance(MINUTE_MS)
    if (use === 'touch') await behind.store.touch(id)
    else await increment(behind.store, id)
    await settled()
    runtime.advance(MINUTE_MS)
    expect((await loaded(store, id)).data).toEqual({ count: use === 'touch' ? 0 : 1 })
  })
})

describe('a moment that was given by a clock an hour ahead', () => {
  test('does not keep readers from flushing what its process, which died, left unflushed', async () => {
    const { process, ahead, runtime, stored } = withOneAhead()
    const { id } = await ahead.store.create({ count: 0 })
    await settled()
    await increment(ahead.store, id)
    // It is gone: its timers fire no more, nor does anything that it asks for arrive.
    ahead.cache.unreachable = ahead.backend.unreachable = true
    const store = process({ maxStaleMs: MINUTE_MS })
    runtime.advance(2.5 * MINUTE_MS)
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('does not keep writers from a session that was frozen by a process which died', async () => {
    const { process, ahead, runtime, cached, plantEnvelope } = withOneAhead()
    const { id } = await ahead.store.create({ count: 0 })
    await settled()
    const envelope = await cached(id)
    if (envelope?.kind !== 'live') throw new Error('not cached')
    await plantEnvelope(id, { ...envelope, frozen: true, version: 2, writtenAt: runtime.now() + HOUR_MS })
    const store = process()
    await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('does not end the touches of a session in use, once the clock is set right', async () => {
    const { ahead, runtime, cached, stored, setRight } = withOneAhead()
    const { id } = await ahead.store.create({ count: 0 }, { idleTtlMs: 20 * MINUTE_MS })
    await settled()
    setRight()
    const before = await cached(id)
    for (let minute = 0; minute < 5; minute += 1) {
      runtime.advance(MINUTE_MS)
      await loaded(ahead.store, id)
      await settled()
    }
    const after = await cached(id)
    if (before?.kind !== 'live' || after?.kind !== 'live') throw new Error('not cached')
    expect(after.touchedAt).toBe(runtime.now())
    expect(after.seenDurableAt).toBeGreaterThan(runtime.now() - 3 * MINUTE_MS)
    expect(ahead.store.stats().extensions).toBeGreaterThan(1)
    // Its life is not shortened by that, neither here nor there.
    expect(after.expiresAt).toBe(before.expiresAt)
    const row = await stored(id)
    expect(row.state === 'live' && row.session.expiresAt).toBeGreaterThanOrEqual(after.expiresAt)
  })
})
