import { describe, expect, test } from 'vitest'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { Runtime } from '../../src/contract/time.js'
import { memoryCache } from '../../src/memory.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { seed } from '../support/seed.js'
import { brokenBy, type FloodOptions, type FloodReport, flood } from './flood.js'

/** A clock that stands still until it is moved, by a whole millisecond each time. */
const standingClock = () => {
  const due = new Map<number, Set<() => void>>()
  let nowMs = 0
  const lots = movableRuntime()
  const runtime: Runtime = {
    now: () => EPOCH + nowMs,
    monotonicMs: () => nowMs,
    after: (delayMs, callback) => {
      const at = nowMs + Math.max(1, Math.ceil(delayMs))
      const callbacks = due.get(at) ?? new Set()
      due.set(at, callbacks.add(callback))
      return () => void callbacks.delete(callback)
    },
    randomBytes: (size) => lots.randomBytes(size),
    random: () => lots.random(),
  }
  const tick = (): void => {
    nowMs += 1
    for (const callback of due.get(nowMs) ?? []) callback()
    due.delete(nowMs)
  }
  return { runtime, tick }
}

const EPOCH = Date.UTC(2026, 10, 30)

/** A second of a flood, by a clock that the test moves: no busy machine makes a difference. */
const shortFlood = async (options: Partial<FloodOptions>): Promise<FloodReport> => {
  const { runtime, tick } = standingClock()
  const kept = new Set<string>()
  const inner = memoryCache({ runtime })
  // Every key that was ever stored under counts, as a server forgets late what has expired.
  const cache: FrontCache = new Proxy(inner, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (key: string, ...others: unknown[]) => {
        if (name === 'add' || name === 'cas' || name === 'set') kept.add(key)
        return Reflect.apply(member, target, [key, ...others]) as unknown
      }
    },
  })
  return await flood({
    runtime,
    cache,
    entries: async () => kept.size,
    pause: async () => {
      tick()
      await new Promise((resolve) => setImmediate(resolve))
    },
    ...{ backendMs: 20, durationMs: 1_000, unknownPerSecond: 5_000, visitorsPerSecond: 100, inTimeMs: 250 },
    ...{ known: 'verified', seed },
    ...options,
  })
}

describe('a flood of unknown ids', () => {
  test('keeps no visitor whose cookie was checked from his session', async () => {
    const report = await shortFlood({ known: 'verified' })
    expect(brokenBy(report), JSON.stringify(report)).toEqual([])
    expect(report.visitors).toBe(100)
    // It was a flood: most of it was refused.
    expect(report.refused / report.asked).toBeGreaterThan(0.5)
  })

  test('from a few addresses keeps nobody else from his session, though no cookie was checked', async () => {
    const report = await shortFlood({ known: 'caller' })
    expect(brokenBy(report), JSON.stringify(report)).toEqual([])
    expect(report.refused / report.asked).toBeGreaterThan(0.5)
  })

  test('of the same ids over and over is answered by the cache, and refuses nobody', async () => {
    const report = await shortFlood({ known: 'nothing', differentIds: 50 })
    expect(brokenBy(report), JSON.stringify(report)).toEqual([])
    expect(report).toMatchObject({ refused: 0, unknownIds: report.asked })
    expect(report.backendReads).toBe(50 + report.visitors)
  })

  test('starves the visitors where the store is told nothing of who asks: the check can fail', async () => {
    const report = await shortFlood({ known: 'nothing' })
    expect(report.share).toBeLessThan(0.5)
    expect(brokenBy(report)).toHaveLength(1)
  })
})
